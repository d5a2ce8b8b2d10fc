//! `kill -9` while `env-build` runs: what the links show is one complete generation, the one before or the one after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use super::support::{Project, is_there, told};

/// Every file of a generation: mode and bytes.
type Set = BTreeMap<PathBuf, (u32, Vec<u8>)>;

const KILLS: u32 = 200;
const LINKS: [&str; 4] = [".env", ".env.secret", "docker-compose.yaml", "ecosystem.json"];
const PROFILES: [&str; 2] = ["mixed-workload", "simulation"];

/// Reads the set in force at an output root. `None` when nothing is in force yet.
///
/// Every link must lead into the one generation that is in force. A link may lead nowhere only when that generation has
/// no such file: it is made before the switch, or removed after it.
fn in_force(root: &Path) -> Option<Set> {
    let current = root.join(".roster/current").canonicalize().ok();
    for link in LINKS {
        let path = root.join(link);
        if path.symlink_metadata().is_ok() {
            assert_eq!(fs::read_link(&path).unwrap(), Path::new(".roster/current").join(link));
        }
        match (path.canonicalize(), &current) {
            (Ok(target), Some(current)) => assert_eq!(target, current.join(link)),
            (Ok(target), None) => panic!("{link} leads to {} and nothing is in force", target.display()),
            (Err(_), Some(current)) => assert!(!current.join(link).exists(), "{link} is not shown"),
            (Err(_), None) => {}
        }
    }
    let mut set = Set::new();
    read(current.as_deref()?, Path::new(""), &mut set);
    Some(set)
}

fn read(folder: &Path, inside: &Path, set: &mut Set) {
    for entry in fs::read_dir(folder.join(inside)).unwrap() {
        let inside = inside.join(entry.unwrap().file_name());
        let path = folder.join(&inside);
        if path.is_dir() {
            read(folder, &inside, set);
        } else {
            let mode = path.metadata().unwrap().permissions().mode();
            set.insert(inside, (mode, fs::read(path).unwrap()));
        }
    }
}

/// The build of one profile. Its number is in the set, as a variable, so that every build is a new generation.
fn build(project: &Project, profile: &str, number: u32, out: &Path) -> Command {
    let mut command = project.roster(&format!("env-build {profile} --out {}", out.display()));
    command.env("API_URL", format!("n{number:06}")).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The complete sets of both profiles, by number.
struct Complete(Vec<Set>);

impl Complete {
    fn of(project: &Project) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sets = PROFILES.iter().map(|profile| {
            assert!(build(project, profile, 0, folder.path()).status().unwrap().success());
            in_force(folder.path()).unwrap()
        });
        Self(sets.collect())
    }

    fn set(&self, profile: usize, number: u32) -> Set {
        let mut set = self.0[profile].clone();
        let (_, bytes) = set.get_mut(Path::new(".env")).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(text.matches("n000000").count(), 1);
        *bytes = text.replace("n000000", &format!("n{number:06}")).into_bytes();
        set
    }
}

/// Building again, twice: the first time mends whatever was left behind, the second changes nothing.
fn mends(project: &Project, out: &Path, complete: &Complete) {
    assert!(build(project, PROFILES[0], KILLS + 1, out).status().unwrap().success());
    assert!(in_force(out).as_ref() == Some(&complete.set(0, KILLS + 1)));
    let again = build(project, PROFILES[0], KILLS + 1, out).stderr(Stdio::piped()).output().unwrap();
    let (_, talk, exit) = told(&again);
    assert_eq!(exit, Some(0));
    assert!(talk.contains("No change"), "{talk}");
    assert!(in_force(out).as_ref() == Some(&complete.set(0, KILLS + 1)));
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Chance(u64);

impl Chance {
    /// From 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((it ^ (it >> 31)) >> 32).expect("32 bits")) / f64::from(u32::MAX)
    }
}

#[test]
fn two_hundred_kills_leave_a_complete_generation_each_time() {
    let project = Project::shipped();
    let complete = Complete::of(&project);
    let out = tempfile::tempdir().unwrap();
    let mut before = in_force(out.path());
    let mut usual = Vec::new();
    for number in 0..5 {
        let begin = Instant::now();
        assert!(
            build(&project, PROFILES[number % 2], 900 + u32::try_from(number).unwrap(), out.path())
                .status()
                .unwrap()
                .success()
        );
        usual.push(begin.elapsed());
        before = in_force(out.path());
    }
    usual.sort();
    let mut usual = usual[2];

    let (mut chance, mut killed, mut switched) = (Chance(2), 0, 0);
    // Nothing is ever sent: waiting for it is waiting for a while, with a clock that does not oversleep.
    let (_never, wait) = mpsc::channel::<()>();
    for number in 1..=KILLS {
        let profile = usize::from(chance.next() < 0.5);
        let mut child = build(&project, PROFILES[profile], number, out.path()).spawn().unwrap();
        // Writing is the second half of a run and comes in for three quarters of the kills.
        let from = if chance.next() < 0.25 { 0.0 } else { 0.5 };
        let delay = usual.mul_f64(from + chance.next() * (1.1 - from));
        wait.recv_timeout(delay).expect_err("nothing is sent");
        child.kill().unwrap();
        let came_in_time = child.wait().unwrap().signal() == Some(9);
        killed += u32::from(came_in_time);
        // Other tests begin and end meanwhile, so what is usual changes.
        usual = usual.mul_f64(if came_in_time { 1.01 } else { 0.9 });

        let after = in_force(out.path());
        let new = Some(complete.set(profile, number));
        switched += u32::from(after == new);
        assert!(after == before || after == new, "kill {number} after {delay:?} left something else");
        before = after;
    }
    eprintln!(
        "{killed} of {KILLS} were killed before their end; {switched} had switched; a build takes {usual:?}"
    );
    assert!(killed > KILLS / 2, "only {killed} of {KILLS} came before the end");
    mends(&project, out.path(), &complete);
    let leftovers = fs::read_dir(out.path().join(".roster/generations")).unwrap().count();
    assert!(leftovers <= 10, "{leftovers} folders are kept");
}

/// What changes a folder. A file is complete when it is renamed, or its folder is.
const STEPS: [&str; 5] = ["mkdir", "rename", "symlink", "unlink", "fsync"];

/// Not by chance but one by one: killed at the first `mkdir`, at the second, …, at the first `rename`, ….
#[test]
fn a_kill_at_any_step_leaves_a_complete_generation() {
    let tracing = |it: &mut Command| it.output().is_ok_and(|it| it.status.success());
    if !is_there("strace") || !tracing(Command::new("strace").args(["-o", "/dev/null", "true"])) {
        return;
    }
    let project = Project::shipped();
    let complete = Complete::of(&project);
    // The first build of all, and one that switches from a set with secrets to one without.
    for (profile, step) in [0, 1].into_iter().flat_map(|it| STEPS.map(|step| (it, step))) {
        let mut kills = 0;
        loop {
            let out = tempfile::tempdir().unwrap();
            if profile == 1 {
                assert!(build(&project, PROFILES[0], 0, out.path()).status().unwrap().success());
            }
            let before = in_force(out.path());
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
            strace.arg(format!("inject=/^{step}(at2?)?$:signal=KILL:when={}", kills + 1));
            let line = format!("env-build {} --out {}", PROFILES[profile], out.path().display());
            let mut run = project.started_by(strace, &format!("{} {line}", env!("CARGO_BIN_EXE_roster")));
            let output = run.env("API_URL", "n000000").output().unwrap();
            let (after, new) = (in_force(out.path()), Some(complete.set(profile, 0)));
            assert!(after == before || after == new, "{step} {kills} left something else");
            if output.status.success() {
                assert!(after == new);
                break;
            }
            kills += 1;
            mends(&project, out.path(), &complete);
        }
        eprintln!("{}: killed at {kills} x {step}", PROFILES[profile]);
        assert!(kills > 0 || step == "unlink" || profile == 1, "no {step} was seen");
    }
}
