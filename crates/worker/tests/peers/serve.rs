//! What doubles are made of.

use axum::Router;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

/// The smallest PNG.
pub fn png() -> Vec<u8> {
    let text =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    BASE64_STANDARD.decode(text).unwrap()
}

/// Serves a double until its runtime ends, at a free port.
pub async fn serve(router: Router) -> Url {
    serve_at(0, router).await
}

/// The same, at this port.
pub async fn serve_at(port: u16, router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
