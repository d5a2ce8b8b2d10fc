//! A cluster of three masters: the whole contract over it, and slots that move under a queue.

use std::sync::{Arc, Weak};

use broker::life::State;
use broker::{Broker, Native, Settings};
use tokio::sync::Mutex;

use crate::contract;
use crate::contract::{LONG, claim_one, job, settings, state, submit, worker};
use crate::servers::{REDIS, Server, until};

/// It ends with the last test that has it.
pub struct Cluster(Vec<Server>);

impl Cluster {
    async fn start() -> Option<Self> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(Server::start(REDIS, &["cluster-enabled yes", "cluster-node-timeout 2000"]).await?);
        }
        for (node, slots) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            node.ask::<redis::Value>(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]).await;
            node.ask::<redis::Value>(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port.to_string()]).await;
        }
        for node in &nodes {
            until("the nodes know each other", async || {
                let told: String = node.ask(&["CLUSTER", "INFO"]).await;
                told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
            })
            .await;
        }
        Some(Self(nodes))
    }

    async fn broker(&self, settings: Settings) -> Native {
        let url = format!("redis-cluster://127.0.0.1:1,127.0.0.1:{}", self.0[0].port);
        Native::connect(&url, settings).await.unwrap()
    }

    /// The node that has a slot, and another one.
    async fn sides(&self, key: &str) -> (String, usize, usize) {
        let slot: u16 = self.0[0].ask(&["CLUSTER", "KEYSLOT", key]).await;
        let has = usize::from(slot) / 5461;
        (slot.to_string(), has.min(2), (has.min(2) + 1) % 3)
    }

    async fn id(&self, node: usize) -> String {
        self.0[node].ask(&["CLUSTER", "MYID"]).await
    }

    /// Moves what is left of a slot, and says so to all.
    async fn move_slot(&self, slot: &str, from: usize, to: usize) {
        let port = self.0[to].port.to_string();
        loop {
            let keys: Vec<String> = self.0[from].ask(&["CLUSTER", "GETKEYSINSLOT", slot, "100"]).await;
            if keys.is_empty() {
                break;
            }
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            self.0[from].ask::<redis::Value>(&command).await;
        }
        let id = self.id(to).await;
        for node in [to, from, 3 - from - to] {
            self.0[node].ask::<redis::Value>(&["CLUSTER", "SETSLOT", slot, "NODE", &id]).await;
        }
    }
}

static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());

/// One cluster for all tests that run at a time.
async fn cluster() -> Option<Arc<Cluster>> {
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return Some(cluster);
    }
    let cluster = Arc::new(Cluster::start().await?);
    *shared = Arc::downgrade(&cluster);
    Some(cluster)
}

async fn over_cluster(settings: Settings) -> Option<(Native, Arc<Cluster>)> {
    let cluster = cluster().await?;
    Some((cluster.broker(settings).await, cluster))
}

contract!(tokio::test, over_cluster);

#[tokio::test]
async fn queues_spread_over_the_nodes_and_each_stays_on_one() {
    let Some(cluster) = Cluster::start().await else { return };
    for number in 0..12 {
        let broker = cluster.broker(settings(&format!("queue-{number}"))).await;
        let id = submit(&broker, job()).await;
        assert_eq!(claim_one(&broker, &worker("w")).await.ticket.id, id);
    }
    for node in &cluster.0 {
        assert!(node.ask::<u64>(&["DBSIZE"]).await > 0);
    }
}

#[tokio::test]
async fn a_queue_whose_slot_is_being_moved_waits_and_then_goes_on_at_the_other_node() {
    let Some(cluster) = Cluster::start().await else { return };
    let broker = cluster.broker(settings("moving")).await;
    let first = submit(&broker, job()).await;
    let (slot, from, to) = cluster.sides("{moving}:").await;
    let (from_id, to_id) = (cluster.id(from).await, cluster.id(to).await);
    cluster.0[to].ask::<redis::Value>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    cluster.0[from].ask::<redis::Value>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    let moves = async {
        until("it was sent to ask", async || {
            cluster.0[from].ask::<String>(&["INFO", "errorstats"]).await.contains("errorstat_ASK")
        })
        .await;
        // Half of a queue would be worse than none.
        assert_eq!(cluster.0[to].ask::<u64>(&["DBSIZE"]).await, 0);
        cluster.move_slot(&slot, from, to).await;
    };
    let (second, ()) = tokio::join!(submit(&broker, job()), moves);
    assert_eq!(cluster.0[from].ask::<u64>(&["DBSIZE"]).await, 0);
    assert_eq!(broker.counts().await.unwrap().waiting, 2);
    for id in [first, second] {
        assert_eq!(claim_one(&broker, &worker("w")).await.ticket.id, id);
        assert!(matches!(state(&broker, &id).await, State::Running { .. }));
    }
}

#[tokio::test]
async fn a_worker_that_waits_follows_its_slot() {
    let Some(cluster) = Cluster::start().await else { return };
    let patient = Settings { sweep_every: LONG, ..settings("followed") };
    let (broker, other) = (cluster.broker(patient.clone()).await, cluster.broker(patient).await);
    let (slot, from, to) = cluster.sides("{followed}:").await;
    let waits = async |node: usize| {
        cluster.0[node].ask::<String>(&["INFO", "clients"]).await.contains("blocked_clients:1\r")
    };
    let moves = async {
        until("it waits", async || waits(from).await).await;
        let (from_id, to_id) = (cluster.id(from).await, cluster.id(to).await);
        cluster.0[to].ask::<redis::Value>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        cluster.0[from].ask::<redis::Value>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
        cluster.move_slot(&slot, from, to).await;
        until("it waits there", async || waits(to).await).await;
        submit(&other, job()).await
    };
    let worker = worker("w");
    let (claimed, id) = tokio::join!(claim_one(&broker, &worker), moves);
    assert_eq!(claimed.ticket.id, id);
}
