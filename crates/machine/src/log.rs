//! What a worker says while it works: lines on standard error, and, in a build with the feature `otlp`, spans to a collector
//! of OpenTelemetry.

use spec::env::EnvSource;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Where spans go, by the name that OpenTelemetry gave it: `http://collector:4318`.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Sends what is left when it is dropped. That blocks: not on a thread of the runtime.
pub(crate) struct Log {
    #[cfg(feature = "otlp")]
    spans: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Log {
    /// Begins, once a process. The supervisor adds the time to the lines.
    pub(crate) fn begin(environment: &dyn EnvSource) -> Self {
        let get = |name: &str| {
            let key = name.parse().expect("it is the name of a variable");
            environment.get(&key).ok().flatten().filter(|it| !it.is_empty())
        };
        let level = get("LOG_LEVEL").and_then(|it| it.parse().ok()).unwrap_or(Level::INFO);
        let lines =
            fmt::layer().with_target(false).without_time().with_writer(std::io::stderr).with_ansi(false);
        let log = tracing_subscriber::registry().with(lines.with_filter(LevelFilter::from_level(level)));
        let endpoint = get(ENDPOINT);
        #[cfg(feature = "otlp")]
        {
            let (spans, failed) = match endpoint.map(|it| spans(&it, get("WORKER_ID"))) {
                None => (None, None),
                Some(Ok(it)) => (Some(it), None),
                Some(Err(it)) => (None, Some(it)),
            };
            let tracer = spans.as_ref().map(|it| opentelemetry::trace::TracerProvider::tracer(it, "roster"));
            let layer = tracer.map(|it| tracing_opentelemetry::layer().with_tracer(it));
            log.with(layer.with_filter(LevelFilter::INFO)).init();
            if let Some(error) = failed {
                tracing::warn!(error, "spans go nowhere");
            }
            Self { spans }
        }
        #[cfg(not(feature = "otlp"))]
        {
            log.init();
            if endpoint.is_some() {
                tracing::warn!("{ENDPOINT} is set, but this program was built without the feature `otlp`");
            }
            Self {}
        }
    }
}

/// A job is a span: its id, connector, attempt and outcome. They go in batches, by a thread of their own.
#[cfg(feature = "otlp")]
fn spans(
    endpoint: &str,
    worker: Option<String>,
) -> Result<opentelemetry_sdk::trace::SdkTracerProvider, String> {
    use opentelemetry::KeyValue;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    // The exporter's own client takes what the process has chosen.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        _ = rustls::crypto::ring::default_provider().install_default();
    }
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|it| it.to_string())?;
    let instance = worker.map(|it| KeyValue::new("service.instance.id", it));
    // `OTEL_RESOURCE_ATTRIBUTES` adds to these.
    let resource = Resource::builder().with_service_name("roster-worker").with_attributes(instance);
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

#[cfg(feature = "otlp")]
impl Drop for Log {
    fn drop(&mut self) {
        // A collector that is gone is no reason for a worker to fail; the SDK waits for five seconds at most.
        if let Some(Err(error)) =
            self.spans.as_ref().map(opentelemetry_sdk::trace::SdkTracerProvider::shutdown)
        {
            tracing::warn!(%error, "the last spans are lost");
        }
    }
}
