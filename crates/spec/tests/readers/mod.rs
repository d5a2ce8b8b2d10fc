//! What reads our `.env` files: Docker Compose (as `env_file`, and as the `.env` that it interpolates from), `sh`, and
//! Node's `dotenv`. They come from `$ROSTER_TOOLS`, by default `.tools` in the workspace; where they are missing, tests
//! say so and pass, except when `CI=true`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use spec::ids::EnvKey;

/// Variables and their values.
pub(crate) type Values = BTreeMap<String, String>;
/// What a reader makes of `.env` in a folder: the values of these keys, or what it complained about.
pub(crate) type Read = fn(&Tools, &Path, &[EnvKey]) -> Result<Values, String>;

/// Every reader, by its name.
pub(crate) const READERS: [(&str, Read); 4] = [
    ("sh", sh),
    ("Node's dotenv", Tools::node),
    ("Docker Compose (env_file)", Tools::compose_env_file),
    ("Docker Compose (interpolation)", Tools::compose_interpolation),
];

/// The programs, found.
pub(crate) struct Tools {
    compose: PathBuf,
    dotenv: PathBuf,
}

impl Tools {
    /// The tools, or `None` after saying which one is missing.
    pub(crate) fn find() -> Option<Self> {
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
