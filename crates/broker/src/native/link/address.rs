//! Where Redis is: one text, read once, with every fault in it. `docs/broker.md` has the grammar.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use spec::env::Secret;

use super::fault::AddressFault as Fault;
use crate::error::Error;

/// The address of a Redis or Valkey, with what it takes to be let in. It prints without its passwords.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    pub(super) place: Place,
    pub(super) login: Option<Login>,
    pub(super) database: u16,
    pub(super) tls: Option<Tls>,
    pub(super) timeout: Duration,
}

/// Which servers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Server(Node),
    Socket(PathBuf),
    /// The sentinels know where the master of this name is.
    Sentinel {
        sentinels: Vec<Node>,
        master: String,
        login: Option<Login>,
    },
    /// Some nodes of a cluster; they know the others.
    Cluster(Vec<Node>),
}

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub host: String,
    pub port: u16,
}

/// A user of Redis; the one that it calls `default` where none is named.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Login {
    pub user: Option<String>,
    pub password: Secret<String>,
}

/// Files that TLS takes. Without `ca` the system's authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tls {
    pub ca: Option<PathBuf>,
    /// The certificate and the key with which this side shows who it is.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// How long an answer may take, and how long a connection may take to open, where the address does not say.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

/// Every scheme, and whether it is over TLS.
pub(super) const SCHEMES: [&str; 7] =
    ["redis", "rediss", "redis+unix", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let read = read(text, &mut faults);
        match read {
            Some(address) if faults.is_empty() => Ok(address),
            _ => Err(Error::Address { faults }),
        }
    }
}

/// Reads as much as can be read. What comes before the last `@` is never shown, whatever it looks like: it is where a
/// password is, and a password that nobody encoded looks like anything.
fn read(text: &str, faults: &mut Vec<Fault>) -> Option<Address> {
    let Some((scheme, rest)) = text.split_once("://") else {
        faults.push(Fault::NoScheme);
        return None;
    };
    let (kind, tls) = match scheme {
        "redis" => (Kind::Server, false),
        "rediss" => (Kind::Server, true),
        "redis+unix" => (Kind::Socket, false),
        "redis-sentinel" => (Kind::Sentinel, false),
        "rediss-sentinel" => (Kind::Sentinel, true),
        "redis-cluster" => (Kind::Cluster, false),
        "rediss-cluster" => (Kind::Cluster, true),
        _ => {
            let shown = scheme.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '+' | '-'));
            faults.push(if shown { Fault::Scheme { found: scheme.into() } } else { Fault::NoScheme });
            return None;
        }
    };
    let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
    let login = login.and_then(|it| read_login(it, faults));
    let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, it)| (rest, Some(it)));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut database = 0;
    let place = match kind {
        Kind::Socket => {
            if !hosts.is_empty() || path.is_empty() {
                faults.push(Fault::Socket);
            }
            Some(Place::Socket(format!("/{}", decoded(path, "path", faults)).into()))
        }
        Kind::Server => {
            let mut nodes = read_nodes(hosts, 6379, faults);
            if nodes.len() > 1 {
                faults.push(Fault::Hosts { found: nodes.len() });
            }
            database = read_database(path, faults);
            nodes.pop().map(Place::Server)
        }
        Kind::Sentinel => {
            let sentinels = read_nodes(hosts, 26379, faults);
            let (master, path) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                faults.push(Fault::Master);
            }
            let master = decoded(master, "master", faults);
            database = read_database(path, faults);
            Some(Place::Sentinel { sentinels, master, login: None })
        }
        Kind::Cluster => {
            let nodes = read_nodes(hosts, 6379, faults);
            if !path.is_empty() {
                faults.push(Fault::Path { found: path.into() });
            }
            Some(Place::Cluster(nodes))
        }
    };
    let options = Options::read(scheme, kind, tls, query, faults);
    if fragment.is_some() {
        faults.push(Fault::Fragment);
    }
    let place = match place? {
        Place::Sentinel { sentinels, master, .. } => {
            Place::Sentinel { sentinels, master, login: options.sentinel }
        }
        place => place,
    };
    let database = options.database.unwrap_or(database);
    Some(Address { place, login, database, tls: tls.then_some(options.tls), timeout: options.timeout })
}

fn read_login(text: &str, faults: &mut Vec<Fault>) -> Option<Login> {
    if let Some(found) = text.chars().find(|it| matches!(it, '/' | '?' | '#' | '@' | ' ')) {
        faults.push(Fault::Unescaped { found });
        return None;
    }
    let Some((user, password)) = text.split_once(':').filter(|(_, password)| !password.is_empty()) else {
        faults.push(Fault::Password);
        return None;
    };
    let user = decoded(user, "user", faults);
    let password = Secret::new(decoded(password, "password", faults));
    Some(Login { user: (!user.is_empty()).then_some(user), password })
}

fn read_nodes(text: &str, port: u16, faults: &mut Vec<Fault>) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (at, text) in text.split(',').enumerate() {
        // An address of IPv6 stands in brackets, for it has colons itself.
        let (host, found) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let host = decoded(host, "host", faults);
        if host.is_empty() {
            faults.push(Fault::Host { at: at + 1 });
        }
        let port = match found.map(str::parse) {
            None => port,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => {
                faults.push(Fault::Port { at: at + 1, found: found.unwrap_or_default().into() });
                port
            }
        };
        nodes.push(Node { host, port });
    }
    nodes
}

fn read_database(text: &str, faults: &mut Vec<Fault>) -> u16 {
    if text.is_empty() {
        return 0;
    }
    text.parse().unwrap_or_else(|_| {
        faults.push(Fault::Database { found: text.into() });
        0
    })
}

/// What stands behind `?`.
struct Options {
    tls: Tls,
    sentinel: Option<Login>,
    database: Option<u16>,
    timeout: Duration,
}

impl Options {
    fn read(scheme: &str, kind: Kind, tls: bool, text: &str, faults: &mut Vec<Fault>) -> Self {
        let mut known = vec!["timeout"];
        known.extend(tls.then_some(["ca", "cert", "key"]).into_iter().flatten());
        known.extend(
            (kind == Kind::Sentinel).then_some(["sentinel-user", "sentinel-password"]).iter().flatten(),
        );
        known.extend((kind == Kind::Socket).then_some("db"));
        let mut found: Vec<(&str, String)> = Vec::new();
        for part in text.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(name) = known.iter().find(|it| **it == name) else {
                faults.push(Fault::Option {
                    found: name.into(),
                    scheme: scheme.into(),
                    known: known.join(", "),
                });
                continue;
            };
            if found.iter().any(|(it, _)| it == name) {
                faults.push(Fault::Twice { name });
            } else if value.is_empty() {
                faults.push(Fault::Empty { name });
            } else {
                found.push((name, decoded(value, name, faults)));
            }
        }
        let mut take =
            |name: &str| found.iter().position(|(it, _)| *it == name).map(|at| found.swap_remove(at).1);
        let ca = take("ca").map(PathBuf::from);
        let own = pair(("cert", take("cert")), ("key", take("key")), faults);
        let user = take("sentinel-user");
        let sentinel = match take("sentinel-password") {
            Some(password) => Some(Login { user, password: Secret::new(password) }),
            None if user.is_some() => {
                faults.push(Fault::Alone { there: "sentinel-user", absent: "sentinel-password" });
                None
            }
            None => None,
        };
        let database = take("db").map(|it| read_database(&it, faults));
        let timeout = take("timeout").map_or(Some(TIMEOUT), |it| {
            let ms = it.parse().ok().filter(|it| (1..=600_000).contains(it));
            if ms.is_none() {
                faults.push(Fault::Timeout { found: it });
            }
            ms.map(Duration::from_millis)
        });
        let timeout = timeout.unwrap_or(TIMEOUT);
        let own = own.map(|(cert, key)| (cert.into(), key.into()));
        Self { tls: Tls { ca, own }, sentinel, database, timeout }
    }
}

type Named = (&'static str, Option<String>);

/// Both or none.
fn pair(one: Named, other: Named, faults: &mut Vec<Fault>) -> Option<(String, String)> {
    match (one, other) {
        ((_, Some(one)), (_, Some(other))) => Some((one, other)),
        ((_, None), (_, None)) => None,
        ((there, Some(_)), (absent, None)) | ((absent, None), (there, Some(_))) => {
            faults.push(Fault::Alone { there, absent });
            None
        }
    }
}

/// Percent-decoding, RFC 3986 section 2.1: what follows every `%` has to be two hexadecimal digits.
fn decoded(text: &str, part: &'static str, faults: &mut Vec<Fault>) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.split_at_checked(2).and_then(|(digits, tail)| {
            rest = tail;
            let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
            Some(digit(digits[0])? << 4 | digit(digits[1])?)
        });
        let Some(byte) = digits else {
            faults.push(Fault::Escape { part });
            return String::new();
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).unwrap_or_else(|_| {
        faults.push(Fault::Escape { part });
        String::new()
    })
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, nodes) = match &self.place {
            Place::Server(node) => ("", std::slice::from_ref(node)),
            Place::Socket(_) => ("+unix", &[][..]),
            Place::Sentinel { sentinels, .. } => ("-sentinel", &**sentinels),
            Place::Cluster(nodes) => ("-cluster", &**nodes),
        };
        write!(f, "redis{}{kind}://", if self.tls.is_some() { "s" } else { "" })?;
        if let Some(user) = self.login.as_ref().and_then(|it| it.user.as_ref()) {
            write!(f, "{user}@")?;
        }
        for (at, node) in nodes.iter().enumerate() {
            write!(f, "{}{node}", if at > 0 { "," } else { "" })?;
        }
        match &self.place {
            Place::Socket(path) => write!(f, "{}", path.display()),
            Place::Sentinel { master, .. } => write!(f, "/{master}"),
            Place::Server(_) | Place::Cluster(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
