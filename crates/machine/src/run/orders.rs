//! What people ask for through the health server, passed on to the supervisor and to the machine itself.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use health::{Control, Refused};
use spec::ids::ProcessName;
use supervisor::control::Service;
use supervisor::control::protocol::Which;
use tokio::sync::mpsc::UnboundedSender;

use super::heart::Mail;
use super::recovery::Event;
use crate::config::Guard;

/// Carries out orders.
pub(crate) struct Orders {
    /// The supervisor.
    pub(crate) service: Service,
    /// The machine.
    pub(crate) mail: UnboundedSender<Mail>,
    /// Knows what is in no line.
    pub(crate) guard: Guard,
}

impl Orders {
    async fn has(&self, process: &ProcessName) -> Result<(), Refused> {
        let fleet = self.service.control.fleet().await.map_err(|_| Refused::NotNow { doing: "ending" })?;
        let has = fleet.processes.iter().any(|it| it.name == *process);
        if has { Ok(()) } else { Err(Refused::NoProcess { name: process.clone() }) }
    }
}

impl Control for Orders {
    fn restart<'a>(&'a self, process: &'a ProcessName) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            self.has(process).await?;
            let (control, which) = (self.service.control.clone(), Which::Names(vec![process.clone()]));
            // It is seen by what the process does; nobody waits for the answer.
            tokio::spawn(async move { control.restart(which).await });
            Ok(())
        })
    }

    fn drain(&self) -> BoxFuture<'_, Result<(), Refused>> {
        let sent = self.mail.send(Mail::Event(Event::Drain)).map_err(|_| Refused::NotNow { doing: "ending" });
        Box::pin(std::future::ready(sent))
    }

    fn logs<'a>(
        &'a self,
        process: &'a ProcessName,
        lines: usize,
        follow: bool,
    ) -> BoxFuture<'a, Result<BoxStream<'static, String>, Refused>> {
        Box::pin(async move {
            self.has(process).await?;
            let which = Which::Names(vec![process.clone()]);
            let lines = u32::try_from(lines).unwrap_or(u32::MAX);
            let read = self.service.logs(which, lines, follow).await;
            let read = read.map_err(|them| {
                let why = them.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                Refused::Failed { why }
            })?;
            let guard = self.guard.clone();
            let next = move |mut read: supervisor::control::LogLines| {
                let guard = guard.clone();
                async move {
                    let line = read.next().await?.line;
                    let text = String::from_utf8_lossy(line.as_ref()).into_owned();
                    Some((guard.text(&text), read))
                }
            };
            Ok(stream::unfold(read, next).boxed())
        })
    }
}
