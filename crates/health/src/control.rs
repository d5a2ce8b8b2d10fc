//! What the server may ask of the machine.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use spec::ids::ProcessName;

/// Carries out what people ask for through the server, and reads logs. The machine has the real one.
pub trait Control: Send + Sync {
    /// Stops a process and starts it anew. Ready when the order was taken, not when it was carried out.
    fn restart<'a>(&'a self, process: &'a ProcessName) -> BoxFuture<'a, Result<(), Refused>>;

    /// Claims no more jobs, finishes those at hand, and ends the machine. Ready when the order was taken.
    fn drain(&self) -> BoxFuture<'_, Result<(), Refused>>;

    /// The last `lines` lines that a process has written, oldest first, without their line ends; with `follow`, then
    /// those that it writes from now on. Secrets are redacted.
    fn logs<'a>(
        &'a self,
        process: &'a ProcessName,
        lines: usize,
        follow: bool,
    ) -> BoxFuture<'a, Result<BoxStream<'static, String>, Refused>>;
}

/// Why an order was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such process here: a service elsewhere, or one that is not configured.
    #[error("`{name}` is not a process of this machine")]
    NoProcess {
        /// Who was asked for.
        name: ProcessName,
    },
    /// Not now: the machine starts or ends.
    #[error("not now: the machine is {doing}")]
    NotNow {
        /// `starting`, `draining`.
        doing: &'static str,
    },
    /// It was tried in vain.
    #[error("{why}")]
    Failed {
        /// Why, for people.
        why: String,
    },
}
