//! Opening one connection to the server that is the right one now: by asking a sentinel, or by following a cluster.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind,
    TlsCertificates, Value,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::address::{Address, Login, Node, Place};
use super::fault::AddressFault;
use crate::error::Error;

/// A cluster whose nodes send us on more often than this does not know itself where the slot is.
const HOPS: usize = 5;

/// How the answers of a connection come.
#[derive(Clone, Debug)]
pub enum Answers {
    /// Each within the time that the address gives.
    Soon,
    /// Whenever there is something to answer: for calls that wait.
    Late,
    /// Soon, and beside them what is published, here.
    Pushed(UnboundedSender<PushInfo>),
}

/// Opens connections to one address.
pub(super) struct Opener {
    pub address: Address,
    tls: Option<TlsCertificates>,
    /// A key of the queue, by which a cluster is asked for the node that has its slot.
    probe: String,
    /// The sentinel or node that was right the last time: it is asked first.
    known: Mutex<Option<Node>>,
}

impl Opener {
    /// Reads the files of TLS; every one that cannot be used is told.
    pub fn new(address: Address, probe: String) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let tls = address.tls.as_ref().map(|files| {
            // The program may have chosen one before.
            if CryptoProvider::get_default().is_none() {
                _ = ring::default_provider().install_default();
            }
            let mut pem = |path: &Path, holds: &str, check: fn(&[u8]) -> bool| {
                let why = match std::fs::read(path) {
                    Ok(bytes) if check(&bytes) => return bytes,
                    Ok(_) => format!("no {holds} in it"),
                    Err(error) => error.to_string(),
                };
                faults.push(AddressFault::File { path: path.display().to_string(), why });
                vec![]
            };
            let certificates = |bytes: &[u8]| {
                let mut certificates = CertificateDer::pem_slice_iter(bytes).peekable();
                certificates.peek().is_some() && certificates.all(|it| it.is_ok())
            };
            TlsCertificates {
                root_cert: files.ca.as_ref().map(|ca| pem(ca, "certificate", certificates)),
                client_tls: files.own.as_ref().map(|(cert, key)| ClientTlsConfig {
                    client_cert: pem(cert, "certificate", certificates),
                    client_key: pem(key, "private key", |it| PrivateKeyDer::from_pem_slice(it).is_ok()),
                }),
            }
        });
        if !faults.is_empty() {
            return Err(Error::Address { faults });
        }
        Ok(Self { address, tls, probe, known: Mutex::new(None) })
    }

    /// Opens a connection to the right server.
    pub async fn open(&self, answers: &Answers) -> RedisResult<MultiplexedConnection> {
        let (seeds, lookup) = match &self.address.place {
            Place::Server(node) => {
                let address = self.at(node);
                return self.connect(address, self.address.login.as_ref(), answers).await;
            }
            Place::Socket(path) => {
                let address = ConnectionAddr::Unix(path.clone());
                return self.connect(address, self.address.login.as_ref(), answers).await;
            }
            Place::Sentinel { sentinels, master, login } => (sentinels, Some((master, login.as_ref()))),
            Place::Cluster(nodes) => (nodes, None),
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut failed = None;
        for seed in known.iter().chain(seeds.iter().filter(|it| Some(*it) != known.as_ref())) {
            let asked = async {
                match lookup {
                    Some((master, login)) => self.master(seed, master, login, answers).await,
                    None => self.owner(seed, answers).await,
                }
            };
            let silent = || RedisError::from((ErrorKind::Io, "no answer in time"));
            match timeout(self.address.timeout, asked).await.unwrap_or_else(|_| Err(silent())) {
                Ok((connection, right)) => {
                    *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(right);
                    return Ok(connection);
                }
                Err(error) if hopeless(&error) => return Err(error),
                Err(error) => failed = Some(told(format!("{seed}: {}", words(&error)))),
            }
        }
        Err(failed.unwrap_or_else(|| told("no server to ask".into())))
    }

    fn at(&self, Node { host, port }: &Node) -> ConnectionAddr {
        let (host, port) = (host.clone(), *port);
        match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        }
    }

    async fn connect(
        &self,
        address: ConnectionAddr,
        login: Option<&Login>,
        answers: &Answers,
    ) -> RedisResult<MultiplexedConnection> {
        // Without this it would say at each connection what it is called, which not every role may.
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(Login { user, password }) = login {
            settings = settings.set_password(password.expose());
            if let Some(user) = user {
                settings = settings.set_username(user);
            }
        }
        settings = settings.set_db(self.address.database.into());
        if matches!(answers, Answers::Pushed(_)) {
            settings = settings.set_protocol(ProtocolVersion::RESP3);
        }
        let info = address.into_connection_info()?.set_redis_settings(settings);
        let client = match &self.tls {
            None => Client::open(info)?,
            Some(tls) => Client::build_with_tls(info, tls.clone())?,
        };
        let soon = (!matches!(answers, Answers::Late)).then_some(self.address.timeout);
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.address.timeout))
            .set_response_timeout(soon);
        if let Answers::Pushed(told) = answers {
            config = config.set_push_sender(told.clone());
        }
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// The master that a sentinel names, if it is one: a sentinel that was cut off from the others does not know better.
    /// <https://redis.io/docs/latest/develop/reference/sentinel-clients/>
    async fn master(
        &self,
        sentinel: &Node,
        name: &str,
        login: Option<&Login>,
        answers: &Answers,
    ) -> RedisResult<(MultiplexedConnection, Node)> {
        let mut asked = self.connect_sentinel(sentinel, login).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let Some((host, port)): Option<(String, u16)> = question.query_async(&mut asked).await? else {
            return Err(told(format!("this sentinel knows no master `{name}`")));
        };
        let node = Node { host, port };
        let mut connection = self.connect(self.at(&node), self.address.login.as_ref(), answers).await?;
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
        match role.first() {
            Some(Value::BulkString(it)) if it == b"master" => Ok((connection, sentinel.clone())),
            _ => Err(told(format!("the sentinel names {node}, which is no master"))),
        }
    }

    async fn connect_sentinel(
        &self,
        node: &Node,
        login: Option<&Login>,
    ) -> RedisResult<MultiplexedConnection> {
        let settings = Address { database: 0, ..self.address.clone() };
        let opener =
            Self { address: settings, tls: self.tls.clone(), probe: String::new(), known: Mutex::default() };
        opener.connect(self.at(node), login, &Answers::Soon).await
    }

    /// The node of a cluster that has the queue's slot.
    async fn owner(&self, seed: &Node, answers: &Answers) -> RedisResult<(MultiplexedConnection, Node)> {
        let mut node = seed.clone();
        for _ in 0..HOPS {
            let mut connection = self.connect(self.at(&node), self.address.login.as_ref(), answers).await?;
            let mut probe = redis::cmd("HGET");
            let answer: RedisResult<Value> =
                probe.arg(&self.probe).arg("paused").query_async(&mut connection).await;
            match answer {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                    node = moved(&error, &node).ok_or(error)?;
                }
                // The slot is being moved away. Its calls wait until it has been.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Ask) => {
                    return Ok((connection, node));
                }
                answer => return answer.map(|_| (connection, node)),
            }
        }
        Err(told(format!("its nodes send one on and on, at last to {node}")))
    }
}

/// Where a node sends us: `MOVED slot host:port`. Without a host it is the one that was asked.
fn moved(error: &RedisError, asked: &Node) -> Option<Node> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let host = if host.is_empty() { &asked.host } else { host };
    Some(Node { host: host.into(), port: port.parse().ok()? })
}

/// An error in our words.
pub(super) fn told(words: String) -> RedisError {
    redis::make_extension_error("UNREACHABLE".into(), Some(words))
}

/// An error without its code, if the words are ours.
pub(super) fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some("UNREACHABLE"), Some(words)) => words.into(),
        _ => error.to_string(),
    }
}

/// Whether another try at once would end the same.
pub(super) fn hopeless(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig)
}
