//! A job for the connector, and what is held of it.

use std::sync::Arc;
use std::time::Duration;

use broker::Job;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use serde_json::Value;
use tokio::time::timeout;
use worker::connectors::comfyui::{ComfyUi, Times};
use worker::{Connector as _, Egress, Failure, Hands, Inside, Rules, Stop, Store, Task};

use crate::double::Double;

/// Long enough for a machine with much else to do.
const LONG: Duration = Duration::from_mins(1);

/// A server that is gone is given up soon.
pub const TIMES: Times = Times { silence: Duration::from_secs(20), gone: Duration::from_secs(2) };

pub fn egress() -> Egress {
    let inside = vec![Inside::Net("127.0.0.0/8".parse().unwrap())];
    Egress::new(Rules { http: true, inside, ..Rules::default() })
}

/// The connector for a double.
pub fn comfyui(double: &Double) -> ComfyUi {
    ComfyUi::new(double.url.clone(), egress()).times(TIMES)
}

/// The same, for a double whose silence is to be noticed.
pub fn impatient(double: &Double) -> ComfyUi {
    comfyui(double).times(Times { silence: Duration::from_millis(200), ..TIMES })
}

pub struct Rig {
    pub task: Task,
    pub hands: Hands,
    objects: Arc<InMemory>,
}

/// A job with this payload.
pub fn rig(payload: Value) -> Rig {
    let job = Job::new("comfyui".parse().unwrap()).payload(payload);
    let objects = Arc::new(InMemory::new());
    let store = Store::new(objects.clone(), "memory:///{path}", 64 << 20);
    let id = "job-1".parse().unwrap();
    let outputs = store.of(&id, "job-1-1");
    let (task, hands) = Task::new(job, 0, "job-1-1".into(), LONG, outputs);
    Rig { task, hands, objects }
}

impl Rig {
    /// Does the job to its end.
    pub async fn run(&self, it: &ComfyUi) -> Result<Value, Failure> {
        it.payload("comfyui").unwrap().check(&self.task.job.payload)?;
        timeout(LONG, it.run(&self.task)).await.expect("the connector does not end")
    }

    /// Does the job beside something else.
    pub async fn with(&self, it: &ComfyUi, other: impl Future<Output = ()>) -> Result<Value, Failure> {
        tokio::join!(self.run(it), other).0
    }

    /// Does the job, and stops it once `ready`.
    pub async fn stopped(&self, it: &ComfyUi, ready: impl Future<Output = ()>) -> Failure {
        let stop = async {
            ready.await;
            self.hands.stop.stop(Stop::Cancelled);
        };
        tokio::join!(self.run(it), stop).0.unwrap_err()
    }

    /// Does the job, and returns all that was told of its progress as well.
    pub async fn watched(&self, it: &ComfyUi) -> (Result<Value, Failure>, Vec<(u8, String)>) {
        let mut progress = self.hands.progress.clone();
        let mut told = Vec::new();
        let mut run = std::pin::pin!(self.run(it));
        loop {
            tokio::select! {
                biased;
                changed = progress.changed() => {
                    changed.unwrap();
                    let now = progress.borrow_and_update().clone().unwrap();
                    told.push((now.percent, now.message));
                }
                done = &mut run => return (done, told),
            }
        }
    }

    /// What was stored at an address of the result.
    pub async fn file(&self, stored: &Value) -> Vec<u8> {
        let path = stored["url"].as_str().unwrap().strip_prefix("memory:///").unwrap();
        self.objects.get(&path.into()).await.unwrap().bytes().await.unwrap().to_vec()
    }
}
