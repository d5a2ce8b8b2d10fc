//! An install that is killed at any instant is gone on with, and loses nothing.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use installer::status::State;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use spec::env::EnvSource;
use spec::ids::EnvKey;

use super::server::{Answer, Server};
use super::support::{Place, Seen, block_on, bytes, commit, model, passed, wheel};

/// The order of a process that is going to be killed.
const VICTIM: &str = "ROSTER_TEST_VICTIM";
/// How often; 200 is the whole measure.
const KILLS: &str = "ROSTER_TEST_KILLS";

/// What the killed process runs: this very program with one test of it.
#[test]
fn victim() {
    let Ok(order) = std::env::var(VICTIM) else { return };
    let order: spec::model::InstallOrder = serde_json::from_str(&order).unwrap();
    let environment = std::collections::BTreeMap::<EnvKey, String>::new();
    let place = Place::new();
    let environment: &dyn EnvSource = &environment;
    let limits = installer::Limits { wait: Duration::from_mins(1), ..place.limits };
    let installer = installer::Installer::open(&order, environment, passed(), limits).unwrap();
    let updates = std::env::var("ROSTER_TEST_UPDATE").is_ok();
    if updates {
        let updated = block_on(installer.update(false, false, &Seen::default())).unwrap();
        assert!(!updated.rolled_back, "{updated:?}");
    } else {
        let report = block_on(installer.apply(&Seen::default())).unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    }
}

fn start(place: &Place, update: bool) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed::victim", "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.env(VICTIM, serde_json::to_string(&place.order()).unwrap());
    if update {
        command.env("ROSTER_TEST_UPDATE", "1");
    }
    command.process_group(0).spawn().unwrap()
}

#[test]
fn an_install_that_is_killed_at_any_instant_is_gone_on_with() {
    let kills: usize = std::env::var(KILLS).ok().and_then(|it| it.parse().ok()).unwrap_or(5);
    let mut place = Place::new();
    // What a killed install had started may go on for a while.
    place.limits.wait = Duration::from_mins(1);
    let server = Server::start("127.0.0.1");
    let wheels = place.elsewhere("wheels");
    wheel(&wheels, "tiny", "1.0");
    let list = format!("--no-index\n--find-links {}\ntiny\n", wheels.display());
    commit(&place.elsewhere("core"), &[("requirements.txt", &list)]);
    place.install["python"] = json!({ "requirements": ["requirements.txt"] });
    place.install["probe"] = json!(["${PYTHON}", "-c", "import tiny"]);
    let nodes: Vec<_> = (0..5).map(|it| place.node(&format!("node{it}"), &[("here", "it")])).collect();
    place.nodes(&json!(nodes));
    let all: Vec<(String, Vec<u8>)> = (0..3).map(|it| (format!("m{it}.bin"), bytes(1_500_000, it))).collect();
    let wanted: Vec<_> = (all.iter())
        .map(|(name, bytes)| model(name, &server.put(name, Answer::Slow(bytes.clone())), bytes))
        .collect();
    place.models(&json!(wanted));
    let whole = |name: &str| {
        let found = fs::read(place.workspace().join("models/checkpoints").join(name)).ok();
        let expected = &all.iter().find(|(it, _)| it == name).unwrap().1;
        assert!(found.as_ref().is_none_or(|it| it == expected), "{name} is visible and not whole");
        found.is_some()
    };

    let (mut killed, mut rounds, mut updates) = (0, 0, 0);
    let mut random = Random(0x5eed);
    while killed < kills {
        rounds += 1;
        assert!(rounds < kills * 20, "installs end before they can be killed");
        let before: Vec<bool> = all.iter().map(|(name, _)| whole(name)).collect();
        let was_there = place.home("current/source/main.py").exists();
        let mut child = start(&place, updates > 0);
        // Most of an install is over in the first seconds; an instant of the last ones is as good as any.
        let until =
            Instant::now() + Duration::from_millis(random.below(if killed % 3 == 0 { 8_000 } else { 1_500 }));
        let mut ended = None;
        while Instant::now() < until && ended.is_none() {
            ended = child.try_wait().unwrap();
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if let Some(status) = ended {
            assert!(status.success(), "it did not go on where the last one was killed");
            // On to an update, or to a machine that has nothing but its models.
            updates += 1;
            commit(&place.elsewhere("core"), &[("main.py", &format!("print({updates})\n"))]);
            if updates % 4 == 0 {
                fs::remove_dir_all(place.home("")).unwrap();
                updates = 0;
            }
            continue;
        }
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        killed += 1;
        for ((name, _), before) in all.iter().zip(before) {
            assert!(whole(name) || !before, "{name} was lost");
        }
        assert!(!was_there || place.home("current/source/main.py").exists(), "what was started is gone");
    }
    // Whatever the last one was, it can be gone on with.
    place.applied();
    assert!(all.iter().all(|(name, _)| whole(name)));
    assert_eq!((place.status().state, place.applied().steps), (State::Installed, 0));
    assert_eq!(block_on(place.installer().verify()).unwrap().len(), 0);
    let left = fs::read_dir(place.workspace().join("models/.store/parts")).unwrap().count();
    assert_eq!(left, 0, "nothing is left behind");
}

/// Numbers that look like chance, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}
