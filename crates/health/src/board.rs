//! Where the machine puts what it knows, and everybody else reads it.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::control::Control;
use crate::documents::Pages;
use crate::events::Journal;
use crate::facts::Facts;
use crate::metrics::Meters;
use crate::state::{Verdicts, judge};

/// Facts, judged. Cheap to share, never changed.
#[derive(Debug)]
pub struct Snapshot {
    /// 1 for the first that the machine published, and one more for each.
    pub version: u64,
    /// What is known.
    pub facts: Facts,
    /// What it means.
    pub verdicts: Verdicts,
    pub(crate) pages: Pages,
}

impl Snapshot {
    fn new(version: u64, facts: Facts, before: Option<&Verdicts>) -> Arc<Self> {
        let verdicts = judge(&facts, before);
        Arc::new(Self { version, facts, verdicts, pages: Pages::default() })
    }
}

/// Where the machine puts what it knows. Made before anything else is done; the server and the publisher read it.
pub struct Board {
    snapshots: watch::Sender<Arc<Snapshot>>,
    control: OnceLock<Arc<dyn Control>>,
    /// What happened, for `/events`.
    pub journal: Journal,
    /// What was measured, for `/metrics`.
    pub meters: Meters,
}

impl Board {
    /// A board that shows these facts: as a rule, a machine that has just been started and knows nothing.
    pub fn new(facts: Facts) -> Arc<Self> {
        let (snapshots, _) = watch::channel(Snapshot::new(1, facts, None));
        Arc::new(Self {
            snapshots,
            control: OnceLock::new(),
            journal: Journal::default(),
            meters: Meters::default(),
        })
    }

    /// Shows new facts. Judging them takes microseconds; nobody who reads can hold it up.
    pub fn publish(&self, facts: Facts) -> Arc<Snapshot> {
        let mut shown = None;
        self.snapshots.send_modify(|it| {
            *it = Snapshot::new(it.version + 1, facts, Some(&it.verdicts));
            shown = Some(it.clone());
        });
        shown.unwrap_or_else(|| self.latest())
    }

    /// What is shown now.
    pub fn latest(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Follows what is shown.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// From now on orders and questions about logs are answered; before, the server says that the machine starts. Only
    /// the first call counts.
    pub fn attach(&self, control: Arc<dyn Control>) {
        let _ = self.control.set(control);
    }

    /// Who carries out orders, once there is somebody.
    pub fn control(&self) -> Option<&Arc<dyn Control>> {
        self.control.get()
    }
}
