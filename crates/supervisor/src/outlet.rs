//! Where one process writes to, through all its runs.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ecosystem::App;

use crate::launcher::{Output, Plan};
use crate::log::{LogReader, Logs, Pipe, Stream};
use crate::probe;

/// The pipes of a process into its log files, opened at its first start.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    streams: Option<Streams>,
    /// Its log from the start of its run on, if a probe reads it.
    pub listening: Vec<LogReader>,
}

/// Both streams; one pipe if they are to go into one file, for the order of the lines survives then.
#[derive(Debug)]
struct Streams {
    out: Pipe,
    err: Option<Pipe>,
}

impl Outlet {
    /// What the next run writes to.
    pub(crate) fn open(&mut self, logs: &Logs, app: &App, plan: &Plan) -> Result<Output, String> {
        let name = plan.name.as_str();
        let open = |path: &str, stream| {
            logs.open(Path::new(path), name, stream)
                .map_err(|it| format!("its log file `{path}` cannot be written: {it}"))
        };
        let Streams { out, err } = if let Some(it) = self.streams.take() {
            self.streams.insert(it)
        } else {
            let secrets = app.roster.secrets.iter().filter_map(|it| plan.env.get(it));
            let values = secrets.map(|it| it.expose().as_bytes());
            logs.redact(values).map_err(|it| format!("its secrets cannot be kept out of its log: {it}"))?;
            let mixed = app.out_file == app.error_file && logs.mixes_streams();
            let err = if mixed { None } else { Some(open(&app.error_file, Stream::Stderr)?) };
            self.streams.insert(Streams { out: open(&app.out_file, Stream::Stdout)?, err })
        };
        // Listening comes before the start: what is said first is heard.
        self.listening.clear();
        if app.roster.probes.as_ref().is_some_and(probe::listens) {
            let paths = BTreeSet::from([&app.out_file, &app.error_file]);
            let read = paths.into_iter().map(|it| logs.read(Path::new(it), 0, true));
            let read = read.collect::<Result<_, _>>();
            self.listening = read.map_err(|it| format!("its log cannot be read: {it}"))?;
        }
        let writer = |pipe: &Pipe| pipe.writer().map_err(|it| format!("its output: {it}"));
        Ok(Output { out: writer(out)?, err: writer(err.as_ref().unwrap_or(out))? })
    }

    fn pipes(self) -> impl Iterator<Item = Pipe> {
        self.streams.into_iter().flat_map(|Streams { out, err }| [Some(out), err]).flatten()
    }

    /// A run has ended: a line that it did not end is written as it is.
    pub(crate) fn settle(&self) {
        if let Some(Streams { out, err }) = &self.streams {
            out.settle();
            err.iter().for_each(Pipe::settle);
        }
    }

    /// Waits until all that was written is in the files.
    pub(crate) async fn close(self) {
        for it in self.pipes() {
            it.close().await;
        }
    }
}
