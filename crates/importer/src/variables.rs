//! The variables of a machine: each goes into the profile, into the secrets file, or into the report.

mod hardware;
mod redis;

use std::collections::BTreeMap;

use spec::dotenv;
use spec::ids::{EnvKey, MachineId, WorkerName};
use spec::notes::{Code, Fault as _};
use spec::source::Place;

use crate::codes;
use crate::draft::{Draft, Form, Said, agreed};
use crate::names::{self, Fate};
use crate::offer::{Offer, Taken};
use crate::report::Report;

/// A variable that no other system than ours has.
const OWN: &str = "MACHINE_MOCK_GPU";

/// What the variables come to.
#[derive(Default)]
pub(crate) struct Settled {
    /// For the profile, as templates.
    pub(crate) public: BTreeMap<EnvKey, String>,
    /// For the secrets file.
    pub(crate) secret: BTreeMap<EnvKey, String>,
    /// The section of the component `redis`, when that says the address.
    pub(crate) redis: Option<&'static str>,
    /// GPUs are pretended.
    pub(crate) mock: bool,
    /// How many GPUs there were.
    pub(crate) gpus: Option<u16>,
}

impl Settled {
    /// Whether a variable is said.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.public.contains_key(name) || self.secret.contains_key(name)
    }
}

/// What is to go under a name of ours: the old name, whether it is declared secret, and what was said.
type Candidate<'a> = (&'a EnvKey, bool, &'a Said);

/// Sorts the variables.
pub(crate) fn settle(draft: &Draft, roster: &[WorkerName], offer: &Offer, report: &mut Report) -> Settled {
    let mut settled = Settled { gpus: draft.gpus, ..Settled::default() };
    let mut found: BTreeMap<EnvKey, Vec<Candidate<'_>>> = BTreeMap::new();
    let mut parts: Vec<(&EnvKey, &str, &Said)> = Vec::new();
    hardware::mock(draft, &mut settled, report);
    hardware::gpus(draft, &mut settled, report);
    for (key, said) in &draft.said {
        let Some(first) = said.first() else { continue };
        let name = format!("`{key}`");
        let places = said.iter().map(|it| &it.place);
        match verdict(key, said, roster, offer) {
            Verdict::Elsewhere => {}
            Verdict::PartOf(whole) => parts.push((key, whole, first)),
            Verdict::Under(ours, secret) => found.entry(ours).or_default().push((key, secret, first)),
            Verdict::Dropped(code, why) => {
                places.for_each(|place| report.dropped(code, name.as_str(), why.as_str(), place));
            }
            Verdict::Decide(code, why, fix) => {
                places.for_each(|place| report.decide(code, name.as_str(), why, fix, place));
            }
        }
    }
    for (key, whole, said) in parts {
        if found.keys().any(|it| it.as_str() == whole) {
            let why = format!("`{whole}` says it");
            report.dropped(codes::DECIDED, format!("`{key}`"), why, &said.place);
        } else {
            let (why, fix) = (format!("it is a part of `{whole}`"), format!("say `{whole}` as a whole"));
            report.decide(codes::SETTING, format!("`{key}`"), why, fix, &said.place);
        }
    }
    for (key, (port, place)) in &draft.ports {
        base_port(key, *port, place, offer, &mut found, &mut settled, report);
    }
    for (ours, candidates) in found {
        one(draft, &ours, &candidates, &mut settled, report);
    }
    if let Some((name, place)) = &draft.redis {
        redis::beside(draft, name, place, &mut settled, report);
    }
    settled
}

/// What becomes of a variable, as far as it alone says.
enum Verdict {
    /// Roster and hardware are read elsewhere.
    Elsewhere,
    /// It is a part of another variable.
    PartOf(&'static str),
    /// It goes under this name, as a secret if that is declared.
    Under(EnvKey, bool),
    Dropped(Code, String),
    Decide(Code, &'static str, &'static str),
}

fn verdict(key: &EnvKey, said: &[Said], roster: &[WorkerName], offer: &Offer) -> Verdict {
    let all = |holds: &dyn Fn(&str) -> bool| said.iter().all(|it| holds(&it.value));
    if all(&str::is_empty) {
        return Verdict::Dropped(codes::UNNEEDED, "it is empty, which was as good as absent".into());
    }
    if key.as_str().ends_with("_FILE") && all(&|it| it.starts_with("/run/secrets/")) {
        return Verdict::Dropped(codes::DECIDED, "each secret travels as a file of its own".into());
    }
    let row = names::find(key.as_str());
    let ours = match row.map(|row| (row.fate, row.here)) {
        Some((Fate::Roster | Fate::Mock | Fate::Gpus, _)) => return Verdict::Elsewhere,
        Some((Fate::PartOf(whole), _)) => return Verdict::PartOf(whole),
        Some((Fate::Decided, _)) if other_increment(key, said, offer) => {
            let (why, fix) = ("the mapping has another `increment`", "say it there, if this one is right");
            return Verdict::Decide(codes::PORTS, why, fix);
        }
        Some((Fate::Decided, here)) => return Verdict::Dropped(codes::DECIDED, plain(here)),
        Some((Fate::Unneeded, here)) => return Verdict::Dropped(codes::UNNEEDED, plain(here)),
        Some((Fate::Decide(fix), _)) => {
            return Verdict::Decide(codes::SETTING, "something else does this here", fix);
        }
        Some((Fate::Is(new), _)) => new.parse().unwrap_or_else(|_| key.clone()),
        None => key.clone(),
    };
    match offer.taken(&ours, roster) {
        Taken::By { .. } if agreed(said).is_none() => Verdict::Decide(
            codes::TWO_VALUES,
            "it has several values, where a machine has one",
            "make them one",
        ),
        Taken::By { key, secret } => Verdict::Under(key, secret),
        Taken::Elsewhere => {
            Verdict::Dropped(codes::UNUSED, "no worker or service of this roster reads it".into())
        }
        Taken::No => {
            let fix = "if your service or workflow does, declare it in `optional_env` of the mapping";
            Verdict::Decide(codes::NOBODY, "nothing here reads it", fix)
        }
    }
}

/// The place of one variable of ours.
fn one(
    draft: &Draft,
    ours: &EnvKey,
    candidates: &[Candidate<'_>],
    settled: &mut Settled,
    report: &mut Report,
) {
    let Some((_, _, first)) = candidates.first() else { return };
    let from_processes = settled.public.remove(ours);
    let others = candidates.iter().any(|it| it.2.value != first.value)
        || from_processes.is_some_and(|it| it != first.value);
    if others {
        let names: Vec<_> = candidates.iter().map(|it| format!("`{}`", it.0)).collect();
        let why = format!("{} and what is started say different things", names.join(", "));
        let why = if candidates.len() > 1 { format!("{} differ", names.join(" and ")) } else { why };
        for (key, _, said) in candidates {
            let what = format!("`{key}`");
            report.decide(codes::TWO_VALUES, what, why.as_str(), "keep the one that is right", &said.place);
        }
        return;
    }
    if first.form == Form::Written && first.value.contains("${") {
        for (key, _, said) in candidates {
            let (why, fix) = ("it holds a reference that nothing has resolved", "write the value out");
            report.decide(codes::UNRESOLVED, format!("`{key}`"), why, fix, &said.place);
        }
        return;
    }
    if first.form == Form::Template && refers_to(&first.value, ours) {
        for (key, _, said) in candidates {
            let to = format!("`{ours}` of the process environment or the secrets file");
            report.renamed(format!("`{key}`"), to, "", &said.place);
        }
        return;
    }
    if ours.as_str() == "REDIS_URL" && redis::address(draft, candidates, settled, report) {
        return;
    }
    if let Some(expected) = unfit(ours, &first.value).filter(|_| first.form != Form::Template) {
        for (key, _, said) in candidates {
            let why = format!("here it is {expected}");
            report.decide(codes::SETTING, format!("`{key}`"), why, "say another one", &said.place);
        }
        return;
    }
    let value = match ours.as_str() {
        "MACHINE_ID" if is_named_anew(draft, first) => without_chance(&first.value),
        _ => first.value.as_str(),
    };
    let template = first.form == Form::Template;
    let plain = if template { without_references(value) } else { value.to_owned() };
    let secret =
        !plain.is_empty() && candidates.iter().any(|it| it.1 || it.2.secret || is_secret(it.0, &plain));
    if secret && template {
        for (key, _, said) in candidates {
            let why = "a secret is written out beside a reference";
            let fix = format!("say the whole value as `{ours}` in the secrets file");
            report.decide(codes::UNRESOLVED, format!("`{key}`"), why, fix, &said.place);
        }
        return;
    }
    // A secret is in a file that Roster alone reads, which has a form for all but this.
    if let Err(fault) = dotenv::encode(value)
        && !template
        && (!secret || fault == dotenv::Unencodable::Nul)
    {
        let what = format!("`{}`", candidates[0].0);
        report.decide(codes::UNWRITABLE, what, fault.to_string(), fault.fix(), &first.place);
        return;
    }
    for (key, _, said) in candidates {
        if *key == ours && value == said.value {
            let kind = if secret { ", a secret" } else { "" };
            report.carried(format!("`{key}`{kind}"), &said.place);
        } else {
            let kind = if secret { ", a secret" } else { "" };
            let why = if value == said.value { "" } else { "without the suffix that chance gave it" };
            report.renamed(format!("`{key}`"), format!("`{ours}`{kind}"), why, &said.place);
        }
    }
    if secret {
        settled.secret.insert(ours.clone(), value.to_owned());
    } else if template {
        settled.public.insert(ours.clone(), value.to_owned());
    } else {
        settled.public.insert(ours.clone(), spec::template::escape(value));
    }
}

/// What the machine will be called, if its files say it.
pub(crate) fn machine_id(draft: &Draft) -> Option<&str> {
    let said = agreed(draft.said.get("MACHINE_ID")?)?;
    Some(if is_named_anew(draft, said) { without_chance(&said.value) } else { &said.value })
}

/// Roster's own machines have the name that somebody gave them.
fn is_named_anew(draft: &Draft, said: &Said) -> bool {
    said.form == Form::Written && !draft.said.contains_key(OWN)
}

/// What has to be there instead, where a value cannot be planned with.
fn unfit(ours: &EnvKey, value: &str) -> Option<&'static str> {
    match ours.as_str() {
        "MACHINE_ID" if value.parse::<MachineId>().is_err() => {
            Some("a name of letters, digits, _ and -, at most 63")
        }
        "MACHINE_WORKSPACE" if !value.starts_with('/') => Some("an absolute path"),
        name if name.ends_with("_PORT") && !value.parse::<u16>().is_ok_and(|it| it > 0) => {
            Some("a number from 1 to 65535")
        }
        _ => None,
    }
}

fn base_port(
    key: &EnvKey,
    port: u16,
    place: &Place,
    offer: &Offer,
    found: &mut BTreeMap<EnvKey, Vec<Candidate<'_>>>,
    settled: &mut Settled,
    report: &mut Report,
) {
    let mut rules = offer.services.values().filter_map(|it| it.port.as_ref());
    let usual = rules.any(|it| it.variable.as_ref() == Some(key) && it.base == port);
    let what = format!("base port {port}");
    if found.contains_key(key) {
        settled.public.insert(key.clone(), port.to_string());
    } else if usual {
        report.carried(what, place);
    } else {
        report.renamed(what, format!("`{key}`"), "", place);
        settled.public.insert(key.clone(), port.to_string());
    }
}

/// Whether a template is nothing but the variable itself, which is looked for there anyway.
fn refers_to(template: &str, key: &EnvKey) -> bool {
    let name = template.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    name.is_some_and(|it| {
        it.strip_prefix(key.as_str())
            .is_some_and(|rest| rest.is_empty() || rest == ":-" || rest.starts_with(":?"))
    })
}

/// What a template holds in itself: its texts and its defaults.
fn without_references(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, next) = after.split_once('}').unwrap_or((after, ""));
        text.extend([before, reference.split_once(":-").map_or("", |it| it.1)]);
        rest = next;
    }
    text + rest
}

/// Whether it says another increment of ports than the mapping.
fn other_increment(key: &EnvKey, said: &[Said], offer: &Offer) -> bool {
    let Some(service) = key.as_str().strip_suffix("_PORT_INCREMENT") else { return false };
    let base = format!("{service}_BASE_PORT");
    let mut rules = offer.services.values().filter_map(|it| it.port.as_ref());
    let rule = rules.find(|it| it.variable.as_ref().is_some_and(|it| it.as_str() == base));
    rule.is_some_and(|rule| said.iter().any(|it| it.value.parse() != Ok(rule.increment)))
}

/// What is in the table's cell, as text without links.
fn plain(here: &str) -> String {
    let mut text = String::new();
    let mut rest = here;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((word, (_, next))) =
            after.split_once(']').and_then(|(word, it)| Some((word, it.split_once(')')?)))
        else {
            break;
        };
        text.extend([before, word]);
        rest = next;
    }
    text + rest
}

/// A machine's id without the eight hexadecimal digits that the old entrypoint put behind it at each start.
pub(crate) fn without_chance(id: &str) -> &str {
    match id.rsplit_once('-') {
        Some((name, end))
            if !name.is_empty() && end.len() == 8 && end.bytes().all(|it| it.is_ascii_hexdigit()) =>
        {
            name
        }
        _ => id,
    }
}

/// Whether a value is to be kept as a secret though nobody declares it: by its name, or as an address with a password.
pub(crate) fn is_secret(key: &EnvKey, value: &str) -> bool {
    let ends = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_PASS", "_CREDENTIALS"];
    let named = ends.iter().any(|it| key.as_str().ends_with(it));
    let user =
        value.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next()?.rsplit_once('@'));
    let password = user.and_then(|(user, _)| user.split_once(':')).map_or("", |it| it.1);
    named || !password.is_empty()
}
