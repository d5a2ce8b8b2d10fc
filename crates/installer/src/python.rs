//! Python environments: by `uv` where it is, else by `python3 -m venv` and its `pip`. What came is written down with its
//! sums; what is written down is what comes the next time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::disk;
use crate::fault::InstallFault;
use crate::lock::Wheel;
use crate::names::Sha256;
use crate::programs::{Call, Programs};

/// For an environment to be made.
const MAKE: Duration = Duration::from_mins(5);
/// For requirements to be installed: torch alone is gigabytes.
const INSTALL: Duration = Duration::from_hours(1);
/// The options of a requirements file that say where packages come from; a list of pins needs them too.
const PLACES: &[&str] = &[
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--pre",
    "--trusted-host",
    "--no-index",
];

/// The environment of a build.
pub(crate) struct Environment<'a> {
    pub(crate) programs: &'a Programs,
    /// Where it is, or will be.
    pub(crate) folder: PathBuf,
}

/// What a part requires.
pub(crate) struct Needs<'a> {
    /// Where its files are, and paths in them are relative to.
    pub(crate) folder: &'a Path,
    /// Files of requirements.
    pub(crate) files: Vec<PathBuf>,
    /// Further lines.
    pub(crate) lines: &'a [String],
    /// What came the last time.
    pub(crate) locked: Option<&'a [Wheel]>,
    /// Where lists and reports are put.
    pub(crate) notes: PathBuf,
}

impl Environment<'_> {
    /// The interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Makes it anew.
    pub(crate) async fn make(&self) -> Result<(), InstallFault> {
        disk::remove(&self.folder)?;
        let folder = self.folder.display().to_string();
        let (program, words): (&str, &[&str]) = match self.programs.find("uv") {
            Some(_) => ("uv", &["venv", "--quiet", "--seed", "--"]),
            None => ("python3", &["-m", "venv", "--"]),
        };
        let args = words.iter().map(|it| (*it).to_owned()).chain([folder]).collect();
        let call = Call { program, args, folder: Path::new("/"), env: Vec::new(), limit: MAKE };
        self.programs.run(call).await.map(drop)
    }

    /// Installs what a part requires, and gives what came.
    pub(crate) async fn install(&self, needs: &Needs<'_>) -> Result<Vec<Wheel>, InstallFault> {
        disk::make_folder(&needs.notes)?;
        if let Some(locked) = needs.locked {
            return self.install_locked(needs, locked).await;
        }
        let files = files(needs)?;
        if files.is_empty() {
            return Ok(Vec::new());
        }
        if self.programs.find("uv").is_some() {
            let pins = needs.notes.join("compiled.txt");
            let out = pins.display().to_string();
            let compile = ["pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"];
            let mut args = owned(&compile);
            args.extend([
                "--python".into(),
                self.python().display().to_string(),
                "--output-file".into(),
                out,
            ]);
            args.extend(files);
            self.call("uv", args, needs.folder).await?;
            let wheels = compiled(&disk::read(&pins)?.unwrap_or_default());
            return self.install_locked(needs, &wheels).await;
        }
        let report = needs.notes.join("report.json");
        let mut args = pip();
        args.extend(["--report".to_owned(), report.display().to_string()]);
        args.extend(files.into_iter().flat_map(|it| ["--requirement".to_owned(), it]));
        self.call(&self.python().display().to_string(), args, needs.folder).await?;
        Ok(reported(&disk::read(&report)?.unwrap_or_default()))
    }

    /// Exactly what is written down. What came from a folder or a repository has no sum; then versions have to do.
    async fn install_locked(&self, needs: &Needs<'_>, locked: &[Wheel]) -> Result<Vec<Wheel>, InstallFault> {
        if locked.is_empty() {
            return Ok(Vec::new());
        }
        let whole = locked.iter().all(|it| !it.sha256.is_empty());
        let mut lines = if whole { places(needs)? } else { Vec::new() };
        for it in locked {
            let line = format!("{}=={}", it.name, it.version);
            let sums = it.sha256.iter().filter(|_| whole);
            lines.push(sums.fold(line, |line, sum| line + " --hash=sha256:" + sum.as_str()));
        }
        let pins = needs.notes.join("locked.txt");
        disk::replace_file(&pins, (lines.join("\n") + "\n").as_bytes(), 0o644)?;
        let pins = pins.display().to_string();
        let uv = self.programs.find("uv").is_some();
        let mut args = if uv {
            let mut args = owned(&["pip", "install", "--quiet", "--python"]);
            args.push(self.python().display().to_string());
            args
        } else {
            pip()
        };
        if whole {
            args.extend(owned(&["--no-deps", "--require-hashes", "--requirement"]));
            args.push(pins);
        } else {
            args.extend(["--constraint".to_owned(), pins]);
            args.extend(files(needs)?.into_iter().flat_map(|it| ["--requirement".to_owned(), it]));
        }
        let program = if uv { "uv".to_owned() } else { self.python().display().to_string() };
        self.call(&program, args, needs.folder).await?;
        Ok(locked.to_vec())
    }

    async fn call(&self, program: &str, args: Vec<String>, folder: &Path) -> Result<(), InstallFault> {
        let call = Call { program, args, folder, env: Vec::new(), limit: INSTALL };
        self.programs.run(call).await.map(drop)
    }
}

/// The files that say what is required, one more for further lines.
fn files(needs: &Needs<'_>) -> Result<Vec<String>, InstallFault> {
    let mut files: Vec<String> = needs.files.iter().map(|it| it.display().to_string()).collect();
    let lines: Vec<&str> = needs.lines.iter().map(String::as_str).collect();
    if !lines.is_empty() {
        let path = needs.notes.join("further.txt");
        disk::replace_file(&path, (lines.join("\n") + "\n").as_bytes(), 0o644)?;
        files.push(path.display().to_string());
    }
    Ok(files)
}

fn places(needs: &Needs<'_>) -> Result<Vec<String>, InstallFault> {
    let mut found = Vec::new();
    for file in &needs.files {
        let text = disk::read(file)?.unwrap_or_default();
        let is_place = |line: &&str| {
            let word = line.split([' ', '=']).next().unwrap_or_default();
            PLACES.contains(&word)
        };
        found.extend(text.lines().map(str::trim).filter(is_place).map(str::to_owned));
    }
    Ok(found)
}

fn pip() -> Vec<String> {
    owned(&["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-color"])
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|it| (*it).to_owned()).collect()
}

/// What `pip install --report` says (`pip.pypa.io/en/stable/reference/installation-report`).
fn reported(text: &str) -> Vec<Wheel> {
    #[derive(Deserialize)]
    struct Report {
        #[serde(default)]
        install: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: Metadata,
        download_info: Download,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        version: String,
    }
    #[derive(Deserialize)]
    struct Download {
        archive_info: Option<Archive>,
    }
    #[derive(Deserialize)]
    struct Archive {
        #[serde(default)]
        hashes: BTreeMap<String, String>,
    }
    let Ok(report) = serde_json::from_str::<Report>(text) else { return Vec::new() };
    let wheel = |it: Item| {
        let sum = it.download_info.archive_info.and_then(|it| it.hashes.get("sha256")?.parse().ok());
        Wheel { name: it.metadata.name, version: it.metadata.version, sha256: sum.into_iter().collect() }
    };
    let mut wheels: Vec<Wheel> = report.install.into_iter().map(wheel).collect();
    wheels.sort();
    wheels
}

/// What `uv pip compile --generate-hashes` writes: `name==version \` and a `--hash=sha256:…` a line.
fn compiled(text: &str) -> Vec<Wheel> {
    let mut wheels: Vec<Wheel> = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_end_matches('\\').trim_end();
        if let Some(sum) = line.strip_prefix("--hash=sha256:").and_then(|it| it.parse::<Sha256>().ok()) {
            if let Some(wheel) = wheels.last_mut() {
                wheel.sha256.push(sum);
            }
        } else if let Some((name, version)) = line.split_once("==") {
            // A marker may follow: the pin is of this machine, for which it holds.
            let version = version.split([' ', ';']).next().unwrap_or_default();
            wheels.push(Wheel { name: name.to_owned(), version: version.to_owned(), sha256: Vec::new() });
        }
    }
    wheels.sort();
    wheels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reports_of_pip_and_uv_are_read() {
        let sum = "a".repeat(64);
        let pip = format!(
            r#"{{"version":"1","install":[
            {{"metadata":{{"name":"b","version":"2"}},"download_info":{{"url":"file:///b","dir_info":{{}}}}}},
            {{"metadata":{{"name":"a","version":"1"}},"download_info":{{"url":"https://h/a","archive_info":{{"hashes":{{"sha256":"{sum}"}}}}}}}}
            ]}}"#
        );
        let told = |wheels: Vec<Wheel>| -> Vec<String> {
            wheels.iter().map(|it| format!("{} {} {}", it.name, it.version, it.sha256.len())).collect()
        };
        assert_eq!(told(reported(&pip)), ["a 1 1", "b 2 0"]);
        assert_eq!(told(reported("no report")), [""; 0]);
        let uv = format!(
            "a==1 ; python_version > '3' \\\n    --hash=sha256:{sum} \\\n    --hash=sha256:{sum}\nb==2\n"
        );
        assert_eq!(told(compiled(&uv)), ["a 1 2", "b 2 0"]);
    }
}
