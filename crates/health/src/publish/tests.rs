use std::sync::Mutex;

use super::*;
use crate::facts::{Job, Phase};
use crate::testing::{machine, process, service, worker};

/// Keeps what it was given, or refuses it.
#[derive(Default)]
struct Kept {
    posts: Mutex<Vec<(Instant, Post)>>,
    refuses: Mutex<usize>,
}

impl Wire for Kept {
    fn send<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<Option<String>, String>> {
        let mut refuses = self.refuses.lock().unwrap();
        let refused = *refuses > 0;
        *refuses = refuses.saturating_sub(1);
        if !refused {
            self.posts.lock().unwrap().push((Instant::now(), post.clone()));
        }
        Box::pin(async move { if refused { Err("no".into()) } else { Ok(None) } })
    }
}

fn busy() -> crate::facts::Facts {
    let mut facts = machine();
    facts.services = vec![service("comfyui-gpu0", &[])];
    facts.workers = vec![worker("m1-worker-comfyui-0", &["comfyui-gpu0"])];
    facts.workers[0].accepts = vec!["comfyui".into()];
    facts.workers[0].job = Some(Job { id: "j1".into(), since: 999_000, percent: Some(5), message: None });
    facts
}

/// What was told while `story` went on, and when: seconds since the beginning.
async fn told(refuses: usize, story: impl AsyncFnOnce(&Board)) -> Vec<(f64, Update)> {
    let wire = Arc::new(Kept { refuses: Mutex::new(refuses), ..Kept::default() });
    let board = Board::new(busy());
    let publisher = Publisher {
        board: board.clone(),
        wire: wire.clone(),
        period: Publisher::PERIOD,
        health_url: "http://localhost:9090/health".into(),
        namesake: Box::new(|it| panic!("{it}")),
    };
    let began = Instant::now();
    publisher.run(story(&board)).await;
    let posts = wire.posts.lock().unwrap();
    posts.iter().map(|(at, post)| ((*at - began).as_secs_f64(), post.update)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_machine_speaks_every_fifteen_seconds_or_so_and_says_farewell() {
    let told = told(0, async |_| sleep(Duration::from_mins(5)).await).await;
    assert_eq!((told[0].1, told[told.len() - 1].1), (Update::MachineReady, Update::Shutdown));
    let gaps: Vec<f64> = told[..told.len() - 1].windows(2).map(|it| it[1].0 - it[0].0).collect();
    assert!(gaps.len() >= 18, "{gaps:?}");
    assert!(gaps.iter().all(|it| (13.4..16.6).contains(it)), "{gaps:?}");
    assert!(gaps.iter().any(|it| (it - gaps[0]).abs() > 0.01), "chance is in them: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_told_at_once_and_what_only_moves_is_not() {
    let told = told(0, async |board| {
        sleep(Duration::from_secs(3)).await;
        let mut facts = busy();
        facts.at += 3000;
        facts.workers[0].process.usage = Some(crate::facts::Usage::default());
        board.publish(facts.clone());
        sleep(Duration::from_secs(3)).await;
        facts.services[0].process = Some(process(Phase::Unhealthy));
        board.publish(facts);
        sleep(Duration::from_secs(1)).await;
    })
    .await;
    let told: Vec<_> = told.iter().map(|(at, update)| (at.floor(), *update)).collect();
    assert_eq!(told, [(0.0, Update::MachineReady), (6.0, Update::EventDriven), (7.0, Update::Shutdown)]);
}

#[tokio::test(start_paused = true)]
async fn what_redis_did_not_take_is_told_again_soon() {
    let told = told(3, async |_| sleep(Duration::from_secs(10)).await).await;
    let told: Vec<_> = told.iter().map(|(at, update)| (at.round(), *update)).collect();
    assert_eq!(told, [(3.0, Update::MachineReady), (10.0, Update::Shutdown)]);
}

#[test]
fn the_message_has_the_shape_that_monitors_read() {
    let board = Board::new(busy());
    let message = message(&board.latest(), Update::Periodic, "http://localhost:9090/health");
    insta::assert_snapshot!(serde_json::to_string_pretty(&message).unwrap(), @r#"
    {
      "health_url": "http://localhost:9090/health",
      "machine_id": "m1",
      "status": {
        "machine": {
          "phase": "ready",
          "uptime_ms": 1000000
        },
        "services": {
          "m1-worker-comfyui-0.comfyui": {
            "health": "healthy",
            "pm2_name": "m1-worker-comfyui-0",
            "pm2_status": "online",
            "service_type": "comfyui",
            "status": "active",
            "worker_id": "m1-worker-comfyui-0"
          }
        },
        "workers": {
          "m1-worker-comfyui-0": {
            "current_job_id": "j1",
            "is_connected": true,
            "last_activity": 999000,
            "status": "busy",
            "version": "0.1.0"
          }
        }
      },
      "structure": {
        "capabilities": [
          "comfyui"
        ],
        "gpu_count": 0,
        "services": {
          "m1-worker-comfyui-0.comfyui": {
            "health": "healthy",
            "pm2_name": "m1-worker-comfyui-0",
            "service_type": "comfyui",
            "status": "active",
            "worker_id": "m1-worker-comfyui-0"
          }
        },
        "workers": {
          "m1-worker-comfyui-0": {
            "connectors": [
              "comfyui"
            ],
            "gpu_id": 0,
            "pm2_name": "m1-worker-comfyui-0",
            "resource_binding": "shared",
            "services": [
              "comfyui"
            ],
            "worker_id": "m1-worker-comfyui-0",
            "worker_type": "comfyui"
          }
        }
      },
      "timestamp": 1000000,
      "update_type": "periodic"
    }
    "#);
}
