//! A project in a folder of its own, and the program in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A copy of the `config/` that the repository ships.
pub struct Project(TempDir);

impl Project {
    pub fn shipped() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        copy(&config, &folder.path().join("config"));
        Self(folder)
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file below the root.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
    }

    /// The program with an environment of its own.
    pub fn roster(&self, line: &str) -> Command {
        self.started_by(Command::new(env!("CARGO_BIN_EXE_roster")), line)
    }

    /// `command` with the words of `line` added, where and how the program is to run.
    pub fn started_by(&self, mut command: Command, line: &str) -> Command {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(self.root()).args(line.split_whitespace());
        command
    }

    pub fn run(&self, line: &str) -> Output {
        self.roster(line).output().expect("the program starts")
    }
}

/// Types every block `sh` of a page of the repository, one after the other, in the project's folder, where `roster` is the
/// program; each has to succeed.
pub fn type_page(project: &Project, page: &str, environment: &[(&OsStr, &OsStr)]) {
    let programs = project.path("programs");
    fs::create_dir_all(&programs).expect("the folder can be made");
    let program = programs.join("roster");
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_roster"), program).expect("the link can be made");
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = fs::read_to_string(text).expect("the page is there");
    let blocks: Vec<_> = text.split("```sh\n").skip(1).filter_map(|it| it.split("```").next()).collect();
    assert!(!blocks.is_empty(), "{page}");
    for block in blocks {
        let mut shell = project.started_by(Command::new("timeout"), "120 sh -euc");
        shell.arg(block).envs(environment.iter().copied()).env("PATH", &path);
        let (out, talk, exit) = told(&shell.output().expect("the shell starts"));
        assert_eq!(exit, Some(0), "{page}:\n{block}\n{out}{talk}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("a folder").map(|it| it.expect("an entry")) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type").is_dir() {
            copy(&from, &to);
        } else if !from.parent().is_some_and(|it| it.ends_with("secrets")) || from.ends_with("example.env") {
            // Secrets that a developer has of their own stay where they are.
            fs::copy(&from, &to).expect("the file can be copied");
        }
    }
}

/// Standard output, standard error and exit code.
pub fn told(output: &Output) -> (String, String, Option<i32>) {
    let text = |it: &[u8]| String::from_utf8(it.to_vec()).expect("the program writes text");
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// Whether a program of the system is there; said aloud when it is not.
pub fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("not run: {program} is missing");
    }
    found
}
