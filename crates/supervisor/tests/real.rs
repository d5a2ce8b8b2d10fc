//! Real processes under a real supervisor: what they leave behind, what they say, and what is said about them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ecosystem::{App, Ecosystem, GpuClaim, Limit, Probe, Probes};
use rustix::process::{Pid, Signal, kill_process};
use spec::source::SourceText;
use tempfile::TempDir;

const FIXTURE: &str = env!("CARGO_BIN_EXE_supervisor-fixture");
/// Nothing here takes a tenth of it; it ends what hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// A supervisor in a process of its own. Everything it starts has its folder in the environment.
struct Supervised {
    folder: TempDir,
    process: Child,
    lines: Receiver<String>,
}

impl Supervised {
    fn start(apps: &[App]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), apps)
    }

    /// The next supervisor of what this one has left, which was killed.
    fn again(mut self, apps: &[App]) -> Self {
        self.signal(Signal::KILL);
        self.process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start_in(folder, apps)
    }

    fn start_in(folder: TempDir, apps: &[App]) -> Self {
        let mut ecosystem = one();
        ecosystem.apps = apps.to_vec();
        for app in &mut ecosystem.apps {
            let log = folder.path().join(format!("{}.log", app.name)).display().to_string();
            if app.out_file == "/tmp/web.log" {
                (app.out_file, app.error_file) = (log.clone(), log);
            }
            app.env.insert("FOLDER".parse().unwrap(), folder.path().display().to_string());
        }
        let file = folder.path().join("ecosystem.json");
        fs::write(&file, ecosystem.to_json()).unwrap();
        let mut command = Command::new(FIXTURE);
        command.arg("supervise").arg(file).arg(folder.path().join("memory"));
        Self::started(folder, command)
    }

    fn started(folder: TempDir, mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|it| sender.send(it)));
        Self { folder, process, lines }
    }

    /// Waits for a line that starts so; returns all of it.
    fn wait(&self, start: &str) -> String {
        self.wait_all(&[start])
    }

    /// Waits for a line that starts with each of these, in any order; returns the last of them.
    fn wait_all(&self, starts: &[&str]) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut missing = starts.to_vec();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|it| panic!("no {missing:?}: {it}"));
            missing.retain(|start| !line.starts_with(start));
            if missing.is_empty() {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The living processes that it, or what it started, has started.
    fn left(&self) -> usize {
        let variable = format!("FOLDER={}", self.folder.path().display());
        let pids = fs::read_dir("/proc").unwrap().flatten().map(|it| it.path());
        let environments = pids.filter_map(|it| fs::read(it.join("environ")).ok());
        environments.filter(|it| it.split(|byte| *byte == 0).any(|it| it == variable.as_bytes())).count()
    }

    /// The living process of this name, or what it has started.
    fn pid(&self, name: &str) -> Option<Pid> {
        let [own, end] = [format!("FOLDER={}", self.folder.path().display()), format!(":{name}")];
        fs::read_dir("/proc").unwrap().flatten().find_map(|it| {
            let environment = fs::read(it.path().join("environ")).ok()?;
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let has = |test: &dyn Fn(&str) -> bool| environment.split('\0').any(test);
            let marked = has(&|it| it.starts_with("ROSTER_PROCESS=") && it.ends_with(&end));
            if !(marked && has(&|it| it == own)) {
                return None;
            }
            Pid::from_raw(it.file_name().to_str()?.parse().ok()?)
        })
    }

    fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert!(self.process.wait().unwrap().success());
        assert_eq!(self.left(), 0, "left after the stop");
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until something is true.
fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn one() -> Ecosystem {
    Ecosystem::read(&SourceText::open("one.json", include_str!("one.json"))).unwrap()
}

/// The fixture with these arguments; 3 starts within its budget, a grace of 200 ms.
fn app(name: &str, args: &[&str]) -> App {
    App {
        name: name.parse().unwrap(),
        script: FIXTURE.into(),
        args: args.iter().map(|it| (*it).to_owned()).collect(),
        max_restarts: 3,
        exp_backoff_restart_delay: 10,
        kill_timeout: 200,
        ..one().apps.remove(0)
    }
}

#[test]
fn what_ignores_the_ask_is_killed() {
    let mut it = Supervised::start(&[app("deaf", &["deaf"])]);
    it.wait("deaf healthy");
    it.stop();
}

#[test]
fn what_ends_three_times_and_then_stays_is_started_four_times() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let script = format!("echo >>{0}; test $(wc -l <{0}) -gt 3 || exit 1; exec sleep 1000", starts.display());
    let flaky = App { script: "/bin/sh".into(), max_restarts: 10, ..app("flaky", &["-c", &script]) };
    let mut it = Supervised::start_in(folder, &[flaky]);
    let count = || fs::read_to_string(&starts).map_or(0, |it| it.len());
    until("the fourth start", || count() == 4 && it.left() == 1);
    it.stop();
    assert_eq!(count(), 4);
}

#[test]
fn more_files_are_open_than_a_process_may_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut ecosystem = one();
    let name = |it: usize| format!("tells-{it}");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let apps = (0..60).map(|it| App {
        script: "/bin/sh".into(),
        out_file: file(&format!("{it}.out")),
        error_file: file(&format!("{it}.err")),
        ..app(&name(it), &["-c", "ulimit -n; exec sleep 1000"])
    });
    ecosystem.apps = apps.collect();
    fs::write(file("ecosystem.json"), ecosystem.to_json()).unwrap();
    let mut command = Command::new("sh");
    let limited = format!("ulimit -Sn 128; exec {FIXTURE} supervise {}", file("ecosystem.json"));
    command.args(["-c", &limited]);
    let told = (0..60).map(|it| folder.path().join(format!("{it}.out"))).collect::<Vec<_>>();
    let mut it = Supervised::started(folder, command);
    let healthy: Vec<String> = (0..60).map(|it| format!("{} healthy", name(it))).collect();
    it.wait_all(&healthy.iter().map(String::as_str).collect::<Vec<_>>());
    for path in told {
        until("its limit", || fs::read_to_string(&path).is_ok_and(|it| it == "128\n"));
    }
    it.stop();
}

#[test]
fn nothing_is_left_of_a_parent_that_lives() {
    for child in ["deaf", "in-own-session"] {
        let mut it = Supervised::start(&[app("parent", &["parent", child, "lives"])]);
        it.wait("parent healthy");
        let deadline = Instant::now() + DEADLINE;
        while it.left() < 2 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(it.left(), 2, "{child}");
        it.stop();
    }
}

#[test]
fn nothing_is_left_of_a_parent_that_crashed() {
    for child in ["deaf", "in-own-session"] {
        let mut it = Supervised::start(&[app("parent", &["parent", child, "crashes"])]);
        it.wait("parent failed: ended with 1");
        assert_eq!(it.left(), 0, "{child}");
        it.stop();
    }
}

#[test]
fn everything_ends_with_a_supervisor_that_is_killed() {
    let mut it = Supervised::start(&[app("one", &["run"]), app("two", &["deaf"])]);
    // Both: a process that is just becoming its program has no environment for an instant, and would not be seen.
    it.wait_all(&["one healthy", "two healthy"]);
    it.signal(Signal::KILL);
    it.process.wait().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while it.left() > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(it.left(), 0);
}

#[test]
fn output_arrives_byte_for_byte() {
    let mut it = Supervised::start(&[App { autorestart: false, ..app("flood", &["flood"]) }]);
    it.wait("flood completed");
    it.stop();
    let line = [&[0xFF, 0xFE, 0x00][..], &[b'x'; 60], b"\n"].concat();
    assert!(fs::read(it.log("flood")).unwrap() == line.repeat(64 * 1024));
}

#[test]
fn a_broken_process_says_why_and_leaves_its_neighbours_alone() {
    let mut it = Supervised::start(&[
        App { script: "/no/such/program".into(), ..app("a-missing", &[]) },
        App { cwd: "/no/such/folder".into(), ..app("b-nowhere", &[]) },
        App {
            out_file: "/proc/no.log".into(),
            error_file: "/proc/no.log".into(),
            ..app("c-silent", &["run"])
        },
        app("d-fine", &["run"]),
    ]);
    let mut told: Vec<String> = (0..4)
        .map(|_| {
            let deadline = Instant::now() + DEADLINE;
            loop {
                let line = it.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap();
                if line.contains(" failed") || line.contains("healthy") {
                    return line;
                }
            }
        })
        .collect();
    told.sort();
    insta::assert_snapshot!(told.join("\n"), @r"
    a-missing failed: could not be started: its program `/no/such/program` does not exist: install it, or correct `script`
    b-nowhere failed: could not be started: its working directory `/no/such/folder` does not exist: create it, or correct `cwd`
    c-silent failed: could not be started: its log file `/proc/no.log` cannot be written: No such file or directory (os error 2)
    d-fine healthy
    ");
    it.stop();
}

#[test]
fn nothing_is_left_of_a_daemon() {
    for then in ["lives", "crashes"] {
        let mut it = Supervised::start(&[app("daemon", &["daemon", then])]);
        if then == "lives" {
            it.wait("daemon healthy");
            until("a daemon", || it.left() == 2);
        } else {
            it.wait("daemon failed: ended with 1");
            assert_eq!(it.left(), 0);
        }
        it.stop();
    }
}

#[test]
fn a_process_without_output_is_a_process() {
    let script = "exec >&- 2>&-; exec sleep 1000";
    let mut it = Supervised::start(&[App { script: "/bin/sh".into(), ..app("silent", &["-c", script]) }]);
    it.wait("silent healthy");
    until("a process", || it.left() == 1);
    it.stop();
}

#[test]
fn what_is_to_survive_is_adopted_and_the_rest_is_not_doubled() {
    let mut keep = app("keep", &["ticks"]);
    keep.roster.survive = true;
    keep.min_uptime = 1;
    let daemon = app("daemon", &["daemon", "lives"]);
    let it = Supervised::start(&[keep.clone(), daemon.clone()]);
    it.wait_all(&["keep healthy", "daemon healthy"]);
    until("all that is started", || it.left() == 3 && it.pid("keep").is_some());
    let (before, size) = (it.pid("keep"), || fs::metadata(it.log("keep")).map_or(0, |it| it.len()));
    until("a first word", || size() > 0);

    let mut it = it.again(&[keep.clone(), daemon]);
    it.wait_all(&["keep healthy", "daemon healthy"]);
    assert_eq!(it.pid("keep"), before);
    let size = || fs::metadata(it.log("keep")).map_or(0, |it| it.len());
    let written = size();
    until("more words", || size() > written);
    until("nothing twice", || it.left() == 3);

    kill_process(before.unwrap(), Signal::KILL).unwrap();
    until("another one", || it.pid("keep").is_some_and(|it| Some(it) != before));

    // What it would be now is something else: the old one is ended first.
    let changed = App { env: [("NEW".parse().unwrap(), "1".into())].into(), ..keep };
    let before = it.pid("keep");
    it = it.again(&[changed]);
    it.wait("keep healthy");
    until("another one", || it.pid("keep").is_some_and(|it| Some(it) != before) && it.left() == 1);
    it.stop();
}

#[test]
fn a_process_is_what_its_document_says() {
    let script =
        "umask; ulimit -n; ulimit -c; cat /proc/self/oom_score_adj; id -u; id -g; pwd; env | grep -c .";
    let mut told = App { script: "/bin/sh".into(), autorestart: false, ..app("told", &["-c", script]) };
    told.cwd = "/usr".into();
    told.env.insert("PATH".parse().unwrap(), "/usr/bin:/bin".into());
    let role = &mut told.roster;
    (role.umask, role.oom_score_adj) = (Some("027".into()), Some(900));
    role.limits = [(Limit::Nofile, Some(77)), (Limit::Core, Some(0))].into();
    let root = rustix::process::geteuid().is_root();
    if root {
        (role.user, role.group) = (Some("4321".into()), Some("4322".into()));
    }
    let mut stranger = app("stranger", &["run"]);
    stranger.roster.user = Some("no-such-user".into());
    let mut it = Supervised::start(&[told, stranger]);
    it.wait_all(&[
        "told completed",
        "stranger failed: could not be started: its user `no-such-user` is not in /etc/passwd",
    ]);
    it.stop();
    let said = fs::read_to_string(it.log("told")).unwrap();
    let (user, group) = if root { (4321, 4322) } else { (getuid(), getgid()) };
    assert_eq!(said, format!("0027\n77\n0\n900\n{user}\n{group}\n/usr\n4\n"));
}

fn getuid() -> u32 {
    rustix::process::getuid().as_raw()
}

fn getgid() -> u32 {
    rustix::process::getgid().as_raw()
}

#[test]
fn a_line_in_the_log_is_a_sign_of_life() {
    let with = |name: &str, line: &str| {
        let mut app = app(name, &["deaf"]);
        let (install, health) = (Probe::Process, Probe::Process);
        let ready = Probe::Log { line: line.into() };
        app.roster.probes = Some(Probes { install, startup: None, ready, health, live: None });
        app
    };
    let mut never = with("never", "down");
    never.roster.ready_within_s = Some(1);
    let mut it = Supervised::start(&[with("heard", "up"), never]);
    it.wait_all(&["heard healthy", "never stopping: not healthy within 1 s"]);
    it.stop();
}

#[test]
fn what_can_never_be_alive_again_is_replaced_and_what_is_ill_is_not() {
    let with = |name: &str, health: Probe, live: Probe| {
        let mut app = app(name, &["run"]);
        let probes = Probes {
            install: Probe::Process,
            startup: None,
            ready: Probe::Process,
            health,
            live: Some(live),
        };
        app.roster.probes = Some(probes);
        app
    };
    let no = || Probe::File { path: "/no/such/file".into() };
    let mut it = Supervised::start(&[
        with("dead", Probe::Exec { command: vec!["/bin/true".into()] }, no()),
        with("ill", no(), Probe::Process),
    ]);
    it.wait_all(&["ill ready", "dead healthy"]);
    it.stop();
}

#[test]
fn a_card_that_a_stranger_holds_is_waited_for() {
    let mut service = app("service", &["run"]);
    let (label, identity) = ("gpu0".into(), "GPU-0".into());
    service.roster.gpu = Some(GpuClaim { label, identity, vram_mib: Some(500) });
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card");
    fs::write(&card, "400 600").unwrap();
    service.max_restarts = 1000;
    let mut it = Supervised::start_in(folder, &[service]);
    it.wait(
        "service backing off: could not be started: process 1 (stranger) holds 600 MiB of its card gpu0 \
         (400 MiB free; it needs 500): end that first",
    );
    fs::write(card, "500 500").unwrap();
    it.wait("service healthy");
    it.stop();
}
