//! A connector whose service is watched by the machine: its health server says whether the service is well, and so no worker
//! has to probe it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Client, Url};
use serde_json::Value;

use crate::connector::{Connector, Task};
use crate::failure::Failure;
use crate::http;
use crate::payload::Payload;

/// The longest silence of the health server: it answers from what it knows.
const IDLE: Duration = Duration::from_secs(5);

/// The connector, asking elsewhere whether its service is well.
pub(crate) struct Watched {
    connector: Arc<dyn Connector>,
    client: Client,
    url: Url,
}

impl Watched {
    /// `GET url` says with status 200 that the service is well, and with any other why it is not.
    pub(crate) fn new(connector: Arc<dyn Connector>, url: Url) -> Self {
        Self { connector, client: http::client(IDLE), url }
    }
}

impl Connector for Watched {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        self.connector.payload(service_required)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async {
            let doing = "asking the machine for the health of the service";
            let answer =
                self.client.get(self.url.clone()).send().await.map_err(|it| http::failed(it, doing))?;
            if answer.status() == reqwest::StatusCode::OK {
                return Ok(());
            }
            Err(http::refused(answer, doing).await)
        }
        .boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        self.connector.run(task)
    }

    fn owns_service(&self) -> bool {
        self.connector.owns_service()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::connectors::simulation::Simulation;

    /// A machine that knows two services.
    async fn machine() -> Url {
        let ill = (StatusCode::SERVICE_UNAVAILABLE, r#"{"detail": "comfyui-gpu1 is starting"}"#);
        let routes = Router::new()
            .route("/services/comfyui-gpu0/health", get(async || "{}"))
            .route("/services/comfyui-gpu1/health", get(async move || ill))
            .route("/services/comfyui-gpu2/health", get(async || StatusCode::NO_CONTENT));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async { axum::serve(listener, routes).await });
        url
    }

    #[tokio::test]
    async fn a_service_is_well_if_the_machine_says_200_and_nothing_else_is() {
        let machine = machine().await;
        let at = |path: &str| Watched::new(Arc::new(Simulation::new(None)), machine.join(path).unwrap());
        assert_eq!(at("/services/comfyui-gpu0/health").check().await, Ok(()));
        let ill = at("/services/comfyui-gpu1/health").check().await.unwrap_err();
        assert!(ill.message.ends_with("503 Service Unavailable: comfyui-gpu1 is starting"), "{ill}");
        assert!(at("/services/comfyui-gpu2/health").check().await.is_err());
        assert!(at("/services/nobody/health").check().await.is_err());
        let nobody = Url::parse("http://127.0.0.1:1/").unwrap();
        assert!(Watched::new(Arc::new(Simulation::new(None)), nobody).check().await.is_err());
    }
}
