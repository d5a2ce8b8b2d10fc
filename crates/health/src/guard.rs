//! Who is answered: pure rules over the head of a request.

use std::net::IpAddr;

use axum::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING,
};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use sha2::{Digest as _, Sha256};
use spec::env::Secret;
use subtle::ConstantTimeEq as _;

/// The longest body of a request, in bytes. No request has anything to say in one.
const MAX_BODY: u64 = 4096;
/// Where a browser says from what kind of site a request comes: Fetch Metadata Request Headers, W3C.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whom the server answers.
#[derive(Debug)]
pub(crate) struct Guard {
    /// What everybody has to show; nothing on loopback.
    token: Option<[u8; 32]>,
    /// Names by which the machine may be called, beside its addresses and `localhost`.
    hosts: Vec<String>,
}

/// Why somebody is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the request names no host, or more than one")]
    NoHost,
    #[error("this is not that host: use the machine's address, or a name that it was told it has")]
    ForeignHost,
    #[error("orders are not taken from pages of other sites")]
    CrossSite,
    #[error("show the machine's token: `Authorization: Bearer …`")]
    NoToken,
    #[error("the body is too long")]
    TooLong,
}

impl Denied {
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl Guard {
    pub fn new(token: Option<&Secret<String>>, hosts: Vec<String>) -> Self {
        // Only the digest is kept: it has one length, so comparing it tells nothing about the token's.
        Self { token: token.map(|it| Sha256::digest(it.expose()).into()), hosts }
    }

    /// Whether a request is answered. `open`: it asks for the page itself, which says nothing about the machine and asks
    /// for the token.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap, open: bool) -> Result<(), Denied> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Denied::NoHost) };
        // A page of another site can have its name resolve to this machine (DNS rebinding), but not change what it is
        // called: the name in `Host`.
        let host = host.to_str().map_err(|_| Denied::NoHost)?;
        if !self.is_us(host) || uri.authority().is_some_and(|it| !self.is_us(it.as_str())) {
            return Err(Denied::ForeignHost);
        }
        if !open && !self.knows(headers.get(AUTHORIZATION)) {
            return Err(Denied::NoToken);
        }
        if method != Method::GET && method != Method::HEAD {
            if cross_site(host, headers) {
                return Err(Denied::CrossSite);
            }
            let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
            if headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|it: u64| it > MAX_BODY) {
                return Err(Denied::TooLong);
            }
        }
        Ok(())
    }

    fn is_us(&self, host: &str) -> bool {
        let name = name(host);
        let address = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    fn knows(&self, shown: Option<&HeaderValue>) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = shown.and_then(|it| it.to_str().ok()).and_then(|it| {
            let (scheme, token) = it.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        shown.is_some_and(|it| Sha256::digest(it).ct_eq(token).into())
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a browser sends this for a page of another site. Programs send neither of the two.
fn cross_site(host: &str, headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    if site.is_some_and(|it| !matches!(it, b"same-origin" | b"none")) {
        return true;
    }
    headers.get(ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.split_once("://").is_none_or(|(_, it)| !it.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests;
