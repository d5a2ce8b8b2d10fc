//! TLS, with an authority of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use broker::{Broker, Error, Native};

use crate::contract::{claim_one, job, settings, submit, worker};
use crate::servers::{REDIS, Server};

/// Certificates in a folder: an authority, a server, another server, a client.
struct Papers(tempfile::TempDir);

impl Papers {
    fn make() -> Self {
        let papers = Self(tempfile::tempdir().unwrap());
        let folder = papers.0.path();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
        openssl(
            folder,
            &[&["req", "-x509"], &key[..], &["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca"]],
        );
        for (name, holds) in [
            ("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            ("other", "subjectAltName=DNS:redis.example.org"),
            ("client", "subjectAltName=DNS:client"),
        ] {
            let out = [format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}")];
            let of = ["-keyout", &out[0], "-out", &out[1], "-subj", &out[2], "-addext", holds];
            let by = ["-CA", "ca.pem", "-CAkey", "ca.key"];
            openssl(
                folder,
                &[&["req", "-x509"], &key[..], &of, &by, &["-addext", "basicConstraints=critical,CA:false"]],
            );
        }
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn server(&self, name: &str, clients: &str) -> Option<Server> {
        let of = |line: &str, file: &str| format!("{line} {}", self.path(file).display());
        let lines = [
            "port 0".into(),
            "tls-port {port}".into(),
            of("tls-cert-file", &format!("{name}.pem")),
            of("tls-key-file", &format!("{name}.key")),
            of("tls-ca-cert-file", "ca.pem"),
            format!("tls-auth-clients {clients}"),
        ];
        Server::start(REDIS, &lines.each_ref().map(String::as_str)).await
    }

    async fn connect(&self, server: &Server, options: &[(&str, &str)]) -> Result<Native, Error> {
        let options: Vec<_> =
            options.iter().map(|(name, file)| format!("{name}={}", self.path(file).display())).collect();
        let url = format!("rediss://127.0.0.1:{}?{}", server.port, options.join("&"));
        Native::connect(&url, settings("sealed")).await
    }
}

fn openssl(folder: &Path, arguments: &[&[&str]]) {
    let done = Command::new("openssl").args(arguments.concat()).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn told(result: Result<Native, Error>) -> String {
    result.map(drop).expect_err("it does not connect").to_string()
}

#[tokio::test]
async fn a_server_is_believed_if_the_authority_of_the_address_signed_its_name() {
    let papers = Papers::make();
    let Some(server) = papers.server("server", "no").await else { return };
    let broker = papers.connect(&server, &[("ca", "ca.pem")]).await.unwrap();
    submit(&broker, job()).await;
    claim_one(&broker, &worker("w")).await;
    // And one that waits, on a connection of its own.
    assert_eq!(broker.counts().await.unwrap().running, 1);
    assert!(told(papers.connect(&server, &[]).await).contains("UnknownIssuer"));
    assert!(
        told(papers.connect(&server, &[("ca", "client.pem")]).await).contains("invalid peer certificate")
    );
    let Some(other) = papers.server("other", "no").await else { return };
    let told = told(papers.connect(&other, &[("ca", "ca.pem")]).await);
    assert!(told.contains("redis.example.org"), "{told}");
}

#[tokio::test]
async fn a_server_that_wants_to_know_who_asks_is_shown_a_certificate() {
    let papers = Papers::make();
    let Some(server) = papers.server("server", "yes").await else { return };
    let own = [("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key")];
    submit(&papers.connect(&server, &own).await.unwrap(), job()).await;
    // With TLS 1.3 a refusal comes with the first answer.
    let refused = match papers.connect(&server, &own[..1]).await {
        Ok(broker) => broker.submit(&[job()]).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
}

#[tokio::test]
async fn every_file_that_cannot_be_used_is_told_before_anything_connects() {
    let papers = Papers::make();
    let url = |ca: &str| {
        let path = |name: &str| papers.path(name).display().to_string();
        format!("rediss://127.0.0.1:1?ca={}&cert={}&key={}", path(ca), path("client.key"), path("ca.pem"))
    };
    let Err(Error::Address { faults }) = Native::connect(&url("absent"), settings("absent")).await.map(drop)
    else {
        panic!("no file fits")
    };
    let told = faults
        .iter()
        .map(|it| it.to_string().replace(&*papers.0.path().to_string_lossy(), ""))
        .collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            "`/absent`: No such file or directory (os error 2)",
            "`/client.key`: no certificate in it",
            "`/ca.pem`: no private key in it",
        ]
    );
}
