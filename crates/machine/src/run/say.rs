//! What a machine says of itself on standard output: one line for everything that happens.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use spec::ids::ProcessName;
use supervisor::control::protocol::Transition;

use crate::fleet::event_line;
use crate::say::Common;

/// For the last lines to be written: a terminal that has stopped does not keep a machine from ending.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Says things. Whoever reads them slowly keeps nobody waiting.
#[derive(Debug)]
pub(crate) struct Say {
    lines: Option<Sender<Transition>>,
    written: Receiver<()>,
}

impl Say {
    /// Lines whose names take `width` columns.
    pub(crate) fn new(common: Common, width: usize) -> Self {
        let (lines, said) = channel::<Transition>();
        let (done, written) = channel();
        let print = move || {
            let colour = common.colours();
            let mut out = std::io::stdout();
            for it in said {
                // Nobody may listen; the machine runs all the same.
                let _ = writeln!(out, "{}", event_line(&it, width, common.json, colour));
            }
            drop(done);
        };
        // Without a thread nothing is said.
        let _ = std::thread::Builder::new().name("printer".into()).spawn(print);
        Self { lines: Some(lines), written }
    }

    /// Something happened to a process.
    pub(crate) fn happened(&self, it: Transition) {
        if let Some(lines) = &self.lines {
            let _ = lines.send(it);
        }
    }

    /// Something happened to the machine.
    pub(crate) fn machine(&self, at_ms: u64, state: &str, why: Option<String>) {
        let process = ProcessName::of_parts(format_args!("machine"));
        self.happened(Transition { at_ms, process, state: state.to_owned(), why, fix: None, pid: None });
    }

    /// Waits for the last line to be written, a moment.
    pub(crate) fn end(mut self) {
        self.lines = None;
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}
