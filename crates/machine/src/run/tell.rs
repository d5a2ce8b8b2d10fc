//! What Redis is told of the machine.

use std::sync::Arc;
use std::time::Duration;

use broker::{Native, Wire};
use health::{Board, Millis, Publisher, RedisWire};
use spec::ids::MachineId;
use tokio::sync::mpsc::UnboundedSender;

use super::heart::{self, Mail};
use crate::config::Config;

/// Between two reports to the TypeScript system, at most. Its own machines keep to this; one that is silent for 30 s counts as
/// gone there.
const LEGACY_PERIOD: Duration = Duration::from_secs(10);

/// Tells it over the connection of `broker`.
pub(crate) fn publisher(
    config: &Config,
    broker: &Native,
    board: Arc<Board>,
    mail: UnboundedSender<Mail>,
) -> Publisher {
    let settings = &config.settings;
    let (wire, period) = match settings.wire {
        Wire::Native => (RedisWire::new(broker.connection(), settings.queue.clone()), settings.status_every),
        Wire::Legacy => (RedisWire::messages(broker.connection()), settings.status_every.min(LEGACY_PERIOD)),
    };
    Publisher {
        board,
        wire: Arc::new(wire),
        period,
        health_url: format!("http://localhost:{}/health", settings.port),
        namesake: namesake(settings.machine.clone(), mail),
    }
}

/// Jobs are safe from it, but who watches sees now one and now the other.
fn namesake(machine: MachineId, mail: UnboundedSender<Mail>) -> Box<dyn Fn(Millis) + Send + Sync> {
    Box::new(move |started| {
        let ago = heart::now().saturating_sub(started) / 1000;
        let what = format!(
            "another machine, started {ago} s ago, speaks under the name {machine} as well; \
             give each its own: `MACHINE_ID=NAME roster env-build`"
        );
        let _ = mail.send(Mail::Doing(what));
    })
}
