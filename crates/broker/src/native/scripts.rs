//! The scripts, each behind the part that they share, and the arguments of a call.

use std::fmt::Display;

/// What several scripts share.
const QUEUE: &str = include_str!("queue.lua");
const LINES: &str = include_str!("lines.lua");
const RUNNING: &str = include_str!("running.lua");

/// A script as it is called.
pub(super) struct Script {
    /// Its door is called so.
    pub name: &'static str,
    pub code: redis::Script,
}

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
        let of = |name, parts: &[&str]| Script { name, code: redis::Script::new(&parts.concat()) };
        let script = |name, text| of(name, &[QUEUE, text]);
        let lines = |name, text| of(name, &[QUEUE, LINES, text]);
        let running = |name, text| of(name, &[QUEUE, LINES, RUNNING, text]);
        Self {
            submit: lines("submit", include_str!("submit.lua")),
            exchange: running("exchange", include_str!("exchange.lua")),
            learn: script("learn", include_str!("learn.lua")),
            renew: running("renew", include_str!("renew.lua")),
            progress: script("progress", include_str!("progress.lua")),
            cancel: lines("cancel", include_str!("cancel.lua")),
            replay: lines("replay", include_str!("replay.lua")),
            watch: script("watch", include_str!("watch.lua")),
            sweep: running("sweep", include_str!("sweep.lua")),
            pause: lines("pause", include_str!("pause.lua")),
            limit: lines("limit", include_str!("limit.lua")),
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
