//! The ACL of each role, as docs/broker.md has it: what the role does works, the rest is refused whole, and no rule could go.

use std::time::Duration;

use broker::{
    Broker, Claim, Death, Error, Filter, Heard, Job, JobId, LimitKey, Native, Outcome, Progress, Replay,
    Settings, Stage, Ticket, Want, Worker,
};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::contract::limiting::{at_once, rate};
use crate::contract::{LONG, claim, failure, job, requirements, settings, submit, worker, worker_with};
use crate::servers::{REDIS, REDIS_6_2, Server, VALKEY, until};

const DOCUMENT: &str = include_str!("../../../../docs/broker.md");
const ROLES: [&str; 4] = ["producer", "worker", "operator", "observer"];

/// The rules of a role.
pub fn rules(role: &str) -> Vec<&'static str> {
    let begin = format!("ACL SETUSER {role} ");
    let line = DOCUMENT
        .lines()
        .find_map(|it| it.strip_prefix(&begin))
        .expect("docs/broker.md has a line for each role");
    line.split(' ').collect()
}

pub async fn user(server: &Server, name: &str, rules: &[&str]) {
    let rules: Vec<_> = rules.iter().map(|it| it.replace(">PASSWORD", ">canary")).collect();
    let mut command = vec!["ACL", "SETUSER", name, "reset"];
    command.extend(rules.iter().map(String::as_str));
    server.ask::<redis::Value>(&command).await;
}

/// A queue in which every path of every call is there to be taken.
struct Scene<'a> {
    server: &'a Server,
    /// Waits; delayed; runs; waits and leaves nothing behind; waits and is watched; held until one of its key ends; held by
    /// the rate of its key.
    jobs: [JobId; 7],
    /// What the worker has: for each outcome one, then one more.
    claims: Vec<Claim>,
    dead: [JobId; 2],
}

/// A queue in which nothing happens by itself.
fn quiet() -> Settings {
    let mut slow = Settings { sweep_every: LONG, ..settings("jobs") };
    slow.backoff.base = LONG;
    slow
}

fn odd(name: &str) -> Worker {
    worker_with(name, json!({ "services": ["comfyui"], "hardware": { "gpu_memory_gb": 11 } }))
}

/// Jobs that are in no order.
fn finished() -> Filter {
    Filter { stage: Some(Stage::Succeeded), ..Filter::default() }
}

/// One job of this key at once.
fn single() -> LimitKey {
    "single".parse().unwrap()
}

/// One job of this key in an hour.
fn hourly() -> LimitKey {
    "hourly".parse().unwrap()
}

fn with_memory(gb: u32) -> Job {
    job().requirements(requirements(&json!({ "hardware": { "gpu_memory_gb": gb } })))
}

impl<'a> Scene<'a> {
    async fn set(server: &'a Server) -> Self {
        server.ask::<redis::Value>(&["FLUSHALL"]).await;
        server.ask::<redis::Value>(&["SCRIPT", "FLUSH"]).await;
        let admin = server.broker(quiet()).await;
        // Two classes take the line; the second is gone.
        for worker in [worker("w"), odd("gone")] {
            submit(&admin, job().priority(99)).await;
            let claims = claim(&admin, &worker, Want::now(1)).await;
            admin
                .exchange(&worker, vec![(claims[0].ticket.clone(), Outcome::Stopped)], Want::NOTHING)
                .await
                .unwrap();
        }
        server.ask::<redis::Value>(&["ZREM", "{jobs}:c", odd("gone").class().to_string().as_str()]).await;

        admin.limit(&single(), Some(at_once(1))).await.unwrap();
        admin.limit(&hourly(), Some(rate(1, Duration::from_hours(1)))).await.unwrap();

        let mut dead = Vec::new();
        for dies in [job().limit_key(single()), job()] {
            dead.push(submit(&admin, dies.priority(99)).await);
            let claims = claim(&admin, &worker("w"), Want::now(1)).await;
            let done = vec![(claims[0].ticket.clone(), failure(false))];
            admin.exchange(&worker("w"), done, Want::NOTHING).await.unwrap();
        }
        // For the worker: success, success that leaves nothing, three failures, hand-back, stopped, watched, hand-back and
        // success under a limit, and one more.
        let brief = job().result_ttl(Duration::ZERO);
        let mut held: [Job; 11] = std::array::from_fn(|_| job());
        held[1] = brief.clone();
        held[8] = job().limit_key(single());
        held[9] = job().limit_key(hourly());
        let held = held.map(|it| it.priority(99));
        admin.submit(&held).await.unwrap();
        let claims = claim(&admin, &worker("w"), Want::now(11)).await;
        admin.events(&held[7].id, None, Duration::ZERO).await.unwrap();
        let jobs = [
            job(),
            job().delay(Duration::from_mins(9)),
            job().priority(50),
            brief,
            job(),
            job().limit_key(single()),
            // Alone in its group.
            with_memory(12).limit_key(hourly()),
        ];
        let ids = jobs.each_ref().map(|it| it.id.clone());
        admin.submit(&jobs).await.unwrap();
        let runs = claim(&admin, &worker("w"), Want::now(1)).await;
        assert_eq!(runs[0].ticket.id, ids[2]);
        admin.events(&ids[4], None, Duration::ZERO).await.unwrap();
        assert_eq!(admin.counts().await.unwrap().held, 2);
        // For the sweep: a lease that ran out, a job that is due and whose signature was forgotten, a dead one that is
        // forgotten, a class that is, a signature that is.
        let due = with_memory(8).limit_key("free".parse().unwrap()).delay(Duration::from_mins(9));
        let sig = due.signature().id().to_string();
        let (lost, due) = (submit(&admin, job().priority(99)).await, submit(&admin, due).await);
        claim(&admin, &worker("w"), Want::now(1)).await;
        for command in [
            &["ZREM", "{jobs}:su", &sig][..],
            &["ZREM", "{jobs}:so", &sig],
            &["HDEL", "{jobs}:s", &sig],
            &["DEL", &format!("{{jobs}}:q:{sig}")],
            &["ZADD", "{jobs}:su", "1", "old"],
            &["ZADD", "{jobs}:l", "1", lost.as_str()],
            &["ZADD", "{jobs}:d", "1", due.as_str()],
            &["ZADD", "{jobs}:x:attempts", "1", "old"],
            &["ZADD", "{jobs}:c", "1", "old"],
        ] {
            server.ask::<redis::Value>(command).await;
        }
        // More are idle than a call looks at, and of them only the class that is gone takes the line.
        let idle = (0..17).map(|it| it.to_string()).chain([odd("gone").class().to_string()]);
        let idle = idle.flat_map(|it| ["9e15".to_owned(), it]).collect::<Vec<_>>();
        let idle = ["ZADD", "{jobs}:idle"].into_iter().chain(idle.iter().map(String::as_str));
        server.ask::<redis::Value>(&idle.collect::<Vec<_>>()).await;
        Self { server, jobs: ids, claims, dead: dead.try_into().unwrap() }
    }

    /// What a role does, one after the other. The first that fails.
    async fn play(&self, role: &str, broker: &Native) -> Result<(), Error> {
        match role {
            "producer" => self.produce(broker).await,
            "worker" => self.work(broker).await,
            "observer" => self.observe(broker).await,
            "operator" => {
                self.observe(broker).await?;
                broker.pause(true).await?;
                broker.pause(false).await?;
                broker.replay(&Replay::Job(self.dead[0].clone())).await?;
                broker.replay(&Replay::Kind(Death::Permanent)).await?;
                broker.list(&finished(), None, 100).await?;
                broker.audit(|_| {}).await?;
                broker.limit(&hourly(), None).await?;
                broker.limit(&hourly(), Some(at_once(1))).await?;
                self.produce(broker).await?;
                self.work(broker).await
            }
            _ => unreachable!("{role}"),
        }
    }

    async fn produce(&self, broker: &Native) -> Result<(), Error> {
        let keyed = job().idempotency_key("k".parse().unwrap());
        broker.submit(&[job(), keyed.clone(), job().delay(Duration::from_mins(9)), with_memory(10)]).await?;
        broker.submit(&[keyed, job().limit_key(single()), job().limit_key(hourly())]).await?;
        let (brief, large) = (job().result_ttl(Duration::ZERO), job().payload(json!("x".repeat(1024))));
        broker.submit(&[job(), brief.clone(), large.clone()]).await?;
        broker.cancel(&brief.id).await?;
        broker.cancel(&large.id).await?;
        broker.status(&self.jobs[0]).await?;
        broker.events(&self.jobs[0], None, Duration::from_millis(1)).await?;
        for id in &self.jobs {
            broker.cancel(id).await?;
        }
        // One that has ended is watched from its end.
        broker.events(&self.jobs[1], None, Duration::ZERO).await.map(drop)
    }

    async fn work(&self, broker: &Native) -> Result<(), Error> {
        let mut cancels = std::pin::pin!(broker.cancels());
        assert!(cancels.next().await.unwrap()? == Heard::Listening);
        let w = worker("w");
        let tickets: Vec<Ticket> = self.claims.iter().map(|it| it.ticket.clone()).collect();
        broker.renew(&w, &tickets[..1], Duration::from_secs(9)).await?;
        _ = broker.progress(&tickets[10], Progress { percent: 1, message: String::new() }).await?;
        let outcomes = [
            Outcome::Success(json!("x".repeat(1024))),
            Outcome::Success(json!(1)),
            failure(true),
            failure(false),
            failure(true),
            Outcome::HandBack,
            Outcome::Stopped,
            Outcome::Success(json!(1)),
            Outcome::HandBack,
            Outcome::Success(json!(1)),
        ];
        let done: Vec<_> = tickets.into_iter().zip(outcomes).collect();
        // Told again, as after an answer that was lost.
        broker.exchange(&w, done[..1].to_vec(), Want::NOTHING).await?;
        broker.sweep().await?;
        // It is asked to judge the signature that came back.
        broker.exchange(&w, done, Want::now(1)).await?;
        let new = worker_with("new", json!({ "services": ["comfyui"] }));
        broker.exchange(&new, vec![], Want::now(20)).await?;
        // Woken, with a job left for the next.
        let comes = async {
            let admin = self.server.broker(quiet()).await;
            until("it waits", async || {
                self.server.ask::<String>(&["INFO", "clients"]).await.contains("blocked_clients:1\r")
            })
            .await;
            admin.submit(&[job(), job()]).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            told = broker.exchange(&new, vec![], Want::now(1).wait(LONG)) => told.map(drop)?,
            () = comes => unreachable!("it waits for ever"),
        }
        // One from the only line that it takes from.
        broker.exchange(&new, vec![], Want::now(1)).await.map(drop)
    }

    async fn observe(&self, broker: &Native) -> Result<(), Error> {
        broker.status(&self.jobs[0]).await?;
        broker.counts().await?;
        broker.limits().await?;
        broker.unmatchable().await?;
        broker.list(&Filter::default(), None, 100).await?;
        // A job that waits for a worker; one that its key holds.
        broker.explain(&self.jobs[0]).await?;
        broker.explain(&self.jobs[5]).await.map(drop)
    }
}

async fn connect(server: &Server, user: &str) -> Native {
    let url = format!("redis://{user}:canary@127.0.0.1:{}", server.port);
    Native::connect(&url, quiet()).await.unwrap()
}

#[tokio::test]
async fn what_a_role_does_works_on_every_server() {
    for name in [REDIS, REDIS_6_2, VALKEY] {
        let Some(server) = Server::start(name, &[]).await else { continue };
        for role in ROLES {
            user(&server, role, &rules(role)).await;
            let scene = Box::pin(Scene::set(&server)).await;
            assert_eq!(scene.play(role, &connect(&server, role).await).await, Ok(()), "{role} on {name}");
        }
    }
}

#[tokio::test]
async fn no_rule_of_a_role_could_go() {
    let Some(server) = Server::start(REDIS, &[]).await else { return };
    for role in ROLES {
        let all = rules(role);
        for at in (0..all.len()).filter(|it| all[*it].starts_with(['+', '~', '&'])) {
            let mut less = all.clone();
            let gone = less.remove(at);
            user(&server, "less", &less).await;
            let scene = Box::pin(Scene::set(&server)).await;
            let played = scene.play(role, &connect(&server, "less").await).await;
            assert!(matches!(played, Err(Error::NotAllowed(_))), "{role} does not need {gone}: {played:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_a_roles_is_refused_whole_and_by_name() {
    for name in [REDIS, REDIS_6_2, VALKEY] {
        let Some(server) = Server::start(name, &[]).await else { continue };
        for role in ["producer", "worker", "observer"] {
            user(&server, role, &rules(role)).await;
            let scene = Box::pin(Scene::set(&server)).await;
            let broker = connect(&server, role).await;
            let before = contents(&server).await;
            let w = worker("w");
            let (id, ticket) = (&scene.jobs[0], &scene.claims[0].ticket);
            let done = vec![(ticket.clone(), Outcome::Stopped)];
            let progress = Progress { percent: 1, message: String::new() };
            let mut refused = Vec::new();
            let mut hear = |call: &'static str, told: Result<(), Error>| match told {
                Err(Error::NotAllowed(words)) => {
                    assert!(
                        words.starts_with(&format!("the user `{role}` may not call `{call}`: ")),
                        "{words}"
                    );
                    assert!(!words.contains("canary"));
                    refused.push(call);
                }
                told => panic!("{role} on {name}: {call}: {told:?}"),
            };
            if role != "producer" {
                hear("submit", broker.submit(&[job()]).await.map(drop));
                hear("cancel", broker.cancel(id).await.map(drop));
                hear("watch", broker.events(id, None, Duration::ZERO).await.map(drop));
            }
            if role != "worker" {
                hear("exchange", broker.exchange(&w, done, Want::now(1)).await.map(drop));
                hear(
                    "renew",
                    broker.renew(&w, std::slice::from_ref(ticket), Duration::from_secs(1)).await.map(drop),
                );
                hear("progress", broker.progress(ticket, progress).await.map(drop));
                hear("sweep", broker.sweep().await.map(drop));
                hear("SUBSCRIBE", std::pin::pin!(broker.cancels()).next().await.unwrap().map(drop));
            }
            hear("replay", broker.replay(&Replay::All).await.map(drop));
            hear("pause", broker.pause(true).await);
            hear("limit", broker.limit(&single(), None).await);
            // Names of keys are nobody's in particular: who may ask for them sees those of all queues.
            hear("SCAN", broker.list(&finished(), None, 100).await.map(drop));
            hear("SCAN", broker.audit(|_| {}).await.map(drop));
            if role != "observer" {
                hear("HMGET", broker.counts().await.map(drop));
                hear("HSCAN", broker.limits().await.map(drop));
            }
            assert_eq!(contents(&server).await, before, "{refused:?} left something behind");
        }
    }
}

/// Every key with what it holds. Scripts read the clock, but none that is refused writes.
async fn contents(server: &Server) -> Vec<(String, Vec<u8>)> {
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]).await;
    keys.sort();
    let mut contents = Vec::new();
    for key in keys {
        let dump = server.ask(&["DUMP", &key]).await;
        contents.push((key, dump));
    }
    contents
}

#[tokio::test]
async fn no_role_reaches_beyond_its_queue() {
    let Some(server) = Server::start(REDIS, &[]).await else { return };
    for role in ROLES {
        user(&server, role, &rules(role)).await;
        for command in [
            &["KEYS", "*"][..],
            &["FLUSHALL"],
            &["CONFIG", "GET", "*"],
            &["EVAL", "return 1", "0"],
            &["GET", "{other}:b:1"],
            &["HGET", "{other}:m", "paused"],
            &["HSET", "{other}:m", "paused", "1"],
            &["DEL", "{other}:m"],
            &["PUBLISH", "{other}:events", "1"],
            &["ACL", "SETUSER", role, "allcommands"],
            &["SHUTDOWN"],
        ] {
            let mut connection = server.connect_as(role, "canary").await;
            let mut asked = redis::cmd(command[0]);
            let told: redis::RedisResult<redis::Value> =
                asked.arg(&command[1..]).query_async(&mut connection).await;
            assert_eq!(told.unwrap_err().code(), Some("NOPERM"), "{role}: {command:?}");
        }
    }
}
