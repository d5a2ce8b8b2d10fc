//! The page at `/`: three files in the program itself, which load nothing from anywhere else.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;

use crate::documents::etag;

/// Its own files and answers of its own server, and nothing else: no script within the text, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset { path: "/", kind: "text/html; charset=utf-8", text: include_str!("../page/page.html") },
    Asset { path: "/page.css", kind: "text/css; charset=utf-8", text: include_str!("../page/page.css") },
    Asset { path: "/page.js", kind: "text/javascript; charset=utf-8", text: include_str!("../page/page.js") },
    Asset { path: "/icon.svg", kind: "image/svg+xml", text: include_str!("../page/icon.svg") },
];

/// Whether a path is of the page, which says nothing about the machine.
pub(super) fn is_page(path: &str) -> bool {
    ASSETS.iter().any(|it| it.path == path)
}

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    static TAGS: LazyLock<[HeaderValue; 4]> =
        LazyLock::new(|| ASSETS.each_ref().map(|it| etag(it.text.as_bytes())));
    ASSETS.iter().zip(&*TAGS).fold(Router::new(), |router, (asset, tag)| {
        router.route(asset.path, get(move |headers: HeaderMap| async move { answer(asset, tag, &headers) }))
    })
}

fn answer(asset: &'static Asset, tag: &HeaderValue, asked: &HeaderMap) -> Response<Body> {
    let known = asked.get(IF_NONE_MATCH) == Some(tag);
    let mut answer = Response::new(Body::from(if known { "" } else { asset.text }));
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, tag.clone());
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(COOP, HeaderValue::from_static("same-origin"));
    answer
}
