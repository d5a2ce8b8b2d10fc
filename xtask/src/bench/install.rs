//! `bench install`: `roster install apply` beside what people would type instead: `curl` for a large file, a loop of
//! `git clone` for many small nodes. Both do their work in the same run, one after the other, and a ratio is the median of
//! the ratios within each round.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::measure::maximum_resident;
use crate::workspace::{cargo, command, output, remove, run as start, target, write};

/// How much of everything
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often both sides do their work
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// MiB of the file that is downloaded
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// Nodes that are installed
    #[arg(long, default_value_t = 60)]
    nodes: u16,
}

/// Of curl's throughput, in hundredths, what a download has to reach.
const OF_CURL: f64 = 0.9;
/// Megabytes that a download may hold in memory.
const MOST_MB: u64 = 30;

/// Prints the table as Markdown. `false` when a limit is missed.
pub(super) fn run(args: &Args) -> Result<bool, String> {
    start(&mut cargo(["build", "--release", "--locked", "--package", "roster-machine"]))?;
    let target = target()?;
    let bench = Bench { roster: target.join("release/roster"), scratch: target.join("bench-install") };
    remove(&bench.scratch)?;
    say!("| case | ours | beside | ratio | limit | verdict |\n|---|--:|--:|--:|---|---|");
    let downloads = bench.downloads(args)?;
    let nodes = bench.nodes(args)?;
    remove(&bench.scratch)?;
    Ok(downloads && nodes)
}

struct Bench {
    roster: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    /// The large file, by `curl` and by us: throughput and memory.
    fn downloads(&self, args: &Args) -> Result<bool, String> {
        let (file, bytes) = (self.scratch.join("served/file"), args.mib << 20);
        make_file(&file, bytes)?;
        let sum = output(command("sha256sum").arg(&file))?;
        let sum = sum.split(' ').next().unwrap_or_default().to_owned();
        let url = serve(file.clone())?;
        let models = format!(
            r#"{{"models":[{{"name":"it.bin","folder":"vae","urls":["{url}"],"sha256":"{sum}","size":{bytes}}}]}}"#
        );
        let (mut ratios, mut ours, mut theirs, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..args.rounds {
            let beside = self.scratch.join("curl.out");
            let took =
                timed(command("curl").args(["--silent", "--fail", "--output"]).arg(&beside).arg(&url))?;
            remove_file(&beside)?;
            let workspace = self.workspace("download", &[("models.json", &models)])?;
            let mut under_time = command("time");
            under_time.args(["--quiet", "--format=%M", "--"]).arg(&self.roster);
            let began = Instant::now();
            let held = maximum_resident(ours_of(&mut under_time, &workspace))?;
            let own = began.elapsed();
            memory = memory.max(held);
            remove(&workspace)?;
            ratios.push(took.as_secs_f64() / own.as_secs_f64());
            ours.push(own);
            theirs.push(took);
        }
        let speed = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            format!("{} MB/s", u128::from(bytes) / times[times.len() / 2].as_micros().max(1))
        };
        let (ratio, mib) = (median(&mut ratios), args.mib);
        let (ours, theirs) = (speed(&mut ours), speed(&mut theirs));
        let fast = ratio >= OF_CURL;
        say!(
            "| download of {mib} MiB, beside curl | {ours} | {theirs} | {ratio:.2} | at least {OF_CURL} | {} |",
            verdict(fast)
        );
        let small = memory <= MOST_MB * 1_000_000;
        say!(
            "| memory meanwhile | {} MB | | | at most {MOST_MB} MB | {} |",
            memory.div_ceil(1_000_000),
            verdict(small)
        );
        Ok(fast && small)
    }

    /// Many small nodes, by a loop of a shell and by us.
    fn nodes(&self, args: &Args) -> Result<bool, String> {
        let repositories = self.scratch.join("repositories");
        let mut entries = Vec::new();
        for number in 0..args.nodes {
            let folder = repositories.join(format!("node{number}"));
            make_repository(&folder, number)?;
            entries.push(format!(r#"{{"name":"node{number}","url":"file://{}"}}"#, folder.display()));
        }
        let document = format!(r#"{{"custom_nodes":[{}]}}"#, entries.join(","));
        let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            let beside = self.scratch.join("loop");
            fs::create_dir_all(&beside).map_err(|it| it.to_string())?;
            let script = "for it in \"$1\"/*; do git clone --quiet \"file://$it\" || exit 1; done";
            let mut shell = command("sh");
            shell.args(["-c", script, "sh"]).arg(&repositories).current_dir(&beside);
            let took = timed(&mut shell)?;
            remove(&beside)?;
            let workspace = self.workspace("nodes", &[("nodes.json", &document)])?;
            let own = timed(ours_of(&mut command(&self.roster), &workspace))?;
            remove(&workspace)?;
            ratios.push(took.as_secs_f64() / own.as_secs_f64());
            ours.push(own);
            theirs.push(took);
        }
        let ms = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            format!("{} ms", times[times.len() / 2].as_millis())
        };
        let (ratio, count) = (median(&mut ratios), args.nodes);
        let faster = ratio > 1.0;
        say!(
            "| {count} nodes, beside a loop of git clone | {} | {} | {ratio:.2} | above 1 | {} |",
            ms(&mut ours),
            ms(&mut theirs),
            verdict(faster)
        );
        Ok(faster)
    }

    /// A workspace with these documents, and a program of its own that is there at once.
    fn workspace(&self, name: &str, documents: &[(&str, &str)]) -> Result<PathBuf, String> {
        let workspace = self.scratch.join(name);
        remove(&workspace)?;
        for (name, text) in documents {
            write(&workspace.join(name), text)?;
        }
        Ok(workspace)
    }
}

/// Our side: one install of a program that is there, with the nodes and models of the workspace.
fn ours_of<'a>(command: &'a mut Command, workspace: &Path) -> &'a mut Command {
    let order = format!(
        r#"{{"service":"comfyui","workspace":"{}","install":{{
        "source":{{"program":{{"name":"true"}}}},
        "nodes":{{"file":"nodes.json","folder":"custom_nodes"}},
        "models":{{"file":"models.json","folder":"${{WORKSPACE}}/models"}},
        "probe":["${{SOURCE}}/bin/true"]}},"variables":[]}}"#,
        workspace.display()
    );
    command.args(["install", "apply", "--json"]).env("ROSTER_INSTALL", order).stdout(Stdio::null())
}

fn timed(command: &mut Command) -> Result<Duration, String> {
    let began = Instant::now();
    output(command)?;
    Ok(began.elapsed())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn verdict(good: bool) -> &'static str {
    if good { "within" } else { "OVER" }
}

fn remove_file(path: &Path) -> Result<(), String> {
    fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A file of bytes that look like nothing.
fn make_file(path: &Path, bytes: u64) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    let mut file = fs::File::create(path).map_err(failed)?;
    let mut chance = fs::File::open("/dev/urandom").map_err(failed)?;
    let mut block = vec![0; 1 << 20];
    chance.read_exact(&mut block).map_err(failed)?;
    for number in 0..bytes >> 20 {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}

fn make_repository(folder: &Path, number: u16) -> Result<(), String> {
    for name in ["__init__.py", "nodes.py", "README.md", "js/it.js", "LICENSE"] {
        write(&folder.join(name), &format!("{name} of {number}\n").repeat(200))?;
    }
    let git = |args: &[&str]| {
        let mut git = command("git");
        // A hook of git's has these, and they mean the repository that it is a hook of.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(name);
        }
        output(git.arg("-C").arg(folder).args(args)).map(drop)
    };
    git(&["init", "--quiet"])?;
    git(&["add", "--all"])?;
    git(&["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "-m", "it"])
}

/// Serves one file, whole, to whoever asks; gives its address.
fn serve(file: PathBuf) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A client that went away shows in its own time.
            let _ = answer(&file, connection);
        }
    });
    Ok(format!("http://{address}/file"))
}

fn answer(file: &Path, mut connection: TcpStream) -> std::io::Result<()> {
    let mut head = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut file = fs::File::open(file)?;
    let length = file.metadata()?.len();
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    // `copy` hands the file to the socket within the kernel.
    std::io::copy(&mut file, &mut connection).map(drop)
}
