//! Workspaces, repositories and orders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use installer::{Event, InstallFault, Installer, Limits, Patience, Report, Witness};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spec::env::EnvSource;
use spec::ids::EnvKey;
use spec::model::InstallOrder;
use spec::notes::Finding;

/// A workspace, and a folder beside it for what is elsewhere.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) environment: BTreeMap<EnvKey, String>,
    pub(crate) install: Value,
    pub(crate) variables: Vec<&'static str>,
    pub(crate) limits: Limits,
}

/// Watches, and remembers.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) std::sync::Mutex<Vec<String>>);

impl Witness for Seen {
    fn see(&self, event: Event<'_>) {
        let line = match event {
            Event::Done(step) => format!("done {step}"),
            Event::Failed(step, fault) => format!("failed {step}: {fault}"),
            Event::Begun(_) | Event::Bytes(..) => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Place {
    /// With a program `core` in a repository, whose probe is that its `main.py` is there.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let core = repository(&folder.path().join("elsewhere/core"), &[("main.py", "print('main')\n")]);
        let install = json!({
            "source": { "git": { "url": core } },
            "nodes": { "file": "nodes.json", "folder": "custom_nodes" },
            "models": { "file": "models.json", "folder": "${WORKSPACE}/models" },
            "probe": ["test", "-f", "main.py"],
        });
        let patience =
            Patience { stall: Duration::from_millis(400), pause: Duration::from_millis(1), tries: 3 };
        let limits = Limits { reserve: 0, patience, ..Limits::default() };
        Self { folder, environment: BTreeMap::new(), install, variables: Vec::new(), limits }
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn elsewhere(&self, name: &str) -> PathBuf {
        self.folder.path().join("elsewhere").join(name)
    }

    /// The home of the install.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.workspace().join("installs/comfyui").join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.workspace().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn nodes(&self, nodes: &Value) {
        self.write("nodes.json", &json!({ "custom_nodes": nodes }).to_string());
    }

    pub(crate) fn models(&self, models: &Value) {
        self.write("models.json", &json!({ "models": models }).to_string());
    }

    /// A repository of a node.
    pub(crate) fn node(&self, name: &str, files: &[(&str, &str)]) -> Value {
        let url = repository(&self.elsewhere(name), files);
        json!({ "name": name, "url": url })
    }

    pub(crate) fn order(&self) -> InstallOrder {
        serde_json::from_value(json!({
            "service": "comfyui",
            "workspace": self.workspace(),
            "install": self.install,
            "variables": self.variables,
        }))
        .unwrap()
    }

    pub(crate) fn open(&self) -> Result<Installer, Vec<Finding>> {
        let environment: &dyn EnvSource = &self.environment;
        Installer::open(&self.order(), environment, passed(), self.limits)
    }

    pub(crate) fn installer(&self) -> Installer {
        self.open().unwrap_or_else(|findings| panic!("{}", told(&findings)))
    }

    /// Installs; everything that happened is in the second.
    pub(crate) fn apply(&self) -> (Report, Vec<String>) {
        let seen = Seen::default();
        let report = block_on(self.installer().apply(&seen)).unwrap();
        (report, seen.0.into_inner().unwrap())
    }

    /// Installs, and nothing may fail.
    pub(crate) fn applied(&self) -> Report {
        let (report, _) = self.apply();
        assert!(report.failures.is_empty(), "{:#?}", report.failures);
        report
    }

    /// What is wrong, a line each.
    pub(crate) fn refused(&self) -> String {
        match self.open() {
            Ok(_) => "nothing is wrong".into(),
            Err(findings) => told(&findings),
        }
    }

    pub(crate) fn status(&self) -> installer::status::Status {
        installer::status::read(&self.workspace(), &"comfyui".parse().unwrap()).unwrap().unwrap()
    }
}

/// A finding a line: code, place, message, fix.
pub(crate) fn told(findings: &[Finding]) -> String {
    let line = |it: &Finding| {
        let place = it.place.as_ref().map(|it| {
            let (line, column) = it.line_column();
            format!("{line}:{column} ")
        });
        format!("{} {}{} [{}]\n", it.code.id, place.unwrap_or_default(), it.message, it.fix)
    };
    findings.iter().map(line).collect()
}

/// The faults of a report, a line each.
pub(crate) fn failures(report: &Report) -> Vec<String> {
    report.failures.iter().map(|it| format!("{}: {}", it.step, it.fault)).collect()
}

pub(crate) fn passed() -> BTreeMap<String, String> {
    std::env::vars().filter(|(key, _)| installer::programs::is_passed(key)).collect()
}

pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, InstallFault>>) -> Result<T, InstallFault> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A repository with one commit of these files, and its address.
pub(crate) fn repository(path: &Path, files: &[(&str, &str)]) -> String {
    fs::create_dir_all(path).unwrap();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    commit(path, files);
    format!("file://{}", path.display())
}

/// One more commit, and its name.
pub(crate) fn commit(path: &Path, files: &[(&str, &str)]) -> String {
    for (name, text) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    git(path, &["add", "--all"]);
    git(
        path,
        &["-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--allow-empty", "-m", "it"],
    );
    git(path, &["rev-parse", "HEAD"]).trim().to_owned()
}

pub(crate) fn git(path: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    // A hook of git's has these, and they mean the repository that it is a hook of.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.arg("-C").arg(path).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// So many bytes that look like nothing.
pub(crate) fn bytes(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[5]
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub(crate) fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, it| text + &format!("{it:02x}"))
}

/// A model of these bytes.
pub(crate) fn model(name: &str, url: &str, bytes: &[u8]) -> Value {
    json!({ "name": name, "folder": "checkpoints", "urls": [url], "sha256": sum(bytes), "size": bytes.len() })
}

/// A wheel of a package that holds nothing but its version, in a folder; made by Python's own `zipfile`.
pub(crate) fn wheel(folder: &Path, name: &str, version: &str) {
    fs::create_dir_all(folder).unwrap();
    let script = "
import sys, zipfile
folder, name, version = sys.argv[1:]
info = f'{name}-{version}.dist-info'
files = {
    f'{name}.py': f'version = {version!r}\\n',
    f'{info}/METADATA': f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n',
    f'{info}/WHEEL': 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
}
files[f'{info}/RECORD'] = ''.join(f'{it},,\\n' for it in [*files, f'{info}/RECORD'])
with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as out:
    for path, text in files.items():
        out.writestr(zipfile.ZipInfo(path), text)
";
    let made =
        Command::new("python3").args(["-c", script]).arg(folder).args([name, version]).status().unwrap();
    assert!(made.success());
}
