//! `setup`: the outside programs that judge what Roster writes, installed at pinned versions where that needs no rights.
//!
//! Python and npm programs go into `.tools` (or `ROSTER_TOOLS`), each group with the text of its pins beside it: equal text,
//! nothing to do. Programs of the operating system are installed with apt when we are root on Debian or Ubuntu; elsewhere
//! the error is the command to type. A Docker engine takes long and changes the machine: it is made on request only.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf, process::ExitCode};

use crate::{
    image,
    workspace::{cargo, command, output, read, root, run as start, tools, write},
};

mod table;

use table::{Origin, TOOLS, Tool};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install nothing; fail when something is missing or out of date
    #[arg(long)]
    check: bool,
    /// Also bring a Docker engine with a Debian image, for `e2e compose` and `image`: what is there is taken, else it is
    /// installed and started, which needs root on Debian or Ubuntu
    #[arg(long, conflicts_with = "check")]
    engine: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    ensure(args.check)?;
    if args.engine { image::prepare() } else { Ok(ExitCode::SUCCESS) }
}

/// Brings every tool of the table into place, or with `check` only says which are not.
pub(crate) fn ensure(check: bool) -> Result<(), String> {
    let stale: Vec<_> = Group::ALL.into_iter().filter(|group| !group.is_current()).collect();
    let probe = !stale.is_empty();
    let absent: Vec<_> = system_tools().filter(|(tool, system)| !tool.answers(*system, probe)).collect();
    if absent.is_empty() && stale.is_empty() {
        eprintln!("setup: nothing to do, all {} tools are in place ({})", TOOLS.len(), tools().display());
        return Ok(());
    }
    if check {
        let system = absent.iter().map(|(tool, _)| tool.name);
        let ours = stale.iter().flat_map(|group| group.tools()).map(|tool| tool.name);
        let names = system.chain(ours).collect::<Vec<_>>().join(", ");
        return Err(format!("missing or out of date: {names}; type `cargo xtask setup`"));
    }
    install_system(&absent)?;
    for group in stale {
        group.install()?;
    }
    eprintln!("setup: all {} tools are in place ({})", TOOLS.len(), tools().display());
    Ok(())
}

fn system_tools() -> impl Iterator<Item = (&'static Tool, System)> {
    TOOLS.iter().filter_map(|tool| match tool.origin {
        Origin::Rustup(component) => Some((tool, System::Component(component))),
        Origin::Apt(package) => Some((tool, System::Package(package))),
        Origin::Python | Origin::Wheel(_) | Origin::Npm => None,
    })
}

/// What the operating system or the Rust toolchain provides.
#[derive(Clone, Copy)]
enum System {
    Component(&'static str),
    Package(&'static str),
}

impl Tool {
    /// Whether the program is there. With `probe` it also has to do its probe, which matters to those who install with it.
    fn answers(&self, system: System, probe: bool) -> bool {
        match system {
            // rustup leaves a stand-in on the PATH for components that are not installed, so cargo is always asked.
            System::Component(_) => output(cargo([]).args(self.probe)).is_ok(),
            System::Package(_) if probe && !self.probe.is_empty() => {
                output(command(self.name).args(self.probe)).is_ok()
            }
            System::Package(_) => on_path(self.name),
        }
    }
}

/// Whether a program is on the PATH.
pub(crate) fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn install_system(absent: &[(&Tool, System)]) -> Result<(), String> {
    let mut packages = Vec::new();
    for (tool, system) in absent {
        match system {
            System::Component(component) => {
                return Err(format!("{} is missing; type `rustup component add {component}`", tool.name));
            }
            System::Package(package) => packages.push(*package),
        }
    }
    if packages.is_empty() {
        return Ok(());
    }
    let names = absent.iter().map(|(tool, _)| tool.name).collect::<Vec<_>>().join(", ");
    install_packages(&names, &packages)?;
    match absent.iter().find(|(tool, system)| !tool.answers(*system, true)) {
        Some((tool, _)) => {
            Err(format!("{} is still missing after apt-get install {}", tool.name, packages.join(" ")))
        }
        None => Ok(()),
    }
}

/// Installs packages of Debian or Ubuntu as root; elsewhere the error is what to type. `names` are the programs that are
/// missing.
pub(crate) fn install_packages(names: &str, packages: &[&str]) -> Result<(), String> {
    let typed = packages.join(" ");
    if !on_path("apt-get") {
        return Err(format!("{names} missing; install what Debian calls `{typed}`"));
    }
    if !output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0") {
        return Err(format!("{names} missing; type `sudo apt-get install -y {typed}`"));
    }
    eprintln!("setup: apt-get install {typed} (as root)");
    start(apt().args(["update", "--quiet=2"]))?;
    let quiet = ["install", "--quiet=2", "--option=Dpkg::Use-Pty=0", "--yes", "--no-install-recommends"];
    start(apt().args(quiet).args(packages))
}

/// apt, asking nothing and talking on stderr like everything here.
fn apt() -> std::process::Command {
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
    apt
}

/// Tools that are installed together, from one file of pins, into one folder of ours.
#[derive(Clone, Copy, PartialEq)]
enum Group {
    Python,
    Npm,
}

impl Group {
    const ALL: [Self; 2] = [Self::Python, Self::Npm];

    fn tools(self) -> impl Iterator<Item = &'static Tool> {
        TOOLS.iter().filter(move |tool| match tool.origin {
            Origin::Python => self == Self::Python,
            Origin::Npm => self == Self::Npm,
            Origin::Rustup(_) | Origin::Apt(_) | Origin::Wheel(_) => false,
        })
    }

    fn home(self) -> PathBuf {
        tools().join(match self {
            Self::Python => "venv",
            Self::Npm => "npm",
        })
    }

    fn executable(self, tool: &Tool) -> PathBuf {
        self.home()
            .join(match self {
                Self::Python => "bin",
                Self::Npm => "node_modules/.bin",
            })
            .join(tool.name)
    }

    /// The pins, and the folder as well: a virtual environment does not survive being moved.
    fn wanted(self) -> Result<String, String> {
        let pins = match self {
            Self::Python => "requirements.txt",
            Self::Npm => "package-lock.json",
        };
        Ok(format!("{}\n{}", self.home().display(), read(&root().join("xtask/tools").join(pins))?))
    }

    fn is_current(self) -> bool {
        let installed = fs::read_to_string(self.home().join("installed"));
        let same = matches!((installed, self.wanted()), (Ok(it), Ok(wanted)) if it == wanted);
        same && self.tools().all(|tool| self.executable(tool).is_file())
    }

    fn install(self) -> Result<(), String> {
        let names = self.tools().map(|tool| tool.name).collect::<Vec<_>>().join(", ");
        eprintln!("setup: installing into {}: {names}", self.home().display());
        let wanted = self.wanted()?;
        match self {
            Self::Python => self.install_python()?,
            Self::Npm => self.install_npm()?,
        }
        for tool in self.tools() {
            let executable = self.executable(tool);
            let version = match tool.probe {
                [] if executable.is_file() => String::new(),
                [] => {
                    return Err(format!(
                        "{} is not at {} after the install",
                        tool.name,
                        executable.display()
                    ));
                }
                probe => output(command(&executable).args(probe))?,
            };
            eprintln!("setup:   {}", version.lines().next().unwrap_or(tool.name));
        }
        // Last, so that an install that was cut short is done again.
        write(&self.home().join("installed"), &wanted)
    }

    fn install_python(self) -> Result<(), String> {
        let home = self.home();
        start(command("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "-r",
        ];
        let mut pip_install = command(home.join("bin/python"));
        start(
            pip_install.args(pip).arg(root().join("xtask/tools/requirements.txt")).stdout(std::io::stderr()),
        )?;
        self.link_wheels()
    }

    /// Puts what stands inside Python packages beside the programs of the others.
    fn link_wheels(self) -> Result<(), String> {
        let where_to = ["-c", "import sysconfig; print(sysconfig.get_path('platlib'))"];
        let packages = output(command(self.home().join("bin/python")).args(where_to))?;
        for tool in TOOLS {
            let Origin::Wheel(file) = tool.origin else { continue };
            let file = PathBuf::from(packages.trim()).join(file);
            if !file.is_file() {
                eprintln!("setup:   {}: its package has none for this machine", tool.name);
                continue;
            }
            let link = self.executable(tool);
            symlink(&file, &link).map_err(|error| format!("{}: {error}", link.display()))?;
            let version = output(command(&link).args(tool.probe))?;
            eprintln!("setup:   {}", version.lines().next().unwrap_or(tool.name));
        }
        Ok(())
    }

    fn install_npm(self) -> Result<(), String> {
        let home = self.home();
        for file in ["package.json", "package-lock.json"] {
            write(&home.join(file), &read(&root().join("xtask/tools").join(file))?)?;
        }
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        start(command("npm").args(npm).current_dir(home).stdout(std::io::stderr()))
    }
}
