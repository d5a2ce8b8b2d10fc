use insta::assert_snapshot;
use proptest::prelude::*;
use spec::notes::Fault as _;

use super::*;

/// The address as it prints, with what it does not print but for the passwords; or every fault with its fix.
fn told(text: &str) -> String {
    match text.parse::<Address>() {
        Ok(it) => {
            let database = (it.database != 0).then(|| format!(" database {}", it.database));
            let timeout = (it.timeout != TIMEOUT).then(|| format!(" timeout {:?}", it.timeout));
            let files = it.tls.as_ref().filter(|it| **it != Tls::default());
            let files = files.map(|Tls { ca, own }| format!(" ca {ca:?} own {own:?}"));
            [Some(it.to_string()), database, timeout, files].into_iter().flatten().collect()
        }
        Err(Error::Address { faults }) => {
            let lines: Vec<_> = faults.iter().map(|it| format!("{it} | {}", it.fix())).collect();
            lines.join("\n")
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_scheme_is_read() {
    let addresses = [
        "redis://localhost",
        "redis://localhost/",
        "redis://:secret@localhost:1/2",
        "redis://anna:secret@[::1]:6380/15?timeout=250",
        "rediss://r.example.org?ca=/etc/ca.pem&cert=/a%20b.pem&key=/k.pem",
        "redis+unix:///run/redis.sock",
        "redis+unix://anna:secret@/run/a%20b.sock?db=3",
        "redis-sentinel://anna:secret@s1,s2:7000,[fd00::1]/main/1?sentinel-user=x&sentinel-password=y",
        "rediss-sentinel://s1/main",
        "redis-cluster://n1,n2:7001",
        "rediss-cluster://:secret@n1:7000/?timeout=1",
    ];
    assert_snapshot!(addresses.map(told).join("\n"), @r#"
    redis://localhost:6379
    redis://localhost:6379
    redis://localhost:1 database 2
    redis://anna@[::1]:6380 database 15 timeout 250ms
    rediss://r.example.org:6379 ca Some("/etc/ca.pem") own Some(("/a b.pem", "/k.pem"))
    redis+unix:///run/redis.sock
    redis+unix://anna@/run/a b.sock database 3
    redis-sentinel://anna@s1:26379,s2:7000,[fd00::1]:26379/main database 1
    rediss-sentinel://s1:26379/main
    redis-cluster://n1:6379,n2:7001
    rediss-cluster://n1:7000 timeout 1ms
    "#);
}

#[test]
fn all_faults_of_an_address_are_told_at_once() {
    let addresses = [
        "rediss-sentinel://anna@:0,s2:x//y?timeout=0&sentinel-user=a&cert=c&cert=d&colour=red&ca=#insecure",
        "redis://a,b:99999/1/2?ca=/x",
        "redis-cluster://n1,/3",
        "redis+unix://run/redis.sock?db=x",
        "http://h",
        "localhost:6379",
    ];
    assert_snapshot!(addresses.map(told).join("\n\n"), @"
    there is no password before the `@` | Write `user:password@`, or `:password@` for the default user.
    host 1 is empty | Write `host` or `host:port`, with a comma between two of them.
    `0` is not a port, as host 1 has it | Write a number from 1 to 65535, or leave it out; IPv6 stands in brackets.
    `x` is not a port, as host 2 has it | Write a number from 1 to 65535, or leave it out; IPv6 stands in brackets.
    the address says no master | Write its name behind the hosts: `redis-sentinel://host/master`.
    `y` is not the number of a database | Write a number from 0, or leave it out.
    the option `cert` is there twice | Leave one out.
    `colour` is not an option of `rediss-sentinel://` | There are: timeout, ca, cert, key, sentinel-user, sentinel-password.
    the option `ca` has no value | Write a value behind `=`, or leave it out.
    the option `cert` is there without `key` | Write `key=` as well.
    the option `sentinel-user` is there without `sentinel-password` | Write `sentinel-password=` as well.
    `0` is not a timeout | Write whole milliseconds from 1 to 600000.
    the address has a part behind `#` | Leave it out. A certificate is always checked: trust your own authority with `?ca=FILE`.

    `99999` is not a port, as host 2 has it | Write a number from 1 to 65535, or leave it out; IPv6 stands in brackets.
    the address of one server has 2 hosts | Name one, or use `redis-sentinel://` or `redis-cluster://`.
    `1/2` is not the number of a database | Write a number from 0, or leave it out.
    `ca` is not an option of `redis://` | There are: timeout.

    host 2 is empty | Write `host` or `host:port`, with a comma between two of them.
    the address of a cluster ends with its hosts, and this one has `/3` | Leave it out: a cluster has only one database.

    the address has no absolute path of a socket | Write three slashes: `redis+unix:///run/redis.sock`.
    `x` is not the number of a database | Write a number from 0, or leave it out.

    `http://` is not a scheme of Redis | Begin it with one of redis, rediss, redis+unix, redis-sentinel, rediss-sentinel, redis-cluster, rediss-cluster, followed by `://`.

    the address has no scheme | Begin it with one of redis, rediss, redis+unix, redis-sentinel, rediss-sentinel, redis-cluster, rediss-cluster, followed by `://`.
    ");
}

#[test]
fn a_password_is_read_byte_for_byte() {
    let address: Address = "redis://%C3%A4nne:a%2Fb%40c%25%3A:d@h".parse().unwrap();
    let login = address.login.unwrap();
    assert_eq!(login.user.as_deref(), Some("änne"));
    assert_eq!(login.password.expose(), "a/b@c%::d");
}

#[test]
fn no_message_holds_a_password_however_it_is_written() {
    for canary in
        ["canary", "ca/canary", "ca?canary=1", "ca#canary", "ca@canary", "%zzcanary", "canary%", "ca:canary"]
    {
        for url in [
            format!("redis://anna:{canary}@host:6379/0"),
            format!("redis://{canary}@host"),
            format!("rediss-cluster://:{canary}@h:x,:0/1?what=1"),
            format!("nothing://anna:{canary}@host"),
            format!("anna:{canary}@host"),
            format!("anna:{canary}://host"),
            format!("redis-sentinel://h/m?sentinel-user=a&sentinel-password={canary}@"),
            format!("redis-sentinel://h/m?sentinel-password={canary}&sentinel-password={canary}"),
        ] {
            let read = url.parse::<Address>();
            let shown = match &read {
                Ok(it) => format!("{it} {it:?}"),
                Err(error) => format!("{} {error} {error:?}", told(&url)),
            };
            assert!(!shown.contains("canary"), "{url}: {shown}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_user_and_password_survive_their_encoding(user in "\\PC{0,12}", password in "\\PC{1,12}", port in 1_u16..) {
        let encoded = |text: &str| {
            let bytes: Vec<_> = text.bytes().map(|it| format!("%{it:02x}")).collect();
            bytes.concat()
        };
        let url = format!("redis://{}:{}@h:{port}", encoded(&user), encoded(&password));
        let login = Login { user: (!user.is_empty()).then_some(user), password: Secret::new(password) };
        let address: Address = url.parse().unwrap();
        prop_assert_eq!(address.login, Some(login));
        prop_assert_eq!(address.place, Place::Server(Node { host: "h".into(), port }));
    }

    #[test]
    fn whatever_is_written_is_read_or_refused_with_a_reason(
        scheme in 0..SCHEMES.len(), rest in "[a-z0-9:@,/?#%&=\\[\\] ]{0,40}",
    ) {
        if let Err(error) = format!("{}://{rest}", SCHEMES[scheme]).parse::<Address>() {
            let told = matches!(&error, Error::Address { faults } if !faults.is_empty());
            prop_assert!(told, "{error:?}");
        }
    }
}
