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
}

impl Scripts {
    pub fn new() -> Self {
        let script = |text: &str| Script::new(&format!("{}{text}", include_str!("queue.lua")));
        Self {
            submit: script(include_str!("submit.lua")),
            exchange: script(include_str!("exchange.lua")),
            learn: script(include_str!("learn.lua")),
            renew: script(include_str!("renew.lua")),
            progress: script(include_str!("progress.lua")),
            cancel: script(include_str!("cancel.lua")),
            replay: script(include_str!("replay.lua")),
            watch: script(include_str!("watch.lua")),
            sweep: script(include_str!("sweep.lua")),
            pause: script(include_str!("pause.lua")),
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
