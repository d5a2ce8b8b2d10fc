//! The services that a profile puts beside its machine.

use std::collections::BTreeMap;

use compose_gen::{Additional, Image};
use spec::condition::Condition;
use spec::ids::{EnvKey, ServiceName};
use spec::notes::{Code, Exit, Fault, Finding, Located, errors};
use spec::source::{Place, SourceText};

use crate::profile::Profile;

/// Those whose conditions hold. `is_secret` knows the secrets by their variables and by their values.
pub(super) fn services(
    profile: &Profile,
    is_secret: &dyn Fn(Option<&EnvKey>, &str) -> bool,
    findings: &mut Vec<Finding>,
) -> BTreeMap<ServiceName, Additional> {
    let mut additional = BTreeMap::new();
    for (name, it) in &profile.document().docker.additional_services {
        let pointer = format!("/docker/additional_services/{name}");
        let condition = format!("{pointer}/condition");
        let wanted = match (&it.condition, profile.text_place(&condition)) {
            (None, _) => Ok(true),
            (Some(_), Some(place)) => evaluate(profile, &place),
            // Written with escapes: spans inside it cannot point into the file.
            (Some(text), None) => {
                let source = SourceText::open(format!("{}{condition}", profile.source.name()), text.as_str());
                evaluate(profile, &source.at(0..text.len()))
            }
        };
        match wanted {
            Err(found) => findings.extend(found),
            Ok(false) => {}
            Ok(true) => {
                let place = profile.place(&pointer);
                let image =
                    Image { reference: it.image.clone(), place: profile.place(&format!("{pointer}/image")) };
                let (command, environment) = (it.command.clone(), it.environment.clone());
                let variables = environment.iter().filter(|(key, value)| is_secret(Some(key), value));
                let variables = variables.map(|(key, _)| format!("environment/{key}"));
                let words = command.iter().enumerate().filter(|(_, word)| is_secret(None, word));
                for at in variables.chain(words.map(|(at, _)| format!("command/{at}"))) {
                    let place = profile.place(&format!("{pointer}/{at}"));
                    let guarded = SourceText::guarded(place.source.name(), place.source.text());
                    let fault = SecretInCompose { service: name.clone(), at };
                    findings.push(Finding::error(Located::at(guarded.at(place.span), fault)));
                }
                additional.insert(name.clone(), Additional { image, command, environment, place });
            }
        }
    }
    additional
}

fn evaluate(profile: &Profile, place: &Place) -> Result<bool, Vec<Finding>> {
    Condition::parse_at(place).and_then(|it| it.evaluate(&profile.sections())).map_err(errors)
}

/// A secret that would be written into the compose file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{at}` of the service `{service}` is a secret, and would be in the compose file")]
struct SecretInCompose {
    service: ServiceName,
    at: String,
}

impl Fault for SecretInCompose {
    fn code(&self) -> Code {
        SECRET
    }
    fn fix(&self) -> String {
        "take it out; describe a service that needs a secret in `docker-compose.override.yaml`, with `secrets:`"
            .into()
    }
}

/// A secret that would be written into the compose file.
pub(super) const SECRET: Code = Code {
    id: "COMP102",
    title: "a secret would be in the compose file",
    exit: Exit::Error,
    explanation: "What a profile says of its `additional_services` is written into `docker-compose.yaml` as it stands, \
for everybody to read. The machine's own secrets travel as files; these services get none.\n\nBreaks it: a variable that \
the mapping or a service interface declares secret, a URL with a password, or the value of a secret, in `environment` or \
`command`.\n\nMend it: describe the service in `docker-compose.override.yaml`, which Docker Compose merges and roster \
never touches.",
};
