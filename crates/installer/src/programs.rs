//! The programs that an install runs: by a list of words and never by a shell, with an environment that is ours, a time
//! limit, and an output of which the end is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use spec::env::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::fault::InstallFault;

/// Of an output, what is kept: its end.
const KEPT: usize = 16 << 10;
/// Of an output that is an answer, what is read.
const ANSWER: usize = 1 << 20;
/// For the output of a program that has ended; a child of it may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Shorter values are not searched for: they would redact common words, and they guard nothing.
const SHORTEST: usize = 6;

/// What programs are given of our own environment: where things are, and how the network is reached.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "NVIDIA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
];
/// And by how their names begin.
const PASSED_PREFIXES: &[&str] = &["LC_", "PIP_", "UV_", "XDG_", "PLAYWRIGHT_"];

/// Whether programs of an install are given a variable of our environment.
pub fn is_passed(name: &str) -> bool {
    PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|it| name.starts_with(it))
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) program: &'a str,
    pub(crate) args: Vec<String>,
    pub(crate) folder: &'a Path,
    /// Beside what is passed on.
    pub(crate) env: Vec<(String, Secret<String>)>,
    pub(crate) limit: Duration,
}

/// What runs them.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    environment: BTreeMap<String, String>,
    secrets: Vec<Secret<String>>,
}

impl Programs {
    /// With these variables, which [`is_passed`] has let through; no output of theirs will hold one of the secrets.
    pub fn new(
        environment: BTreeMap<String, String>,
        secrets: impl IntoIterator<Item = Secret<String>>,
    ) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().filter(|it| it.expose().len() >= SHORTEST).collect();
        // The longest first, so that a value within another leaves no rest of it.
        secrets.sort_by_key(|it| std::cmp::Reverse(it.expose().len()));
        Self { environment, secrets }
    }

    /// Where the system has a program.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let path = self.environment.get("PATH")?;
        let all = std::env::split_paths(path).filter(|it| it.is_absolute()).map(|it| it.join(name));
        all.into_iter().find(|it| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::metadata(it).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        })
    }

    /// Runs a program to its end, and gives what it wrote on standard output.
    pub(crate) async fn run(&self, call: Call<'_>) -> Result<String, InstallFault> {
        let Call { program, args, folder, env, limit } = call;
        let mut command = Command::new(program);
        command.args(&args).current_dir(folder).env_clear().envs(&self.environment);
        command.envs(env.iter().map(|(key, value)| (key, value.expose())));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).kill_on_drop(true).spawn().map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                return InstallFault::NoProgram { program: program.to_owned() };
            }
            self.failed(program, &args, format!("cannot be started: {error}"), "")
        })?;
        let mut group = Group::of(child);
        let (Some(out), Some(err)) = (group.child.stdout.take(), group.child.stderr.take()) else {
            return Err(self.failed(program, &args, "has no output".into(), ""));
        };
        let said = std::sync::Mutex::new(Said::default());
        let reading = async { tokio::join!(listen(out, &said, true), listen(err, &said, false)) };
        let ended = async {
            tokio::pin!(reading);
            let status = tokio::select! {
                status = group.child.wait() => Some(status),
                _ = &mut reading => None,
            };
            match status {
                Some(status) => {
                    let _ = tokio::time::timeout(LAST_WORDS, reading).await;
                    status
                }
                None => group.child.wait().await,
            }
        };
        let status = tokio::time::timeout(limit, ended).await;
        if matches!(status, Ok(Ok(_))) {
            group.ended = true;
        }
        drop(group);
        let said = said.into_inner().unwrap_or_default();
        let tail = self.clean(&said.tail);
        match status {
            Ok(Ok(status)) if status.success() => Ok(String::from_utf8_lossy(&said.answer).into_owned()),
            Ok(Ok(status)) => {
                let how = match status.code() {
                    Some(code) => format!("ended with {code}"),
                    None => format!("was ended by a signal ({status})"),
                };
                Err(self.failed(program, &args, how, &tail))
            }
            Ok(Err(error)) => Err(self.failed(program, &args, format!("was lost: {error}"), &tail)),
            Err(_) => {
                Err(self.failed(program, &args, format!("took more than {} s", limit.as_secs()), &tail))
            }
        }
    }

    /// The text of an output, without secrets and without what would move a terminal's cursor.
    fn clean(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let text: String = text.chars().filter(|it| *it == '\n' || !it.is_control()).collect();
        self.secrets.iter().fold(text, |text, it| text.replace(it.expose(), "[redacted]"))
    }

    fn failed(&self, program: &str, args: &[String], how: String, output: &str) -> InstallFault {
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
        // Options and addresses would make it long; what it was doing is in its first words.
        let words = args.iter().filter(|it| !it.starts_with('-')).take(3);
        let program = words.fold(name.into_owned(), |text, it| format!("{text} {it}"));
        let program = self.clean(program.as_bytes());
        InstallFault::Program { program, how, output: output.trim().to_owned() }
    }
}

/// A child with all that it starts: gone with us.
struct Group {
    child: Child,
    pid: Option<Pid>,
    ended: bool,
}

impl Group {
    fn of(child: Child) -> Self {
        let pid = child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        Self { child, pid, ended: false }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.filter(|_| !self.ended) {
            // It may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[derive(Default)]
struct Said {
    tail: Vec<u8>,
    answer: Vec<u8>,
}

async fn listen(mut pipe: impl AsyncRead + Unpin, said: &std::sync::Mutex<Said>, is_answer: bool) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let Ok(mut said) = said.lock() else { return };
        let bytes = &buffer[..read];
        if is_answer {
            let room = ANSWER - said.answer.len();
            said.answer.extend_from_slice(&bytes[..read.min(room)]);
        }
        said.tail.extend_from_slice(bytes);
        if said.tail.len() > 2 * KEPT {
            let from = said.tail.len() - KEPT;
            said.tail.drain(..from);
        }
    }
}
