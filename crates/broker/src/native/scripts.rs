//! The scripts, each behind the part that they share, and the arguments of a call.

use std::fmt::Display;

use redis::Script;

/// Every script, ready for `EVALSHA`.
pub(super) struct Scripts {
    pub submit: Script,
    pub exchange: Script,
    pub learn: Script,
    pub renew: Script,
    pub progress: Script,
    pub cancel: Script,
    pub replay: Script,
    pub watch: Script,
    pub sweep: Script,
    pub pause: Script,
    pub limit: Script,
}

impl Scripts {
    pub fn new() -> Self {
        let script = |text: &str| Script::new(&format!("{}{text}", include_str!("queue.lua")));
        let lines = |text: &str| script(&format!("{}{text}", include_str!("lines.lua")));
        let running = |text: &str| lines(&format!("{}{text}", include_str!("running.lua")));
        Self {
            submit: lines(include_str!("submit.lua")),
            exchange: running(include_str!("exchange.lua")),
            learn: script(include_str!("learn.lua")),
            renew: running(include_str!("renew.lua")),
            progress: script(include_str!("progress.lua")),
            cancel: lines(include_str!("cancel.lua")),
            replay: lines(include_str!("replay.lua")),
            watch: script(include_str!("watch.lua")),
            sweep: running(include_str!("sweep.lua")),
            pause: lines(include_str!("pause.lua")),
            limit: lines(include_str!("limit.lua")),
        }
    }
}

/// The arguments of one call, behind the settings.
#[derive(Default)]
pub(super) struct Call(pub Vec<String>);

impl Call {
    pub fn and(mut self, argument: impl Display) -> Self {
        self.0.push(argument.to_string());
        self
    }
}
