//! What a worker tells the machine of itself: what it does now, and what has ended since the last time.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lease::Time;
use crate::tally::Tally;

/// The version of [`Report`]; whoever reads another one ignores it.
pub const VERSION: u32 = 1;

/// Between two reports, if something has changed.
const SOON: Duration = Duration::from_millis(500);
/// Between two reports, if nothing has.
const LATE: Duration = Duration::from_secs(10);
/// Ends that are kept for a listener that does not listen. The older ones are forgotten: the tally has them.
const KEPT: usize = 500;

/// What a worker does. Nothing in it grows with time: jobs are at most its slots, ends at most 500.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Who tells it.
    pub worker: String,
    /// Through which connector.
    pub connector: String,
    /// On which GPU, if on one.
    pub gpu: Option<u32>,
    /// Its services, in the order of its settings.
    pub services: Vec<Place>,
    /// What it works on.
    pub jobs: Vec<Current>,
    /// What it has done since it began.
    pub tally: Tally,
    /// What has ended since the last report that was taken.
    pub ended: Vec<Ended>,
}

/// A service instance of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Whether anything is claimed for it.
    pub open: bool,
    /// Jobs at once.
    pub slots: usize,
    /// Jobs now.
    pub busy: usize,
}

/// A job that a worker has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Its name.
    pub job: String,
    /// For how long, in milliseconds.
    pub ran_ms: u64,
    /// How far it is, in percent.
    pub percent: Option<u8>,
    /// What it does, in the words of its connector.
    pub message: Option<String>,
}

/// A job that has ended for its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub end: End,
    /// From when it could be claimed until it was; only of a first attempt, in milliseconds.
    pub waited_ms: Option<u64>,
    /// From its claim to its end, in milliseconds.
    pub ran_ms: u64,
}

/// How a job ended for its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Done.
    Succeeded,
    /// Failed, to be tried again or for good.
    Failed,
    /// Given back undone.
    HandedBack,
    /// Stopped because someone asked.
    Stopped,
    /// Somebody else's by now.
    Lost,
}

impl End {
    /// The word for it, as in a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::HandedBack => "handed_back",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }
}

/// Takes reports: at once, for the loop waits for it. Whether it was taken; if not, its ends are told again.
pub type Listener = Arc<dyn Fn(&Report) -> bool + Send + Sync>;

/// When the next report is due, and what is to be in it.
pub(crate) struct Teller {
    pub listener: Listener,
    ended: Vec<Ended>,
    due: Time,
    told: Time,
}

impl Teller {
    pub fn new(listener: Listener) -> Self {
        Self { listener, ended: Vec::new(), due: Time::ZERO, told: Time::ZERO }
    }

    /// When it is due.
    pub fn due(&self) -> Time {
        self.due
    }

    /// Something has changed.
    pub fn changed(&mut self) {
        self.due = self.due.min(self.told + SOON);
    }

    /// A job has ended.
    pub fn ended(&mut self, ended: Ended) {
        if self.ended.len() == KEPT {
            self.ended.remove(0);
        }
        self.ended.push(ended);
        self.changed();
    }

    /// Tells what `report` makes of the ends.
    pub fn tell(&mut self, now: Time, report: impl FnOnce(Vec<Ended>) -> Report) {
        let report = report(std::mem::take(&mut self.ended));
        if !(self.listener)(&report) {
            self.ended = report.ended;
        }
        (self.told, self.due) = (now, now + LATE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn report(ended: Vec<Ended>) -> Report {
        let (worker, connector) = ("w".into(), "simulation".into());
        let (version, gpu, tally) = (VERSION, None, Tally::default());
        Report { version, worker, connector, gpu, services: vec![], jobs: vec![], tally, ended }
    }

    fn s(seconds: f64) -> Time {
        Duration::from_secs_f64(seconds)
    }

    const DONE: Ended = Ended { end: End::Succeeded, waited_ms: Some(2), ran_ms: 3 };

    #[test]
    fn changes_are_told_soon_together_and_ends_until_they_were_heard() {
        let (heard, listens) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(false)));
        let (told, hears) = (heard.clone(), listens.clone());
        let mut teller = Teller::new(Arc::new(move |it| {
            told.lock().unwrap().push(it.ended.len());
            *hears.lock().unwrap()
        }));
        teller.tell(s(1.0), report);
        assert_eq!(teller.due(), s(11.0));
        teller.ended(DONE);
        teller.ended(DONE);
        assert_eq!(teller.due(), s(1.5));
        teller.tell(s(1.5), report);
        *listens.lock().unwrap() = true;
        teller.ended(DONE);
        teller.tell(s(2.0), report);
        teller.tell(s(12.0), report);
        assert_eq!(*heard.lock().unwrap(), [0, 2, 3, 0]);
        for _ in 0..2 * KEPT {
            teller.ended(DONE);
        }
        teller.tell(s(13.0), report);
        assert_eq!(heard.lock().unwrap().last(), Some(&KEPT));
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_its_words_are_those_of_the_ends() {
        let it = report(vec![DONE]);
        let text = serde_json::to_string(&it).unwrap();
        insta::assert_snapshot!(text, @r#"{"version":1,"worker":"w","connector":"simulation","gpu":null,"services":[],"jobs":[],"tally":{"claimed":0,"succeeded":0,"failed":0,"handed_back":0,"stopped":0,"lost":0,"stale":0,"abandoned":0},"ended":[{"end":"succeeded","waited_ms":2,"ran_ms":3}]}"#);
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), it);
        for end in [End::Succeeded, End::Failed, End::HandedBack, End::Stopped, End::Lost] {
            assert_eq!(serde_json::to_value(end).unwrap(), end.word());
        }
    }
}
