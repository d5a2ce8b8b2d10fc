//! The guard before every address that comes from a job or from a service's answer.
//!
//! Such an address is somebody else's text, and fetching it is done with this machine's reach: to its other services, to
//! the network that it is in, to the cloud's metadata. So only `https` (and `http` where it is allowed) to public
//! addresses passes, unless the operator declared a host or network. A name is resolved once, every address of it is
//! judged, and the connection is made to exactly those; a redirect is judged like the address that led to it.
//!
//! Which addresses are not public: IANA's special-purpose registries (RFC 6890 and its successors), with IPv4 within
//! IPv6 (mapped, compatible, 6to4, Teredo, NAT64) judged as the IPv4 that it is.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, Url};
use url::Host;

use crate::failure::{Failure, Symptom};
use crate::http;

mod public;

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// What a worker may fetch.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether `http` is allowed beside `https`.
    pub http: bool,
    /// Only these hosts and what is below them: `example.com` is also `cdn.example.com`. Empty: every public host.
    pub hosts: Vec<String>,
    /// These hosts and networks are allowed although they are not public.
    pub inside: Vec<Inside>,
    /// The most bytes of one answer.
    pub bytes: u64,
    /// The longest that fetching one takes.
    pub time: Duration,
}

impl Default for Rules {
    /// `https` to every public host, at most 1 GiB in 10 min.
    fn default() -> Self {
        Self { http: false, hosts: vec![], inside: vec![], bytes: 1 << 30, time: Duration::from_mins(10) }
    }
}

/// What is allowed although it is not public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inside {
    /// A host by its name, whatever it resolves to.
    Host(String),
    /// Addresses.
    Net(IpNet),
}

/// Why an address is not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Not `https`, or not `http` either.
    #[error("its scheme `{0}` is not allowed")]
    Scheme(String),
    /// With a name and password.
    #[error("it carries a user name or password")]
    Credentials,
    /// Nothing to connect to.
    #[error("it has no host")]
    NoHost,
    /// Not among the hosts that are allowed.
    #[error("its host `{0}` is not among those that are allowed")]
    Host(String),
    /// Of this machine, its network, or reserved.
    #[error("its host is at {0}, which is not a public address")]
    Address(IpAddr),
    /// Too many.
    #[error("it leads on more than {REDIRECTS} times")]
    Redirects,
    /// Not an address at all.
    #[error("it is not an address")]
    Syntax,
}

/// Fetches what the rules allow.
#[derive(Clone, Debug)]
pub struct Egress {
    rules: Arc<Rules>,
    client: Client,
}

impl Egress {
    /// A guard with these rules.
    pub fn new(rules: Rules) -> Self {
        let rules = Arc::new(rules);
        let builder = http::guarded(rules.time).dns_resolver(Arc::new(Judged(rules.clone())));
        let judge = rules.clone();
        let policy = Policy::custom(move |attempt: Attempt<'_>| {
            if attempt.previous().len() > REDIRECTS {
                return attempt.error(Forbidden::Redirects);
            }
            match judge.judge(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(forbidden) => attempt.error(forbidden),
            }
        });
        let client = builder.redirect(policy).build().expect("a client with these settings can be made");
        Self { rules, client }
    }

    /// What it keeps to.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The answer to a `GET`, whose body the caller reads with [`Fetched::chunk`].
    pub async fn get(&self, address: &str) -> Result<Fetched, Failure> {
        let forbidden =
            |it: &Forbidden| Failure::permanent(format!("an address of the job is not fetched: {it}"));
        let url = Url::parse(address).map_err(|_| forbidden(&Forbidden::Syntax))?;
        self.rules.judge(&url).map_err(|it| forbidden(&it))?;
        let doing = "fetching an address of the job";
        let answer = self.client.get(url).send().await.map_err(|it| match found(&it) {
            Some(it) => forbidden(it),
            // A host that is not there is not our service: nothing is wrong with that.
            None => Failure { suspect: false, ..retryable(http::failed(it, doing)) },
        })?;
        let answer = http::accepted(answer, doing).await.map_err(|it| Failure {
            suspect: false,
            retry_after: None,
            ..it
        })?;
        let limit = self.rules.bytes;
        if answer.content_length().is_some_and(|it| it > limit) {
            return Err(too_long(limit));
        }
        Ok(Fetched { answer, left: limit, limit })
    }
}

/// The service that was asked is not the worker's own, so that it is not there is no reason to hand the job back.
fn retryable(failure: Failure) -> Failure {
    Failure { kind: crate::failure::Kind::Retryable, ..failure }
}

fn too_long(limit: u64) -> Failure {
    Failure::of(Symptom::Invalid, format!("what is at an address of the job has more than {limit} bytes"))
}

/// What was fetched, a part at a time.
#[derive(Debug)]
pub struct Fetched {
    answer: Response,
    left: u64,
    limit: u64,
}

impl Fetched {
    /// The next bytes; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let doing = "fetching an address of the job";
        let failed = |it| Failure { suspect: false, ..http::failed(it, doing) };
        let Some(chunk) = self.answer.chunk().await.map_err(failed)? else { return Ok(None) };
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or_else(|| too_long(self.limit))?;
        Ok(Some(chunk.to_vec()))
    }
}

impl Rules {
    /// Judges all of an address that can be judged before its name is resolved.
    pub fn judge(&self, url: &Url) -> Result<(), Forbidden> {
        match url.scheme() {
            "https" => {}
            "http" if self.http => {}
            other => return Err(Forbidden::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Credentials);
        }
        match url.host() {
            None => Err(Forbidden::NoHost),
            Some(Host::Domain(name)) => self.name(name),
            Some(Host::Ipv4(it)) => self.literal(it.into()),
            Some(Host::Ipv6(it)) => self.literal(it.into()),
        }
    }

    /// What a host is at, asked once; one address of it that is not allowed makes the whole name suspect.
    pub(crate) async fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        if !self.is_inside(&host.trim_end_matches('.').to_ascii_lowercase()) {
            found.iter().try_for_each(|it| self.address(it.ip()))?;
        }
        Ok(found)
    }

    fn name(&self, name: &str) -> Result<(), Forbidden> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if (name == "localhost" || name.ends_with(".localhost")) && !self.is_inside(&name) {
            // This machine by definition, whatever a resolver says: RFC 6761, 6.3.
            return Err(Forbidden::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        let under = |host: &String| {
            name == *host || name.strip_suffix(host.as_str()).is_some_and(|it| it.ends_with('.'))
        };
        if self.hosts.is_empty() || self.hosts.iter().any(under) || self.is_inside(&name) {
            return Ok(());
        }
        Err(Forbidden::Host(name))
    }

    /// An address in the place of a name: it is not below any host, so a list of hosts excludes it.
    fn literal(&self, address: IpAddr) -> Result<(), Forbidden> {
        self.address(address)?;
        if self.hosts.is_empty() || self.is_declared(address) {
            Ok(())
        } else {
            Err(Forbidden::Host(address.to_string()))
        }
    }

    fn address(&self, address: IpAddr) -> Result<(), Forbidden> {
        if public::is_public(address) || self.is_declared(address) {
            Ok(())
        } else {
            Err(Forbidden::Address(address))
        }
    }

    fn is_declared(&self, address: IpAddr) -> bool {
        self.inside.iter().any(|it| matches!(it, Inside::Net(net) if net.contains(&address)))
    }

    fn is_inside(&self, name: &str) -> bool {
        self.inside.iter().any(|it| matches!(it, Inside::Host(host) if host == name))
    }
}

/// Resolves a name and passes on only what is allowed.
struct Judged(Arc<Rules>);

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found = rules.resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judged")
    }
}

/// Our own word among the causes of an error.
fn found(error: &reqwest::Error) -> Option<&Forbidden> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
            return Some(forbidden);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
