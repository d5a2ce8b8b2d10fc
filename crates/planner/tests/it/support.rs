//! A project, a made-up world, and snapshots of folders.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser};
use planner::inventory::{Gpus, Host};
use planner::{Answer, World};
use serde_json::Value;
use spec::env::{EnvSource, NotUnicode};
use spec::ids::EnvKey;
use spec::model::Gpu;
use tempfile::TempDir;

/// The command line under which the verbs are reached.
#[derive(Parser)]
#[command(name = "roster", version = "0.1.0")]
struct Cli {
    #[command(subcommand)]
    verb: planner::cli::Verb,
}

/// A project in a folder of its own, and what its commands see of the world.
pub struct Project {
    folder: TempDir,
    /// The process environment. `None` is a value that is not UTF-8.
    pub environment: BTreeMap<EnvKey, Option<String>>,
}

impl Project {
    /// The `config/` that the repository ships.
    pub fn shipped() -> Self {
        Self::of(&repository())
    }

    /// A project with the shipped service mapping and the `environments` of a folder below `tests/`.
    pub fn fixture(name: &str) -> Self {
        let project = Self::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name));
        let mapping = "config/service-mapping.json";
        fs::copy(repository().join(mapping), project.path(mapping)).expect("the mapping is shipped");
        project
    }

    fn of(root: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(&root.join("config"), &folder.path().join("config"));
        Self { folder, environment: BTreeMap::new() }
    }

    /// The project's root.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file below the root.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
    }

    /// The text of a file below the root.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|it| panic!("{path}: {it}"))
    }

    /// Replaces the one place where `from` stands in a file.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {path}");
        self.write(path, text.replace(from, to));
    }

    /// Sets a variable of the process environment.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.environment.insert(key.parse().expect("a variable's name"), Some(value.to_owned()));
        self
    }

    /// Runs a command line, words separated by spaces.
    pub fn run(&self, line: &str) -> Answer {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command line.
    pub fn run_words(&self, words: &[&str]) -> Answer {
        let cli = Cli::try_parse_from(std::iter::once("roster").chain(words.iter().copied()));
        let verb = cli.unwrap_or_else(|it| panic!("{it}")).verb;
        let world = World {
            environment: Box::new(Variables(self.environment.clone())),
            gpus: Box::new(NoDriver),
            host: Host {
                cpu_cores: 16.try_into().expect("not zero"),
                memory_mib: 65_536.try_into().expect("not zero"),
            },
            directory: self.root().to_owned(),
            program: "roster",
            codes: &[],
        };
        planner::run(verb, &world, &Cli::command)
    }

    /// Runs a command line with `--json`; the document, which has what every answer has.
    pub fn json(&self, line: &str) -> Value {
        let answer = self.run(&format!("{line} --json"));
        let document: Value = serde_json::from_str(&answer.out).unwrap_or_else(|it| panic!("{line}: {it}"));
        assert_eq!(document["schema_version"], 1, "{line}");
        assert_eq!(document["exit"], answer.exit.code(), "{line}");
        assert!(document["findings"].is_array(), "{line}");
        assert_eq!(answer.talk, "", "{line}: a program reads standard output only");
        document
    }

    /// Runs a command line that must go well.
    pub fn ok(&self, line: &str) -> Answer {
        let answer = self.run(line);
        assert_eq!(answer.exit.code(), 0, "{line}\n{}\n{}", answer.talk, answer.out);
        answer
    }
}

struct Variables(BTreeMap<EnvKey, Option<String>>);

impl EnvSource for Variables {
    fn get(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value.clone())),
            Some(None) => Err(NotUnicode { key: key.clone() }),
        }
    }
}

struct NoDriver;

impl Gpus for NoDriver {
    fn list(&self) -> Result<Vec<Gpu>, String> {
        Err("no NVIDIA driver library on this machine".into())
    }
}

/// The codes of an answer's findings, in their order.
pub fn codes(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array().expect("findings");
    findings.iter().map(|it| it["code"].as_str().expect("a code")).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Copies a folder; secrets that a developer has of their own stay where they are.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    let own = |it: &Path| {
        it.starts_with(repository().join("config/environments/secrets")) && !it.ends_with("example.env")
    };
    for entry in fs::read_dir(from).unwrap_or_else(|it| panic!("{}: {it}", from.display())) {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type").is_dir() {
            copy(&from, &to);
        } else if !own(&from) {
            fs::copy(&from, &to).expect("the file can be copied");
        }
    }
}

/// Everything below a folder: mode, time of change, and bytes or target.
pub type Snapshot = BTreeMap<PathBuf, (u32, (i64, i64), Vec<u8>)>;

/// What is below a folder now.
pub fn snapshot(folder: &Path) -> Snapshot {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        let about = path.symlink_metadata().expect("it is there");
        let bytes = if about.is_dir() {
            folders.extend(fs::read_dir(&path).expect("a folder").map(|it| it.expect("an entry").path()));
            Vec::new()
        } else if about.is_symlink() {
            fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).expect("a file")
        };
        let inside = path.strip_prefix(folder).expect("below the folder").to_owned();
        found.insert(inside, (about.mode(), (about.mtime(), about.mtime_nsec()), bytes));
    }
    found
}
