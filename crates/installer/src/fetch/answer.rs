//! What a server's answer promises, before a byte of it is kept.

use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};

use super::{Bad, Wanted};
use crate::fault::InstallFault;

/// The longest that a server may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// An answer that may be read on.
pub(super) struct Offer {
    /// The first byte of what comes.
    pub(super) begins: u64,
    /// The bytes of the whole file, where the server says.
    pub(super) size: Option<u64>,
    /// A name for these very bytes, good for `If-Range` (RFC 9110, 13.1.5).
    pub(super) tag: Option<HeaderValue>,
}

impl Offer {
    pub(super) fn read(answer: &Response, begun: u64, wanted: &Wanted<'_>, host: &str) -> Result<Self, Bad> {
        let (host, file) = (host.to_owned(), wanted.file.clone());
        let (status, headers) = (answer.status(), answer.headers());
        let transfer = |why: String| InstallFault::Transfer { host: host.clone(), file: file.clone(), why };
        let content =
            |why: String| Bad::Give(InstallFault::Content { host: host.clone(), file: file.clone(), why });
        let withheld = |why: String| {
            Bad::Give(InstallFault::Withheld { host: host.clone(), file: file.clone(), why, token: None })
        };
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE => {
                // What we have is not a beginning of what it has; from its first byte, then.
                return Err(Bad::Again(transfer(format!("it has no byte {begun}")), None));
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Err(Bad::Again(transfer(status.to_string()), pause(headers)));
            }
            it if it.is_server_error() => return Err(Bad::Again(transfer(it.to_string()), pause(headers))),
            it => return Err(withheld(it.to_string())),
        }
        let text = |name: HeaderName| headers.get(name).and_then(|it| it.to_str().ok());
        if let Some(kind) = text(CONTENT_TYPE)
            && kind.trim_start().to_ascii_lowercase().starts_with("text/html")
            && Path::new(&wanted.file).extension().is_none_or(|it| it != "html")
        {
            return Err(withheld("it sends a page for people, such as a login, instead of the file".into()));
        }
        if text(CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            return Err(content("it comes packed in a way that nobody asked for".into()));
        }
        let length: Option<u64> = text(CONTENT_LENGTH).and_then(|it| it.parse().ok());
        let (begins, size) = if status == StatusCode::PARTIAL_CONTENT {
            let range = text(CONTENT_RANGE).and_then(range);
            match range {
                Some((from, size)) if from == begun => (begun, size),
                _ => {
                    return Err(Bad::Again(
                        transfer("it sends another part than was asked for".into()),
                        None,
                    ));
                }
            }
        } else {
            (0, length)
        };
        if let (Some(declared), Some(size)) = (wanted.size, size)
            && declared != size
        {
            return Err(content(format!("it has {size} bytes, and {declared} were declared")));
        }
        Ok(Self { begins, size, tag: tag(headers) })
    }
}

/// `bytes 100-199/200`: the first byte, and the size if it is known.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (span, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = span.split_once('-')?;
    Some((from.parse().ok()?, size.parse().ok()))
}

/// A strong `ETag`, or else the date: a weak tag says nothing about bytes.
fn tag(headers: &HeaderMap) -> Option<HeaderValue> {
    let tag = headers.get(ETAG).filter(|it| it.as_bytes().starts_with(b"\""));
    tag.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3), within reason.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    let until = || httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok();
    Some(seconds.or_else(until)?.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_where_it_begins_and_how_much_there_is() {
        let table = [
            ("bytes 100-199/200", Some((100, Some(200)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes */200", None),
            ("items 0-1/2", None),
            ("bytes -5-1/2", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(range(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_weak_tag_is_no_name_for_bytes() {
        let headers =
            |name: &str, value: &str| HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        assert!(tag(&headers("etag", "\"a\"")).is_some());
        assert!(tag(&headers("etag", "W/\"a\"")).is_none());
        assert!(tag(&headers("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")).is_some());
    }
}
