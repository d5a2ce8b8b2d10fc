//! Documents as they are sent.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::HeaderValue;
use serde::Serialize;

/// A document as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub body: Bytes,
    /// The strong validator of RFC 9110, section 8.8.3, with its quotes.
    pub etag: HeaderValue,
}

impl Page {
    pub(crate) fn of(document: &impl Serialize) -> Self {
        // None of the documents above can fail to be written: no map with keys that are not text, no own serialiser.
        let body = serde_json::to_vec(document).unwrap_or_default();
        Self { etag: etag(&body), body: body.into() }
    }
}

/// Equal bytes, equal tag.
pub(crate) fn etag(body: &[u8]) -> HeaderValue {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(body);
    let digest = digest.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    // Quotes and hexadecimal digits can be in a header.
    HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The documents of one snapshot, each written when first asked for and then kept.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub health: OnceLock<Page>,
    pub ready: OnceLock<Page>,
    pub version: OnceLock<Page>,
    pub status: OnceLock<Page>,
    pub services: OnceLock<Page>,
}
