//! What people see of an install while it goes on: a bar on a terminal, lines elsewhere. All of it on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use installer::{Event, Witness};
use spec::ids::ServiceName;

/// Between two lines about the same download.
const EVERY: Duration = Duration::from_secs(10);

/// Watches the install of one service.
pub(super) struct Watch {
    service: ServiceName,
    form: Form,
}

enum Form {
    Silent,
    Lines(Mutex<Option<Instant>>),
    Bar(ProgressBar),
}

impl Watch {
    /// With `json` nothing is said until the answer.
    pub(super) fn new(service: &ServiceName, json: bool) -> Self {
        let form = if json {
            Form::Silent
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            bar.set_style(ProgressStyle::default_spinner());
            bar.enable_steady_tick(Duration::from_millis(200));
            Form::Bar(bar)
        } else {
            Form::Lines(Mutex::default())
        };
        Self { service: service.clone(), form }
    }

    fn line(&self, text: &str) {
        match &self.form {
            Form::Silent => {}
            // Nobody may listen.
            Form::Lines(_) => drop(writeln!(std::io::stderr(), "{}: {text}", self.service)),
            Form::Bar(bar) => bar.println(format!("{}: {text}", self.service)),
        }
    }
}

impl Witness for Watch {
    fn see(&self, event: Event<'_>) {
        match (event, &self.form) {
            (Event::Begun(step), Form::Bar(bar)) => bar.set_message(format!("{}: {step}", self.service)),
            (Event::Begun(_), _) | (Event::Bytes(..), Form::Silent) => {}
            (Event::Done(step), _) => self.line(step),
            (Event::Failed(step, fault), _) => self.line(&format!("{step}: {fault}")),
            (Event::Bytes(come, of), Form::Bar(bar)) => {
                if bar.length().is_none() {
                    let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
                    bar.set_style(
                        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
                    );
                    bar.set_length(of);
                }
                bar.set_position(come);
            }
            (Event::Bytes(come, of), Form::Lines(last)) => {
                let Ok(mut last) = last.lock() else { return };
                if come < of && last.is_none_or(|it| it.elapsed() >= EVERY) {
                    *last = Some(Instant::now());
                    let percent = come.saturating_mul(100) / of.max(1);
                    self.line(&format!("{} of {} MiB of models ({percent} %)", come >> 20, of >> 20));
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}
