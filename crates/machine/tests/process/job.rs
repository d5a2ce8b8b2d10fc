//! `roster job` against a real Redis, with a worker that the test plays.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker::{Broker as _, Claim, Native, Outcome, Progress, Settings, Want, Worker};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::support::told;

mod limits;
mod partly;
mod watching;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(30);

/// A queue on a Redis of its own, without a port, and a worker of it.
struct Queue {
    server: Child,
    folder: TempDir,
    runtime: Runtime,
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Queue {
    /// `None`, and a word about it, where there is no Redis; in CI that fails.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let mut server = Command::new("redis-server");
        server
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path());
        let server = match server.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(server) => server,
            Err(error) => {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "`redis-server` is needed in CI: {error}"
                );
                eprintln!("not run: redis-server is missing");
                return None;
            }
        };
        let end = Instant::now() + LONG;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "`redis-server` does not start");
            std::thread::yield_now();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Some(Self { server, folder, runtime })
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("socket").display())
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roster"));
        command.env_clear().env("REDIS_URL", self.url()).current_dir(self.folder.path());
        command.arg("job").args(line.split_whitespace());
        command
    }

    fn run(&self, line: &str) -> (String, String, Option<i32>) {
        self.run_with(line, "")
    }

    fn run_with(&self, line: &str, input: &str) -> (String, String, Option<i32>) {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Whoever refuses the command line does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        told(&child.wait_with_output().unwrap())
    }

    /// What a run that must go well says on standard output.
    fn ok(&self, line: &str, input: &str) -> String {
        let (out, talk, exit) = self.run_with(line, input);
        assert_eq!(exit, Some(0), "{line}: {out}{talk}");
        out
    }

    fn json(&self, line: &str) -> Value {
        let (out, talk, exit) = self.run(&format!("{line} --json"));
        assert_eq!(talk, "", "{line}");
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["exit"].as_i64(), exit.map(i64::from), "{line}");
        document
    }

    /// One job, and its id.
    fn submit(&self, flags: &str) -> String {
        self.ok(&format!("submit - --service comfyui {flags}"), "{}").trim().to_owned()
    }

    /// A worker with 24 GB of GPU memory, that claims one job and does something with it.
    fn work<T>(&self, act: impl AsyncFnOnce(&Native, &Worker, Option<Claim>) -> T) -> T {
        self.runtime.block_on(async {
            let broker = Native::connect(&self.url(), Settings::new("jobs".parse().unwrap())).await.unwrap();
            let has = json!({ "services": ["comfyui"], "hardware": { "gpu_memory_gb": 24 } });
            let worker =
                Worker::new("m1-worker-comfyui-0".parse().unwrap(), serde_json::from_value(has).unwrap());
            let want = Want::now(1).lease(Duration::from_hours(1));
            let claims = broker.exchange(&worker, vec![], want).await.unwrap().claims;
            act(&broker, &worker, claims.into_iter().next()).await
        })
    }

    /// Claims one job, tells its progress, and ends it.
    fn finish(&self, outcome: Outcome) {
        self.work(async |broker, worker, claim| {
            let ticket = claim.expect("a job can be claimed").ticket;
            let half = Progress { percent: 50, message: "step 10 of 20\u{1b}[2J".into() };
            broker.progress(&ticket, half).await.unwrap().unwrap();
            let done = broker.exchange(worker, vec![(ticket, outcome)], Want::NOTHING).await.unwrap().done;
            assert_eq!(done, [Ok(())]);
        });
    }
}

fn failure(retryable: bool) -> Outcome {
    Outcome::Failure { retryable, message: "no such sampler".into() }
}

/// A text with names for ids, and without times.
fn redacted(text: &str, ids: &[&str]) -> String {
    let mut text = text.to_owned();
    for (at, id) in ids.iter().enumerate() {
        text = text.replace(id, &format!("#{at}"));
    }
    let word = |word: &str| {
        let core = word.trim_matches(|it: char| !it.is_ascii_alphanumeric());
        let digits = core.trim_end_matches(|it: char| it.is_ascii_lowercase());
        let unit = matches!(&core[digits.len()..], "s" | "m" | "h" | "d");
        let parts = digits.split(['m', 'h', 'd']);
        let span =
            unit && parts.into_iter().all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
        let date =
            core.len() == 10 && core.as_bytes()[4] == b'-' && core.ends_with(|it: char| it.is_ascii_digit());
        let time = core.len() == 9 && core.ends_with('Z');
        match (span, date, time) {
            (true, ..) => word.replace(core, "SPAN"),
            (_, true, _) => word.replace(core, "DATE"),
            (_, _, true) => word.replace(core, "TIME"),
            _ => word.to_owned(),
        }
    };
    let lines = text.lines().map(|line| {
        let words = line.split(' ').map(word).collect::<Vec<_>>().join(" ");
        // Columns are as wide as what was redacted.
        let mut line = words.trim_end().to_owned();
        while line.contains("   ") && !line.starts_with("   ") {
            line = line.replace("   ", "  ");
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_in_a_queue_is_listed_counted_and_explained() {
    let Some(queue) = Queue::start() else { return };
    std::fs::write(
        queue.folder.path().join("big.json"),
        r#"{"hardware": {"gpu_memory_gb": 80}, "models": ["flux"]}"#,
    )
    .unwrap();
    let dead = queue.submit("");
    queue.finish(failure(false));
    let running = queue.submit("");
    queue.work(async |_, _, claim| assert!(claim.is_some()));
    let big = queue.submit("--requirements big.json");
    let later = queue.submit("--delay 2h");
    let able = queue.submit("");
    let ids = [dead.as_str(), &running, &big, &later, &able];
    assert_snapshot!(redacted(&queue.ok("list", ""), &ids), @r"
    ID  SERVICE  STATE  AGE  FAILED  LOST  WORKER  REASON
    #1  comfyui  running  SPAN  0/3  0  m1-worker-comfyui-0  lease for SPAN
    #4  comfyui  waiting  SPAN  0/3  0  -
    #2  comfyui  waiting  SPAN  0/3  0  -
    #3  comfyui  delayed  SPAN  0/3  0  -  due in SPAN
    #0  comfyui  dead  SPAN  1/3  0  -  failed for good: no such sampler
    ");
    assert_snapshot!(redacted(&queue.run("list --state waiting --limit 1").1, &ids).split('\'').next().unwrap(), @"1 job of `jobs`; there may be more, behind `--after");
    assert_eq!(queue.ok("list --service openai", ""), "");
    let (out, talk, _) = queue.run("counts");
    assert_snapshot!(out, @r"
    running   1
    waiting   2
    held      0
    delayed   1
    dead      1
    bytes     414
    ");
    assert_snapshot!(talk, @r#"No live worker can run 1 job: for `comfyui`, requiring {"hardware":{"gpu_memory_gb":80},"models":["flux"]}."#);
    let explained: Vec<_> =
        ids.iter().map(|id| redacted(&queue.ok(&format!("explain {id}"), ""), &ids)).collect();
    assert_snapshot!(explained.join("\n"), @r#"
    Job #0 died SPAN ago, DATE TIME.
    Why: failed for good: no such sampler
    1 of 3 attempts failed, 0 workers lost. `roster job replay #0` puts it back.
    Job #1 runs with `m1-worker-comfyui-0`.
    Its lease holds for another SPAN, and is renewed while the worker lives.
    The attempt may take until DATE TIME (in SPAN).
    Job #2 waits for a worker, for `comfyui`, requiring {"hardware":{"gpu_memory_gb":80},"models":["flux"]}.
    None of 1 live worker class can run it:
      comfyui; gpu_memory_gb 24
        it does not satisfy {"hardware":{"gpu_memory_gb":80}}
        it does not satisfy {"models":["flux"]}
    Job #3 is delayed until DATE TIME (in SPAN): it was submitted for then.
    Job #4 waits for a worker, for `comfyui`.
    1 of 1 live worker class can run it; it is claimed when one of their workers is free.
    "#);
    assert_snapshot!(redacted(&queue.ok(&format!("status {dead} {running} {big}"), ""), &ids), @r#"
    Job #0  comfyui  dead
      submitted  DATE TIME, SPAN ago
      died of  failed for good: no such sampler
      ended  DATE TIME, SPAN ago
      attempts  1 of 3 failed

    Job #1  comfyui  running
      submitted  DATE TIME, SPAN ago
      worker  m1-worker-comfyui-0
      lease until  DATE TIME, in SPAN
      deadline  DATE TIME, in SPAN
      attempts  0 of 3 failed

    Job #2  comfyui  waiting
      submitted  DATE TIME, SPAN ago
      attempts  0 of 3 failed
      requires  {"hardware":{"gpu_memory_gb":80},"models":["flux"]}
    "#);

    // Page by page the same list.
    let whole = queue.json("list")["result"]["jobs"].take();
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let mut command = queue.command("list --limit 2 --json");
        if !after.is_empty() {
            command.args(["--after", &after]);
        }
        let page: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        pages.extend(page["result"]["jobs"].as_array().unwrap().iter().map(|it| it["id"].clone()));
        match page["result"]["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, whole.as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>());
}

#[test]
fn jobs_are_cancelled_and_replayed_and_a_queue_is_paused() {
    let Some(queue) = Queue::start() else { return };
    let dead = queue.submit("");
    queue.finish(failure(false));
    let running = queue.submit("");
    queue.work(async |_, _, claim| assert!(claim.is_some()));
    let waiting = queue.submit("");
    let ids = [dead.as_str(), &running, &waiting];
    let (out, talk, exit) = queue.run(&format!("cancel {waiting} {running} {dead} nobody"));
    assert_eq!(exit, Some(1));
    assert_snapshot!(redacted(&out, &ids), @r"
    #2  cancelled
    #1  its worker is asked to stop
    #0  had ended before
    ");
    assert_snapshot!(talk, @r"
    error[BROKER020]: no job is named `nobody`
     |
     = help: Check the id and the queue's name; a finished job is forgotten after its `result_ttl_ms`.
    ");
    let (out, talk, exit) = queue.run(&format!("replay {dead} {waiting}"));
    assert_eq!((redacted(&out, &ids).as_str(), exit), ("#0", Some(1)));
    assert_snapshot!(redacted(&talk, &ids), @r"
    error[JOB004]: job `#2` is cancelled, not dead
     |
     = help: submit it anew if it is to be done again

    1 job waits again.
    ");
    queue.finish(failure(false));
    assert_eq!(queue.ok("replay --kind attempts", ""), "");
    assert_eq!(redacted(&queue.ok("replay --all", ""), &ids), "#0");
    assert_snapshot!(queue.run("pause").1, @"`jobs` is paused: no job is claimed until `roster job resume`.");
    queue.work(async |_, _, claim| assert_eq!(claim, None));
    assert!(queue.run(&format!("explain {dead}")).0.contains("The queue is paused"));
    assert!(queue.run("counts").1.contains("The queue is paused"));
    assert_snapshot!(queue.run("resume").1, @"Jobs of `jobs` are claimed.");
    queue.work(async |_, _, claim| assert!(claim.is_some()));
}

#[test]
fn an_audit_finds_what_was_damaged() {
    let Some(queue) = Queue::start() else { return };
    let id = queue.submit("");
    let (_, talk, exit) = queue.run("audit");
    assert_eq!(exit, Some(0));
    assert_snapshot!(talk, @"1 job and 1 entry of lines and sets looked at: every job is in exactly one state.");
    let socket = queue.folder.path().join("socket");
    let key = format!("{{jobs}}:b:{id}");
    let asked = Command::new("redis-cli").arg("-s").arg(&socket).args(["DEL", &key]).output();
    if asked.is_err() {
        eprintln!("not run: redis-cli is missing");
        return;
    }
    let (_, talk, exit) = queue.run("audit");
    assert_eq!(exit, Some(2));
    let line = talk.split("`w:").nth(1).and_then(|it| it.split('`').next()).unwrap();
    assert_snapshot!(redacted(&talk, &[&id, line]), @r"
    error[BROKER021]: job `#0` has no document, but is in `w:#1`
     |
     = help: Find out who wrote to these keys; then remove the entry that is wrong with `ZREM`.

    error[BROKER021]: unfinished jobs have 0 bytes, but `m` says 82
     |
     = help: Correct the field `bytes` of `m` with `HINCRBY` by the difference; the byte budget is held against it.

    0 jobs and 1 entry of lines and sets looked at; 2 faults.
    ");
    assert_eq!(queue.json("audit")["result"], json!({ "jobs": 0, "entries": 1, "damaged": 2 }));
}

#[test]
fn a_queue_that_is_not_said_or_not_there_is_an_error_and_no_password_is_told() {
    let roster = |line: &str, environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roster"));
        command.env_clear().envs(environment.iter().copied()).arg("job").args(line.split_whitespace());
        told(&command.stdin(Stdio::null()).output().unwrap())
    };
    let (_, talk, exit) = roster("list", &[]);
    assert_eq!(exit, Some(4));
    assert_snapshot!(talk, @r"
    error[JOB001]: nothing says where the queue's Redis is: neither `--redis`, `REDIS_URL` nor `HUB_REDIS_URL` is set
     |
     = help: export REDIS_URL=redis://127.0.0.1:6379/0, with your own address
    ");
    let (_, talk, exit) = roster("list", &[("REDIS_URL", "redis://127.0.0.1:1"), ("JOB_QUEUE", "a:b")]);
    assert!(exit == Some(1) && talk.contains("`JOB_QUEUE` is not the name of a queue"), "{talk}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let url = "redis://anna:canary%2Dpassword@127.0.0.1:1/0";
    std::fs::write(&file, format!("{url}\n")).unwrap();
    let file = file.display().to_string();
    let broken = "redis://anna:canary/password@127.0.0.1:1/0";
    for (flags, environment) in [
        (String::new(), ("REDIS_URL", url)),
        (String::new(), ("HUB_REDIS_URL", url)),
        (String::new(), ("REDIS_URL_FILE", file.as_str())),
        (format!("--redis {url}"), ("HOME", "/")),
        (String::new(), ("REDIS_URL", broken)),
    ] {
        for (line, input) in
            [("list", ""), ("submit --service a --file /dev/null", ""), ("watch x", ""), ("audit", "")]
        {
            for json in ["", " --json"] {
                let (out, talk, exit) = roster(&format!("{line} {flags}{json}"), &[environment]);
                assert_eq!(exit, Some(1), "{line} {input}{out}{talk}");
                assert!(!out.contains("canary") && !talk.contains("canary"), "{out}{talk}");
            }
        }
    }
    let (_, talk, _) = roster("list", &[("REDIS_URL", url)]);
    assert_snapshot!(talk, @r"
    error[BROKER006]: Redis: redis://anna@127.0.0.1:1: Connection refused (os error 111)
    --> REDIS_URL
     = help: Check the address, its user and password, and that the server runs; then try again.
    ");
}

#[test]
fn codes_of_the_runtime_are_explained() {
    let told = |code: &str| {
        let out = Command::new(env!("CARGO_BIN_EXE_roster")).args(["explain", code]).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    for (code, title) in [
        ("BROKER001", "a job document of another form"),
        ("JOB001", "nothing says where the queue's Redis is"),
        ("WORKER001", "a variable that the worker needs is not set"),
    ] {
        assert!(told(code).starts_with(&format!("{code}: {title}\n")), "{code}");
    }
}
