//! The roster of a machine: from what its file starts, from the variables that say one, or from the command line.

use spec::grammar::{self, Count, Entry};
use spec::ids::{EnvKey, WorkerName};
use spec::notes::{Finding, Located, did_you_mean, errors};
use spec::source::{Place, SourceText};

use crate::codes;
use crate::draft::{Draft, Said, Worker};
use crate::fault::ImportFault;
use crate::names::{self, Fate};
use crate::offer::Offer;
use crate::report::Report;

/// An entry of the roster that is proposed.
pub(crate) type Wanted = (WorkerName, Count);

/// Workers of the old system under other names: here, and what to see to, if anything.
const OLD: &[(&str, &str, &str)] = &[
    ("simulation-websocket", "simulation", ""),
    ("simulation-http", "simulation", ""),
    ("sim", "simulation", ""),
    ("emprops-app", "comfyui", "it took the jobs of A1111 too: add `a1111:N`"),
    ("mock", "simulation", "its jobs ask for `mock`: add that to `accepts` of a worker in the mapping"),
    (
        "openai-response",
        "openai",
        "its jobs ask for `openai`: add that to `accepts` of a worker in the mapping",
    ),
];

/// The name here of a worker or service of the old system.
pub(crate) fn translated(name: &str) -> &str {
    OLD.iter().find(|it| it.0 == name).map_or(name, |it| it.1)
}

/// The text of a roster.
pub(crate) fn text(roster: &[Wanted]) -> String {
    roster.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(",")
}

/// The roster of a machine. Empty when there is none; a text that is no roster is a finding.
pub(crate) fn settle(
    draft: &Draft,
    profile: &str,
    wish: Option<&SourceText>,
    offer: &Offer,
    report: &mut Report,
    findings: &mut Vec<Finding>,
) -> Vec<Wanted> {
    let before = findings.len();
    let wanted = match wish {
        Some(wish) => {
            for (key, said) in variables(draft) {
                report.dropped(codes::DECIDED, format!("`{key}`"), "`--spec` says the roster", &said.place);
            }
            of_entries(&parse(&wish.at(0..wish.text().len()), findings), offer, report)
        }
        None => of_files(draft, offer, report, findings),
    };
    if wanted.is_empty() && findings.len() == before {
        let fault = ImportFault::NoWorker { profile: profile.to_owned() };
        findings.push(Finding::error(Located::at(draft.place.clone(), fault)));
    }
    wanted
}

/// What the files start, held against what their variables say.
fn of_files(draft: &Draft, offer: &Offer, report: &mut Report, findings: &mut Vec<Finding>) -> Vec<Wanted> {
    let said = by_variables(draft, report, findings);
    let from_variables = said.map(|(key, said)| (key, entries(&said, findings), said.place));
    let started = (!draft.workers.is_empty()).then(|| of_workers(&draft.workers, offer, report));
    match (started, from_variables) {
        (Some(started), Some((key, entries, place))) => {
            let mut unheard = Report::default();
            let said = of_entries(&entries, offer, &mut unheard);
            if same(&started, &said) {
                report.carried(format!("`{key}`"), &place);
            } else {
                let why = format!("the file starts `{}`, and `{key}` says `{}`", text(&started), text(&said));
                let fix = "say the one that is meant with `--spec`";
                report.decide(codes::TWO_VALUES, "the roster", why, fix, &place);
            }
            started
        }
        (Some(started), None) => started,
        (None, Some((key, entries, place))) => {
            report.renamed(format!("`{key}`"), "the profile's `workers`", "", &place);
            of_entries(&entries, offer, report)
        }
        (None, None) => Vec::new(),
    }
}

/// The variables that say a roster, each with every text of it.
fn variables(draft: &Draft) -> impl Iterator<Item = (&EnvKey, &Said)> {
    let is_roster = |name: &str| names::find(name).is_some_and(|it| it.fate == Fate::Roster);
    let all = draft.said.iter().filter(move |(key, _)| is_roster(key.as_str()));
    all.flat_map(|(key, said)| said.iter().map(move |it| (key, it))).filter(|(_, it)| !it.value.is_empty())
}

/// The variable that says the roster, and what it says.
fn by_variables(draft: &Draft, report: &mut Report, findings: &mut Vec<Finding>) -> Option<(String, Said)> {
    let mut all = variables(draft);
    let (key, first) = all.next()?;
    for (other, it) in all {
        let mut quiet = Vec::new();
        let (one, two) = (entries(first, findings), entries(it, &mut quiet));
        let plain = |entries: &[Entry]| entries.iter().map(ToString::to_string).collect::<Vec<_>>();
        if plain(&one) != plain(&two) {
            let why = format!("`{key}` and `{other}` say different rosters");
            report.decide(codes::TWO_VALUES, "the roster", why, "keep one, or say `--spec`", &it.place);
        } else if key != other {
            report.carried(format!("`{other}`"), &it.place);
        }
    }
    Some((key.to_string(), first.clone()))
}

fn entries(said: &Said, findings: &mut Vec<Finding>) -> Vec<Entry> {
    if let Some(at) = said.place.text().find(&said.value) {
        return parse(&said.place.inner(at..at + said.value.len()), findings);
    }
    // It was written with escapes or references.
    let source = SourceText::guarded(said.place.source.name(), said.value.as_str());
    parse(&source.at(0..said.value.len()), findings)
}

fn parse(place: &Place, findings: &mut Vec<Finding>) -> Vec<Entry> {
    match grammar::parse_at(place) {
        Ok(roster) => roster.entries().to_vec(),
        Err(faults) => {
            for it in errors(faults.faults) {
                if !findings.contains(&it) {
                    findings.push(it);
                }
            }
            faults.understood
        }
    }
}

fn of_entries(entries: &[Entry], offer: &Offer, report: &mut Report) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for entry in entries {
        let Some(name) = named(entry.name.as_str(), &entry.to_string(), offer, report, &entry.place) else {
            continue;
        };
        let binding = offer.workers.get(&name).map(|it| it.binding);
        match &entry.legacy_binding {
            Some((said, place)) if Some(*said) != binding => {
                let has = binding.map(|it| it.to_string()).unwrap_or_default();
                let why = format!("it says `{said}`, and the mapping says `{has}`");
                let fix = "leave the third part away, or change `binding` in the mapping";
                report.decide(codes::TWO_VALUES, format!("`{name}`"), why, fix, place);
            }
            Some((said, place)) => {
                let why = "the binding is the mapping's";
                report.renamed(format!("`{entry}:{said}`"), format!("`{entry}`"), why, place);
            }
            None => {}
        }
        add(&mut wanted, name, entry.count);
    }
    wanted
}

fn of_workers(workers: &[Worker], offer: &Offer, report: &mut Report) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for it in workers {
        let what = format!("{}:{}", it.name, it.count);
        if let Some(name) = named(&it.name, &what, offer, report, &it.place) {
            add(&mut wanted, name, it.count);
        }
    }
    wanted
}

/// The worker of the mapping, and what is to be said of it; `None` when there is none.
fn named(old: &str, what: &str, offer: &Offer, report: &mut Report, place: &Place) -> Option<WorkerName> {
    let known = |name: &str| name.parse::<WorkerName>().ok().filter(|it| offer.workers.contains_key(it));
    if let Some(name) = known(old) {
        report.carried(format!("worker `{what}`"), place);
        return Some(name);
    }
    let row = OLD.iter().find(|it| it.0 == old);
    if let Some((name, (_, new, see))) = row.and_then(|row| Some((known(row.1)?, row))) {
        let (what, to) = (format!("worker `{what}`"), format!("`{new}`"));
        if see.is_empty() {
            report.renamed(what, to, "", place);
        } else {
            let why = format!("`{new}` is the nearest, but does not do all that `{old}` did");
            report.decide_about(codes::NO_COUNTERPART, what, to, (why, *see), place);
        }
        return Some(name);
    }
    let names: Vec<&str> = offer.workers.keys().map(WorkerName::as_str).collect();
    let fix = match did_you_mean(old, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("choose one of {}, or add it to the mapping", names.join(", ")),
    };
    report.decide(
        codes::NO_COUNTERPART,
        format!("worker `{what}`"),
        "the mapping has no such worker",
        fix,
        place,
    );
    None
}

/// Adds workers; of one name they are counted together.
fn add(wanted: &mut Vec<Wanted>, name: WorkerName, count: Count) {
    let Some((_, had)) = wanted.iter_mut().find(|it| it.0 == name) else {
        return wanted.push((name, count));
    };
    *had = match (*had, count) {
        (Count::Exactly(one), Count::Exactly(other)) => Count::Exactly(one.saturating_add(other.get())),
        _ => Count::Auto,
    };
}

fn same(one: &[Wanted], other: &[Wanted]) -> bool {
    let sorted = |roster: &[Wanted]| {
        let mut texts: Vec<_> = roster.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        texts.sort();
        texts
    };
    sorted(one) == sorted(other)
}
