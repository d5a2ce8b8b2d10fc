//! A project in a temporary folder, and the verbs run in it within this process, in a world that is always the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use planner::cli::Verb;
use planner::inventory::{Gpus, Host};
use planner::{Answer, World};
use serde_json::{Value, json};
use spec::ids::EnvKey;
use spec::model::Gpu;
use tempfile::TempDir;

/// What every fake secret holds, and so no public byte may.
pub const CANARY: &str = "canary-";

/// A `config/` and what is built of it.
pub struct Project {
    folder: TempDir,
    /// The environment of the process.
    pub environment: BTreeMap<EnvKey, String>,
}

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// Two cards of 24 GiB.
struct Cards;

impl Gpus for Cards {
    fn list(&self) -> Result<Vec<Gpu>, String> {
        let card = |index| Gpu {
            index,
            uuid: Some(format!("GPU-seen-{index}")),
            model: None,
            vram_mib: 24_576.try_into().unwrap(),
            slices: Vec::new(),
        };
        Ok((0..2).map(card).collect())
    }
}

impl Project {
    /// The shipped `config/`, and a value for every variable that it can ask for.
    pub fn shipped() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&repository().join("config"), &folder.path().join("config"));
        let mut it = Self { folder, environment: BTreeMap::new() };
        it.write("docker/Dockerfile", "");
        // Machines of other tests and of whoever works on the repository.
        let _ = fs::remove_file(it.root().join("config/compose-profiles.json"));
        it.environment = it.asked_for();
        it
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A JSON document of the project.
    pub fn json(&self, path: &str) -> Value {
        json_of(&self.root().join(path))
    }

    /// The service mapping.
    pub fn mapping(&self) -> Value {
        self.json("config/service-mapping.json")
    }

    /// The names of the profiles.
    pub fn profiles(&self) -> Vec<String> {
        let folder = self.root().join("config/environments/profiles");
        let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
        let mut names: Vec<String> =
            entries.map(|it| it.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Adds the profiles `open-local`, `open-remote`, `closed-local` and `closed-remote`, which have what every worker
    /// needs: Redis here or elsewhere, ports published or not.
    pub fn add_profiles_for_all(&self) {
        for redis in ["local", "remote"] {
            for (word, publish) in [("open", true), ("closed", false)] {
                let profile = json!({
                    "description": "Whatever a roster needs",
                    "components": {
                        "machine": ["default", "prod"], "api": "remote", "redis": redis, "storage": "s3",
                        "comfyui": ["local", "remote"], "a1111": "default", "playwright": "default",
                        "openai": ["default", "local"], "replicate": "default", "runpod": "default",
                        "ollama": "default", "simulation": "default",
                    },
                    "docker": { "publish": publish },
                });
                self.write(
                    &format!("config/environments/profiles/{word}-{redis}.json"),
                    &profile.to_string(),
                );
            }
        }
    }

    /// Runs a verb.
    pub fn run(&self, args: &[&str]) -> Answer {
        let read = Cli::try_parse_from(["roster"].iter().chain(args));
        let world = World {
            environment: Box::new(self.environment.clone()),
            gpus: Box::new(Cards),
            host: Host { cpu_cores: 16.try_into().unwrap(), memory_mib: 65_536.try_into().unwrap() },
            directory: self.root().to_owned(),
            program: "roster",
            codes: &[],
        };
        planner::run(read.unwrap_or_else(|it| panic!("{it}")).verb, &world, &Cli::command)
    }

    /// Every variable that the mapping, an interface or a `${NAME:?…}` of a component asks for, with a value. Secrets
    /// hold a canary, and all of them what people write that readers trip over.
    fn asked_for(&self) -> BTreeMap<EnvKey, String> {
        let (mut public, mut secret): (Vec<String>, Vec<String>) = Default::default();
        let mapping = self.mapping();
        for entry in fields(&mapping["workers"]).chain(fields(&mapping["services"])) {
            public.extend(texts(&entry.1["required_env"]));
            public.extend(texts(&entry.1["optional_env"]));
            secret.extend(texts(&entry.1["secret_env"]));
        }
        let interface = self.json("config/environments/services/machine.json");
        for part in ["secret", "optional_secret"] {
            secret.extend(fields(&interface[part]).map(|it| it.1.as_str().unwrap().to_owned()));
        }
        for file in fs::read_dir(self.root().join("config/environments/components")).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let asked = text.split("${").skip(1).filter_map(|it| it.split_once(":?"));
            public.extend(asked.map(|it| it.0.to_owned()));
        }
        let value = |name: &str| match name {
            _ if secret.iter().any(|it| it == name) => format!(r#"{CANARY}{name} #;= "$x" \d"#),
            _ if name.ends_with("REDIS_URL") => format!("rediss://u:{CANARY}{name}@redis.example:6379/0"),
            _ if name.ends_with("_URL") => format!("https://{}.example/a?b=c&d=$e", name.to_lowercase()),
            _ => format!(r#"{name} #;= "$x" \d é"#),
        };
        public.iter().chain(&secret).map(|it| (it.parse().unwrap(), value(it))).collect()
    }
}

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A JSON document.
pub fn json_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|it| panic!("{}: {it}", path.display()))
}

/// The fields of an object; none of anything else.
pub fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The items of a list; none of anything else.
pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The texts of a list.
pub fn texts(value: &Value) -> impl Iterator<Item = String> {
    items(value).filter_map(|it| it.as_str().map(str::to_owned))
}
