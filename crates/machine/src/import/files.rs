//! The files of an import: read whole, within a measure, as text.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use importer::{Files, ImportFault, MAX_BYTES};
use planner::LayoutError;
use spec::notes::{Finding, Located};
use spec::source::SourceText;

/// Stands for standard input.
const STDIN: &str = "-";
/// Loads a program as PM2 would, and writes what it comes to after a NUL: what it prints itself stays before it.
const EVALUATE: &str = "import(require('node:url').pathToFileURL(process.argv[1])).then(it => \
    require('node:fs').writeSync(1, '\\0' + JSON.stringify(it.default ?? it)))";

/// All of these files, or every reason why one cannot be read.
pub(super) fn all(paths: &[PathBuf]) -> Result<Vec<SourceText>, Vec<Finding>> {
    let (mut sources, mut findings) = (Vec::new(), Vec::new());
    for path in paths {
        match one(path) {
            Ok(source) => sources.push(source),
            Err(finding) => findings.push(*finding),
        }
    }
    if findings.is_empty() { Ok(sources) } else { Err(findings) }
}

fn one(path: &Path) -> Result<SourceText, Box<Finding>> {
    if path.as_os_str() == STDIN {
        return text("standard input", io::stdin().lock());
    }
    let name = path.display().to_string();
    let unreadable = |source| LayoutError::Unreadable { path: name.clone(), source };
    let file =
        File::open(path).map_err(|error| Box::new(Finding::error(Located::nowhere(unreadable(error)))))?;
    text(&name, file)
}

/// What a reader gives, if it is text and no more than an import reads. It may hold secrets.
fn text(name: &str, reader: impl Read) -> Result<SourceText, Box<Finding>> {
    let mut text = String::new();
    let place = || SourceText::guarded(name, "").whole();
    if let Err(source) = reader.take(MAX_BYTES + 1).read_to_string(&mut text) {
        let error = LayoutError::Unreadable { path: name.to_owned(), source };
        return Err(Box::new(Finding::error(Located::nowhere(error))));
    }
    if text.len() as u64 > MAX_BYTES {
        return Err(Box::new(Finding::error(Located::at(place(), ImportFault::TooLarge))));
    }
    Ok(SourceText::guarded(name, text))
}

/// Whether only Node knows what a file comes to.
pub(super) fn is_program(path: &Path) -> bool {
    path.extension().is_some_and(|it| ["js", "cjs", "mjs"].iter().any(|program| it == *program))
}

/// What a program comes to, as JSON.
pub(super) fn evaluated(path: &Path) -> Result<SourceText, Vec<Finding>> {
    let name = path.display().to_string();
    let failed = |told: String| {
        let place = SourceText::guarded(name.as_str(), "").whole();
        vec![Finding::error(Located::at(place, ImportFault::Node { told }))]
    };
    // It has to be there to be evaluated; Node would say so in many lines.
    one(path).map_err(|it| vec![*it])?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut node = Command::new("node");
    node.args(["--no-warnings", "--eval", EVALUATE, "--"]).arg(path).stdin(Stdio::null());
    let output = match node.output() {
        Ok(output) => output,
        Err(error) => {
            return Err(failed(format!(
                "`node` cannot be started, and only it knows what this says: {error}"
            )));
        }
    };
    if !output.status.success() {
        // Node tells the place first, the reason somewhere below, and its own version at the end.
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().find(|it| it.contains("Error")).unwrap_or("it says nothing").trim();
        return Err(failed(format!("Node cannot evaluate it: {reason}")));
    }
    let written = output.stdout.rsplit(|it| *it == 0).next().unwrap_or_default();
    text(&name, written).map_err(|it| vec![*it])
}

/// What is beside a compose file.
pub(super) struct Beside {
    folder: PathBuf,
    faults: RefCell<Vec<Finding>>,
}

impl Beside {
    pub(super) fn of(file: &Path) -> Self {
        Self { folder: file.parent().map(Path::to_owned).unwrap_or_default(), faults: RefCell::default() }
    }

    /// Why files that are there could not be read.
    pub(super) fn faults(self) -> Vec<Finding> {
        self.faults.into_inner()
    }
}

impl Files for Beside {
    fn read(&self, path: &str) -> Option<SourceText> {
        let path = self.folder.join(path);
        if !path.is_file() {
            return None;
        }
        one(&path).map_err(|it| self.faults.borrow_mut().push(*it)).ok()
    }
}
