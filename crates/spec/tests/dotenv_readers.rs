//! What `spec::dotenv` writes, read by the programs that will read it: Docker Compose (as `env_file`, and as the
//! `.env` that it interpolates from), `sh`, and Node's `dotenv`.
//!
//! They come from `$ROSTER_TOOLS`, by default `.tools` in the workspace. Where they are missing, these tests say so and
//! pass, except when `CI=true`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use spec::dotenv::{Unencodable, encode, parse, write};
use spec::ids::EnvKey;
use spec::source::SourceText;

/// How many files are written and read; each takes every reader some 40 ms.
const BATCHES: usize = 10;
/// How many values each of them has.
const BATCH: usize = 200;

type Values = BTreeMap<String, String>;
/// What a reader makes of `.env` in a folder: the values of these keys, or what it complained about.
type Read = fn(&Tools, &Path, &[EnvKey]) -> Result<Values, String>;

const READERS: [(&str, Read); 4] = [
    ("sh", sh),
    ("Node's dotenv", Tools::node),
    ("Docker Compose (env_file)", Tools::compose_env_file),
    ("Docker Compose (interpolation)", Tools::compose_interpolation),
];

struct Tools {
    compose: PathBuf,
    dotenv: PathBuf,
}

impl Tools {
    /// The tools, or `None` after saying which one is missing.
    fn find() -> Option<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/spec");
        let root = workspace.join(env::var_os("ROSTER_TOOLS").unwrap_or_else(|| ".tools".into()));
        let tools = Self {
            compose: root.join("venv/bin/docker-compose"),
            dotenv: root.join("npm/node_modules/dotenv"),
        };
        let has_node = Command::new("node").arg("--version").output().is_ok_and(|it| it.status.success());
        let missing = [
            (tools.compose.exists(), tools.compose.display().to_string()),
            (tools.dotenv.exists(), tools.dotenv.display().to_string()),
            (has_node, "node".to_owned()),
        ];
        let Some((_, missing)) = missing.into_iter().find(|(found, _)| !found) else { return Some(tools) };
        let told = format!("not run: {missing} is missing; cargo xtask setup installs it");
        assert!(env::var("CI").as_deref() != Ok("true"), "{told}");
        // Not `eprintln!`, which the test harness keeps to itself when the test passes.
        writeln!(std::io::stderr(), "{told}").expect("stderr can be written to");
        None
    }

    fn node(&self, folder: &Path, keys: &[EnvKey]) -> Result<Values, String> {
        let script = "const read = require('fs').readFileSync('.env', 'utf8');
            process.stdout.write(JSON.stringify(require(process.argv[1]).parse(read)))";
        only(keys, &json_of(Command::new("node").args(["-e", script]).arg(&self.dotenv), folder)?)
    }

    fn compose_env_file(&self, folder: &Path, keys: &[EnvKey]) -> Result<Values, String> {
        self.compose(folder, keys, &json!({ "image": "x", "env_file": [".env"] }))
    }

    fn compose_interpolation(&self, folder: &Path, keys: &[EnvKey]) -> Result<Values, String> {
        let references: BTreeMap<&str, String> =
            keys.iter().map(|key| (key.as_str(), format!("${{{key}}}"))).collect();
        self.compose(folder, keys, &json!({ "image": "x", "environment": references }))
    }

    fn compose(&self, folder: &Path, keys: &[EnvKey], service: &Value) -> Result<Values, String> {
        let document = json!({ "name": "x", "services": { "x": service } });
        fs::write(folder.join("compose.yaml"), document.to_string()).expect("the folder can be written to");
        let config = json_of(Command::new(&self.compose).args(["config", "--format", "json"]), folder)?;
        // `config` prints a document that means the same, in which `$$` is one `$`.
        let values = only(keys, &config["services"]["x"]["environment"])?;
        Ok(values.into_iter().map(|(key, value)| (key, value.replace("$$", "$"))).collect())
    }
}

fn sh(_: &Tools, folder: &Path, keys: &[EnvKey]) -> Result<Values, String> {
    let dump = "process.stdout.write(JSON.stringify(process.env))";
    let script = r#"set -a; . ./.env; exec node -e "$0""#;
    only(keys, &json_of(Command::new("sh").args(["-c", script, dump]), folder)?)
}

/// What a command prints as JSON when it runs in `folder` with nothing in its environment but `PATH`.
fn json_of(command: &mut Command, folder: &Path) -> Result<Value, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let output = command.current_dir(folder).env_clear().env("PATH", path).env("HOME", folder).output();
    let output = output.map_err(|it| it.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|it| it.to_string())
}

fn only(keys: &[EnvKey], values: &Value) -> Result<Values, String> {
    let value = |key: &EnvKey| {
        let value = values[key.as_str()].as_str().ok_or_else(|| format!("{key} is missing"))?;
        Ok((key.to_string(), value.to_owned()))
    };
    keys.iter().map(value).collect()
}

fn keys(count: usize) -> Vec<EnvKey> {
    (0..count).map(|it| format!("K{it}").parse().expect("a key")).collect()
}

/// Values like those that people have, and values in which the characters that some reader treats apart are common.
fn value() -> impl Strategy<Value = String> {
    let special =
        prop::sample::select(r#"#;='"$\ `!:{}()&~*"#.chars().chain(['\n', '\r', '\t']).collect::<Vec<_>>());
    let foreign =
        prop::sample::select(vec!['é', '漢', '😀', '\u{85}', '\u{a0}', '\u{2028}', '\u{feff}', 'ſ', '\u{1}']);
    let character = prop_oneof![
        6 => special,
        1 => foreign,
        4 => prop::char::range('!', '~'),
        1 => any::<char>(),
    ];
    let piece = prop::sample::select(vec![
        "it's",
        "{\"a\": \"b\"}",
        "$HOME",
        "${A:-b}",
        "$(id)",
        "$5",
        "$ſ",
        " # c",
        "C:\\dir\\",
        "\\\\",
        "\\n",
        "\\d",
        "\n",
        "export ",
        "K1=x",
        "postgres://u:p@h/d?x=1&y",
        "-----BEGIN KEY-----",
        "caf\u{e9}",
        "'",
        "\"",
        " ",
        "$",
    ]);
    prop_oneof![
        prop::collection::vec(character, 0..20).prop_map(String::from_iter),
        prop::collection::vec(piece, 1..5).prop_map(|it| it.concat()),
    ]
}

#[test]
fn every_reader_gives_back_the_bytes_that_were_written() {
    let Some(tools) = Tools::find() else { return };
    let mut runner = TestRunner::deterministic();
    let (mut forms, mut refused) = (BTreeMap::<&str, usize>::new(), BTreeMap::<String, usize>::new());
    for batch in 0..BATCHES {
        let mut values = Vec::new();
        while values.len() < BATCH {
            let value = value().new_tree(&mut runner).expect("a value").current();
            match encode(&value) {
                Ok(text) => *forms.entry(form(&text)).or_default() += 1,
                Err(fault) => {
                    *refused.entry(fault.to_string()).or_default() += 1;
                    continue;
                }
            }
            values.push(value);
        }
        let keys = keys(BATCH);
        let file =
            write(keys.iter().zip(values.iter().map(String::as_str))).expect("only what can be written");
        let ours = parse(&SourceText::guarded(".env", &*file)).expect("our own reader reads it");
        assert!(ours.iter().map(|it| &it.value).eq(&values), "our own reader, batch {batch}");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(".env"), file).expect("the folder can be written to");
        for (name, read) in READERS {
            let read = read(&tools, folder.path(), &keys)
                .unwrap_or_else(|it| panic!("{name} cannot read batch {batch}: {it}"));
            for (key, value) in keys.iter().zip(&values) {
                assert_eq!(&read[key.as_str()], value, "{name}, batch {batch}, {key}");
            }
        }
    }
    // The generator is worth its name only if it reaches every form and every refusal.
    println!("written: {forms:#?}\nrefused: {refused:#?}");
    assert_eq!(forms.keys().copied().collect::<Vec<_>>(), ["double", "plain", "single", "single, guarded"]);
    assert!(forms.values().all(|count| *count >= 20), "{forms:?}");
    assert_eq!(refused.len(), 7, "{refused:?}");
}

/// Which form a written value has.
fn form(text: &str) -> &'static str {
    match (text.chars().next(), text.chars().next_back()) {
        (Some('\''), Some('\'')) => "single",
        (Some('\''), _) => "single, guarded",
        (Some('"'), _) => "double",
        _ => "plain",
    }
}

#[test]
fn a_refused_value_has_no_form_that_all_readers_share() {
    let Some(tools) = Tools::find() else { return };
    let values = [
        r#"{"a": "it's"}"#,
        "it's `id`",
        "it's $A",
        "it's ${A}",
        r"it's \n",
        r"it's \\d",
        r"it's \",
        r"C:\dir\",
    ];
    let keys = keys(1);
    let mut clashes = BTreeSet::new();
    for value in values {
        let Err(Unencodable::NoCommonQuoting { clash }) = encode(value) else {
            panic!("{value} is not refused")
        };
        clashes.insert(clash.to_string());
        for text in [value.to_owned(), format!("'{value}'"), format!("\"{value}\""), format!("`{value}`")] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join(".env"), format!("K0={text}\n"))
                .expect("the folder can be written to");
            let agree = READERS
                .iter()
                .all(|(_, read)| read(&tools, folder.path(), &keys).is_ok_and(|read| read["K0"] == *value));
            assert!(!agree, "every reader takes {text} for {value}");
        }
    }
    assert_eq!(clashes.len(), 5, "{clashes:?}");
}
