//! `roster import`: profiles and secrets files from the files of the PM2 and Node system, and a report of what could not be
//! carried over. What becomes of what is decided in `importer`; here are files, arguments and printing.

mod files;
mod write;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use importer::{Import, ImportDocument, ImportFault, Offer, Published, Wishes};
use planner::cli::EXIT_CODES;
use planner::inventory::GpuFlag;
use planner::{Layout, Redactor, Told};
use spec::ids::{ProfileName, ServiceName};
use spec::notes::{Exit, Finding, Located};
use spec::source::SourceText;

use crate::say::Common;

/// The most findings that are shown: a file of another kind has one a line.
const MOST_FINDINGS: usize = 200;

/// What is imported.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// The env files of one machine, public and secret
    #[command(after_help = EXIT_CODES)]
    Env {
        /// `.env.gpu-box`, `.env.secret.gpu-box`; `-` is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        how: How,
    },
    /// A PM2 ecosystem: `ecosystem.config.js`, JSON, YAML, or what `pm2 jlist` prints
    #[command(after_help = EXIT_CODES)]
    Ecosystem {
        /// The file; `-` is standard input
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// A compose file: a profile for each service that has a roster
    #[command(after_help = EXIT_CODES)]
    Compose {
        /// The file; env files and secrets that it names are read beside it
        file: PathBuf,
        /// Import this machine of the file, and none of the others
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        #[command(flatten)]
        how: How,
    },
}

/// How it is imported.
#[derive(Clone, Debug, Args)]
pub(crate) struct How {
    /// The profile's name; left out, what the files call it
    #[arg(long)]
    name: Option<ProfileName>,
    /// The roster, instead of the one in the files
    #[arg(long, value_name = "ROSTER")]
    spec: Option<String>,
    /// The GPUs for the profile's `hardware`: `2` or `2x48GiB`; left out, the plan looks at its machine
    #[arg(long, value_name = "N")]
    gpus: Option<GpuFlag>,
    /// Write the proposal below this folder; left out, it is shown
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files that are there and say something else
    #[arg(long, requires = "out")]
    force: bool,
    /// Go on without what is left to decide
    #[arg(long)]
    allow_gaps: bool,
    /// The project whose mapping it is for; left out, the nearest folder at or above this one with
    /// `config/service-mapping.json`
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Does what was typed.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let (Verb::Env { how, .. } | Verb::Ecosystem { how, .. } | Verb::Compose { how, .. }) = verb;
    let told = match imported(verb, how) {
        Ok(import) => tell(&import, how),
        Err(mut findings) => {
            let more = findings.len().saturating_sub(MOST_FINDINGS);
            findings.truncate(MOST_FINDINGS);
            let mut talk =
                if more > 0 { format!("{more} more like these are not shown.\n") } else { String::new() };
            talk += "Nothing was written.\n";
            Told { talk, ..Told::failed(findings, Redactor::default()) }
        }
    };
    how.common.say(told)
}

fn imported(verb: &Verb, how: &How) -> Result<Import, Vec<Finding>> {
    let wishes = Wishes {
        name: how.name.clone(),
        roster: how.spec.as_ref().map(|it| SourceText::open("--spec", it.as_str())),
        service: match verb {
            Verb::Compose { service, .. } => service.clone(),
            Verb::Env { .. } | Verb::Ecosystem { .. } => None,
        },
        gpus: how.gpus.map(|it| it.gpus().iter().map(|gpu| gpu.vram_mib).collect()),
    };
    let sources: Result<Vec<SourceText>, Vec<Finding>> = match verb {
        Verb::Env { files, .. } => files::all(files),
        Verb::Ecosystem { file, .. } if files::is_program(file) => files::evaluated(file).map(|it| vec![it]),
        Verb::Ecosystem { file, .. } | Verb::Compose { file, .. } => files::all(std::slice::from_ref(file)),
    };
    let (sources, offer) = match (sources, offer(how)) {
        (Ok(sources), Ok(offer)) => (sources, offer),
        (sources, offer) => {
            return Err([sources.err(), offer.err()].into_iter().flatten().flatten().collect());
        }
    };
    match verb {
        Verb::Env { .. } => importer::env(&sources, &wishes, &offer),
        Verb::Ecosystem { .. } => importer::ecosystem(&sources[0], &wishes, &offer),
        Verb::Compose { file, .. } => {
            let beside = files::Beside::of(file);
            let import = importer::compose(&sources[0], &beside, &wishes, &offer);
            match (import, beside.faults()) {
                (Ok(import), faults) if faults.is_empty() => Ok(import),
                (import, faults) => {
                    Err(faults.into_iter().chain(import.err().into_iter().flatten()).collect())
                }
            }
        }
    }
}

/// What the project offers.
fn offer(how: &How) -> Result<Offer, Vec<Finding>> {
    let one = |fault| vec![Finding::error(Located::nowhere(fault))];
    let start = how.root.clone().unwrap_or_else(|| ".".into());
    let layout = Layout::find(&std::path::absolute(&start).unwrap_or(start)).map_err(one)?;
    let catalog = mapping::load(&layout.mapping().map_err(one)?);
    // A profile takes the interface of the machine, unless it says otherwise.
    let name: ServiceName = "machine".parse().expect("a service's name");
    let interface = layout.interface(&name).map_err(one);
    let interface = interface.and_then(|source| env_builder::interface::read(name, &source));
    let (catalog, interface) = match (catalog, interface) {
        (Ok(catalog), Ok(interface)) => (catalog, interface),
        (catalog, interface) => {
            return Err([catalog.err(), interface.err()].into_iter().flatten().flatten().collect());
        }
    };
    let published = interface
        .takes
        .into_iter()
        .map(|it| (it.app, Published { pool: it.pool, secret: it.secret, required: it.required }));
    Ok(Offer::of(&catalog, published.collect::<BTreeMap<_, _>>()))
}

/// Writes or shows an import.
fn tell(import: &Import, how: &How) -> Told<ImportDocument> {
    let mut redactor = Redactor::default();
    let secrets = import.machines.iter().flat_map(|it| &it.secrets);
    secrets.for_each(|it| redactor.learn(it.expose()));
    let (mut findings, mut written) = (Vec::new(), None);
    if import.open() > 0 {
        let open = Located::nowhere(ImportFault::Open { count: import.open() });
        findings.push(if how.allow_gaps { Finding::advice(open) } else { Finding::error(open) });
    }
    if let Some(folder) = how.out.as_deref().filter(|_| import.open() == 0 || how.allow_gaps) {
        match write::all(folder, import, how.force) {
            Ok(()) => written = Some(folder.display().to_string()),
            Err(faults) => findings.extend(faults),
        }
    }
    let mut out = String::new();
    if how.out.is_none() {
        import.machines.iter().flat_map(|it| &it.files).for_each(|it| show(&mut out, it));
    }
    out += &importer::render(&import.items);
    let talk = next(import, how, written.as_deref().map(Path::new));
    let result = Some(ImportDocument::of(import, written));
    Told { result, out, talk, exit: Exit::Ok, findings, redactor }
}

/// A file that would be new, as a difference.
fn show(out: &mut String, file: &importer::File) {
    let private = if file.private { " (mode 0600)" } else { "" };
    let _ = writeln!(out, "+++ {}{private}", file.path);
    out.extend(file.shown.lines().map(|it| format!("+{it}\n")));
    out.push('\n');
}

/// What was written, and what to type next.
fn next(import: &Import, how: &How, written: Option<&Path>) -> String {
    let mut talk = String::new();
    let Some(folder) = written else {
        let more = "; `--out DIR` writes it below DIR, the project's folder most often";
        let _ = writeln!(talk, "Nothing was written{}.", if how.out.is_none() { more } else { "" });
        return talk;
    };
    for it in import.machines.iter().flat_map(|it| &it.files) {
        let _ = writeln!(talk, "wrote {}", folder.join(&it.path).display());
    }
    for it in &import.machines {
        if !it.missing.is_empty() {
            let names: Vec<_> = it.missing.iter().map(ToString::to_string).collect();
            let file = format!("config/environments/secrets/{}.env", it.profile);
            let _ = writeln!(talk, "`{}` needs {} too: say it in `{file}`", it.profile, names.join(", "));
        }
        let gpus = it.gpus.filter(|_| it.looks).map(|it| format!(" --gpus {it}")).unwrap_or_default();
        let _ = writeln!(talk, "next: roster plan --profile {}{gpus}", it.profile);
    }
    talk
}
