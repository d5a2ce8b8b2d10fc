//! Programs that nobody here wrote, and their verdict on compose files. Many files a call: most of a judge's time is
//! its start.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, thread};

use serde_json::Value;

/// The programs, found. `cargo xtask setup` installs them.
pub struct Judges {
    tools: PathBuf,
    schema: jsonschema::Validator,
}

const COMPOSE: &str = "venv/bin/docker-compose";
const COMPOSE_LINT: &str = "venv/bin/compose-lint";
const COMPOSE_HARDEN: &str = "venv/bin/compose-harden";
const DCLINT: &str = "npm/node_modules/.bin/dclint";
const PYTHON: &str = "venv/bin/python";

/// The name of every judged file within its folder.
const FILE: &str = "docker-compose.yaml";

impl Judges {
    /// The judges in `$ROSTER_TOOLS`, or in `.tools` of the workspace. Where one is absent `None`, said aloud; with
    /// `CI=true` that fails the test.
    pub fn find() -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = env::var_os("ROSTER_TOOLS").map_or_else(|| here.join("../../.tools"), PathBuf::from);
        for tool in [COMPOSE, COMPOSE_LINT, COMPOSE_HARDEN, DCLINT, PYTHON] {
            if !tools.join(tool).exists() {
                let tool = tool.rsplit('/').next().unwrap_or(tool);
                let told = format!("not run: {tool} is missing; cargo xtask setup installs it");
                assert!(env::var_os("CI").is_none_or(|it| it != "true"), "{told}");
                // Not `eprintln!`, which the test harness keeps to itself when the test passes.
                writeln!(std::io::stderr(), "{told}").expect("stderr can be written to");
                return None;
            }
        }
        let schema = fs::read_to_string(here.join("../compose-gen/tests/compose-spec.schema.json"))
            .expect("the schema is there");
        let schema = serde_json::from_str(&schema).expect("the schema is JSON");
        Some(Self { tools, schema: jsonschema::validator_for(&schema).expect("the schema is a schema") })
    }

    /// Every file, by a name for people, judged by all of them beside stand-ins for what it names. The answer is each file
    /// as Compose expands it, all profiles on, or every complaint of every judge.
    pub fn judge(&self, files: &[(String, String)]) -> Result<Vec<Value>, Vec<String>> {
        let world = tempfile::tempdir().expect("a temporary folder");
        let staged = files.iter().enumerate().map(|(number, (name, text))| {
            let folder = world.path().join(number.to_string());
            stage(&folder, text);
            (name.clone(), folder)
        });
        self.judge_folders(&staged.collect::<Vec<_>>())
    }

    /// The same of the compose file that lies in each folder, beside what lies there with it.
    pub fn judge_folders(&self, folders: &[(String, PathBuf)]) -> Result<Vec<Value>, Vec<String>> {
        let mut complaints = Vec::new();
        for (name, folder) in folders {
            let text = fs::read_to_string(folder.join(FILE)).expect("the file is there");
            complaints.extend(
                self.schema
                    .iter_errors(&read(&text))
                    .map(|it| format!("schema: {name}: {}: {it}", it.instance_path())),
            );
        }
        let paths: Vec<String> = folders.iter().map(|(_, it)| it.join(FILE).display().to_string()).collect();
        let expanded = thread::scope(|scope| {
            let lint = scope.spawn(|| self.lint(&paths));
            let expanded: Vec<_> = folders.iter().map(|(_, folder)| self.expand(folder)).collect();
            complaints.extend(lint.join().expect("the linters are run"));
            expanded
        });
        let mut values = Vec::new();
        for ((name, _), expanded) in folders.iter().zip(expanded) {
            match expanded {
                Ok(value) => values.push(value),
                Err(told) => complaints.push(format!("compose: {name}: {told}")),
            }
        }
        if complaints.is_empty() {
            return Ok(values);
        }
        // The linters know files by their path.
        complaints.extend(folders.iter().zip(&paths).map(|((name, _), path)| format!("({path} is {name})")));
        Err(complaints)
    }

    /// Compose's hash of each service. It changes when `docker compose up` would replace the container.
    pub fn hashes(&self, text: &str, folder: &Path) -> Vec<String> {
        stage(folder, text);
        let output = self.compose(folder, &["config", "--hash", "*"]);
        let mut lines: Vec<String> = output.expect("a hash of each").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn expand(&self, folder: &Path) -> Result<Value, String> {
        self.compose(folder, &["config", "-q"])?;
        let text = self.compose(folder, &["config", "--format", "json"])?;
        serde_json::from_str(&text).map_err(|it| it.to_string())
    }

    fn compose(&self, folder: &Path, verb: &[&str]) -> Result<String, String> {
        let mut command = self.command(COMPOSE, folder);
        answer(command.args(["--profile", "*", "-f", FILE]).args(verb).output())
    }

    /// The linters, who take many files at once.
    fn lint(&self, paths: &[String]) -> Vec<String> {
        let home = tempfile::tempdir().expect("a temporary folder");
        // compose-harden's own entry takes one file, so its command is called for each within one Python.
        let each = "import sys\nfrom compose_harden.cli import cli\nfor path in sys.argv[1:]:\n    \
                    try: cli.main(['scan', '--min-score', '100', path])\n    \
                    except SystemExit as it:\n        if it.code: sys.exit(it.code)\n";
        let verdicts = paths.chunks(200).flat_map(|paths| {
            let run = |name: &str, tool: &str, args: &[&str]| {
                let output = self.command(tool, home.path()).args(args).args(paths).output();
                answer(output).map_err(|it| format!("{name}: {it}"))
            };
            [
                run("compose-lint", COMPOSE_LINT, &["check", "--fail-on", "low", "--strict-config", "-q"]),
                run("dclint", DCLINT, &["--max-warnings", "0"]),
                run("compose-harden", PYTHON, &["-c", each]),
            ]
        });
        verdicts.filter_map(Result::err).collect()
    }

    fn command(&self, tool: &str, folder: &Path) -> Command {
        let mut command = Command::new(self.tools.join(tool));
        // Nothing of this process reaches them: no COMPOSE_FILE, no other language, no colours.
        let path = env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", folder).env("LC_ALL", "C").env("NO_COLOR", "1");
        command.current_dir(folder);
        command
    }
}

/// Puts a compose file into a folder, with a stand-in for every file that it names.
fn stage(folder: &Path, text: &str) {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder can be made");
        fs::write(path, text).expect("a stand-in can be written");
    };
    write(FILE, text);
    write("docker/Dockerfile", "");
    let read = read(text);
    let each = |key: &str| read[key].as_object().into_iter().flat_map(|it| it.values());
    for file in each("secrets").chain(each("configs")) {
        write(file["file"].as_str().expect("a path"), "stand-in");
    }
    for file in each("services").flat_map(|it| it["env_file"].as_array().into_iter().flatten()) {
        write(file.as_str().expect("a path"), "FROM_ENV_FILE='it is read'\n");
    }
}

/// What a compose file says, its merge keys merged.
fn read(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("the file is YAML")
}

/// What a program wrote, or its complaint.
fn answer(output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|it| format!("cannot be started: {it}"))?;
    let [told, more] = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    if output.status.success() { Ok(told) } else { Err(format!("{}\n{told}{more}", output.status)) }
}
