use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::failure::Kind;

/// Addresses that a job may not make the machine fetch, with `http` allowed, so that only the host is judged.
const HOSTILE: &[&str] = &[
    // This machine, in every spelling.
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://127.255.255.254/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    // IPv4 within IPv6.
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a00:1::1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[::ffff:0:127.0.0.1]/",
    // Metadata of clouds.
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://[fd00:ec2::254]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    // Networks around the machine.
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fdff::1]/",
    "http://[fec0::1]/",
    // Reserved, multicast, documentation, benchmarks.
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://192.0.2.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://198.18.0.1/",
    "http://[100::1]/",
    "http://[3fff::1]/",
    // Other schemes, credentials, nothing.
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://example.com/",
    "data:text/plain,x",
    "javascript:1",
    "unix:/run/docker.sock",
    "http://user@example.com/",
    "https://user:canary@example.com/",
    "http://example.com@127.0.0.1/",
    "http://",
    "https:///",
    "//example.com/",
    "example.com",
    "http://[::1",
    "http://exa mple.com/",
];

fn open() -> Rules {
    Rules { http: true, ..Rules::default() }
}

#[tokio::test]
async fn no_hostile_address_is_fetched() {
    let egress = Egress::new(open());
    let mut refused = 0;
    for address in HOSTILE {
        let failure = egress.get(address).await.expect_err(address);
        assert!(failure.message.starts_with("an address of the job is not fetched"), "{address}: {failure}");
        assert_eq!((failure.kind, failure.suspect), (Kind::Permanent, false), "{address}");
        assert!(!failure.message.contains("canary"));
        refused += 1;
    }
    println!("{refused} of {} hostile addresses refused", HOSTILE.len());
    assert!(refused >= 60);
}

#[test]
fn public_addresses_pass() {
    for address in [
        "https://example.com/a.png?b=c",
        "https://8.8.8.8/",
        "https://172.15.255.255/",
        "https://172.32.0.1/",
        "https://100.63.255.255/",
        "https://[2606:4700::1111]/",
        "https://[2002:808:808::]/",
        "https://[64:ff9b::808:808]/",
        "https://example.com:8443/",
    ] {
        assert_eq!(Rules::default().judge(&Url::parse(address).unwrap()), Ok(()), "{address}");
    }
    let plain = Url::parse("http://example.com/").unwrap();
    assert_eq!(Rules::default().judge(&plain), Err(Forbidden::Scheme("http".into())));
}

#[test]
fn a_list_of_hosts_allows_them_and_what_is_below_them() {
    let rules = Rules { hosts: vec!["example.com".into()], ..Rules::default() };
    let judge = |it: &str| rules.judge(&Url::parse(it).unwrap()).is_ok();
    assert!(judge("https://example.com/") && judge("https://cdn.EXAMPLE.com./"));
    assert!(
        !judge("https://badexample.com/")
            && !judge("https://example.com.evil.org/")
            && !judge("https://8.8.8.8/")
    );
}

/// A server that answers each request with this text, and counts them.
async fn server(answer: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

fn declared() -> Rules {
    Rules { inside: vec![Inside::Host("localhost".into())], ..open() }
}

#[tokio::test]
async fn what_is_declared_is_fetched() {
    let (address, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfile".into()).await;
    let egress = Egress::new(declared());
    let mut fetched = egress.get(&format!("http://localhost:{}/", address.port())).await.unwrap();
    assert_eq!(fetched.chunk().await.unwrap().unwrap(), b"file");
    let net = Inside::Net("127.0.0.0/8".parse().unwrap());
    let egress = Egress::new(Rules { inside: vec![net], ..open() });
    assert!(egress.get(&format!("http://127.0.0.1:{}/", address.port())).await.is_ok());
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_address_that_led_to_it() {
    let (secret, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ncanary".into()).await;
    for target in [
        format!("http://127.0.0.1:{}/", secret.port()),
        "file:///etc/passwd".into(),
        "http://[::ffff:7f00:1]/".into(),
    ] {
        let (address, _) =
            server(format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n")).await;
        let failure =
            Egress::new(declared()).get(&format!("http://localhost:{}/", address.port())).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Permanent, "{target}: {failure}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    // As for a name whose owner lets it lead here: the addresses that are judged are those that are connected to, so that
    // it does not help him to change them in between.
    let judged = Judged(Arc::new(open())).resolve("localhost".parse().unwrap()).await;
    let error = judged.map(Iterator::count).unwrap_err();
    assert!(error.downcast_ref::<Forbidden>().is_some(), "{error}");
    let judged = Judged(Arc::new(declared())).resolve("localhost".parse().unwrap()).await;
    assert!(judged.is_ok_and(|it| it.count() > 0));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_its_limit() {
    let rules = || Rules { bytes: 10, ..declared() };
    let (told, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n".into()).await;
    assert!(Egress::new(rules()).get(&format!("http://localhost:{}/", told.port())).await.is_err());
    let (untold, _) = server(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(11))).await;
    let mut fetched =
        Egress::new(rules()).get(&format!("http://localhost:{}/", untold.port())).await.unwrap();
    let mut bytes = 0;
    let failure = loop {
        match fetched.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => panic!("{bytes} bytes passed"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.kind, Kind::Permanent);
}
