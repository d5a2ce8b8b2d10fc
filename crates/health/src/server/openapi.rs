//! What the server answers, described for programs. Written from the handlers themselves.

use std::sync::LazyLock;

use utoipa::OpenApi;

use super::routes;
use crate::documents::Page;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Roster: the health of a machine",
        version = "1",
        description = "Loopback is open; on every other address each request shows `Authorization: Bearer TOKEN`.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        routes::health,
        routes::live,
        routes::ready,
        routes::status,
        routes::version,
        routes::services,
        routes::service,
        routes::service_health,
        routes::service_logs,
        routes::restart,
        routes::drain,
        routes::all_metrics,
        routes::all_events
    )
)]
struct Described;

/// All answers, described in `OpenAPI` 3.1, as `GET /openapi.json` answers it.
pub fn openapi() -> serde_json::Value {
    serde_json::to_value(Described::openapi()).unwrap_or_default()
}

/// The same, written once.
pub(super) fn page() -> &'static Page {
    static PAGE: LazyLock<Page> = LazyLock::new(|| Page::of(&openapi()));
    &PAGE
}
