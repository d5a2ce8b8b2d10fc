//! The scripts, each behind the parts that it shares with others, and the arguments of a call.

use std::fmt::Display;

use crate::life::ms;
use crate::settings::Settings;

/// What several scripts share.
const BASE: &str = include_str!("base.lua");
const TIME: &str = include_str!("time.lua");
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
        let script = |name, text| of(name, &[BASE, TIME, QUEUE, text]);
        let lines = |name, text| of(name, &[BASE, TIME, QUEUE, LINES, text]);
        let running = |name, text| of(name, &[BASE, TIME, QUEUE, LINES, RUNNING, text]);
        let rare =
            ["local function rare(now)\n", BASE, QUEUE, LINES, RUNNING, include_str!("rare.lua"), "end\n"];
        Self {
            submit: lines("submit", include_str!("submit.lua")),
            exchange: of("exchange", &[BASE, TIME, &rare.concat(), include_str!("exchange.lua")]),
            learn: script("learn", include_str!("learn.lua")),
            renew: running("renew", include_str!("renew.lua")),
            progress: script("progress", include_str!("progress.lua")),
            cancel: lines("cancel", include_str!("cancel.lua")),
            replay: lines("replay", include_str!("replay.lua")),
            watch: lines("watch", include_str!("watch.lua")),
            sweep: running("sweep", include_str!("sweep.lua")),
            pause: lines("pause", include_str!("pause.lua")),
            limit: lines("limit", include_str!("limit.lua")),
        }
    }
}

/// The queue's settings as `queue.lua` reads them, in its order, without the `roll`, which is each call's own.
pub(super) fn settings(it: &Settings) -> String {
    let times = [
        it.backoff.base,
        it.backoff.most,
        it.dead_ttl,
        it.class_ttl,
        it.events_ttl,
        it.sweep_every,
        it.signature_ttl,
    ];
    times.iter().fold(it.max_crashes.to_string(), |told, time| format!("{told} {}", ms(*time)))
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
