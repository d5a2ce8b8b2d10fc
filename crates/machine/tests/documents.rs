//! The conversations in the documents are true: every `$ roster …` in a `console` block is run, and must answer what
//! stands below it: standard output, or standard error when that is empty.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command and the answer that a document promises.
#[derive(Debug, PartialEq)]
struct Promise {
    command: String,
    answer: String,
}

fn promises(text: &str) -> Vec<Promise> {
    let mut promises: Vec<Promise> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line.strip_prefix("$ ")) {
            (false, _) => inside = line == "```console",
            (true, _) if line == "```" => inside = false,
            (true, Some(command)) => {
                promises.push(Promise { command: command.into(), answer: String::new() });
            }
            (true, None) => {
                let promise = promises.last_mut().expect("a conversation begins with a command");
                promise.answer.push_str(line);
                promise.answer.push('\n');
            }
        }
    }
    promises
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

fn documents() -> Vec<PathBuf> {
    let docs =
        fs::read_dir(root().join("docs")).expect("docs is a folder").filter_map(|it| Some(it.ok()?.path()));
    docs.filter(|it| it.extension().is_some_and(|it| it == "md")).chain([root().join("README.md")]).collect()
}

#[test]
fn every_conversation_in_the_documents_is_true() {
    let mut seen = 0;
    for document in documents() {
        for Promise { command, answer } in promises(&fs::read_to_string(&document).unwrap()) {
            let mut words = command.split_whitespace();
            assert_eq!(words.next(), Some("roster"), "{command}");
            let run =
                Command::new(env!("CARGO_BIN_EXE_roster")).args(words).current_dir(root()).output().unwrap();
            let told = if run.stdout.is_empty() { run.stderr } else { run.stdout };
            assert_eq!(String::from_utf8(told).unwrap(), answer, "{}: {command}", document.display());
            seen += 1;
        }
    }
    assert!(seen > 1, "the documents promise nothing");
}

#[test]
fn a_conversation_is_read_line_by_line() {
    let text = "x\n```console\n$ roster plan\none\ntwo\n$ roster check\n```\n$ roster no\n";
    let promise = |command: &str, answer: &str| Promise { command: command.into(), answer: answer.into() };
    assert_eq!(promises(text), [promise("roster plan", "one\ntwo\n"), promise("roster check", "")]);
}
