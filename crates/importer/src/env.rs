//! `.env` files: those of one machine, public and secret.

use spec::dotenv;
use spec::ids::{EnvKey, ProfileName};
use spec::notes::{Finding, errors};
use spec::source::SourceText;

use crate::draft::{Draft, Form, Said};

/// Reads the files of one machine into a draft.
pub(crate) fn read(files: &[SourceText], findings: &mut Vec<Finding>) -> Draft {
    let whole = files.first().map_or_else(|| SourceText::open("", "").whole(), SourceText::whole);
    let mut draft = Draft::new(whole);
    for file in files {
        for (key, said) in entries(file, findings) {
            draft.say(key, said);
        }
    }
    draft.name = files.iter().find_map(|it| suffix(it.name()));
    draft
}

/// What a file says, in its order.
pub(crate) fn entries(file: &SourceText, findings: &mut Vec<Finding>) -> Vec<(EnvKey, Said)> {
    let (entries, faults) = dotenv::read(file);
    findings.extend(errors(faults));
    let secret = is_secret_file(file.name());
    let said = |it: dotenv::Entry| {
        let quote = file.text()[..it.value_place.span.start].chars().next_back();
        // In single quotes nothing has a meaning to anybody.
        let form = if quote == Some('\'') { Form::Literal } else { Form::Written };
        (it.key, Said { value: it.value, place: it.value_place, secret, form })
    };
    entries.into_iter().map(said).collect()
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_secret_file(path: &str) -> bool {
    file_name(path).contains("secret") || path.contains("/secrets/")
}

/// `.env.secret.production` is of the profile `production`.
fn suffix(path: &str) -> Option<ProfileName> {
    let rest = file_name(path).strip_prefix(".env.")?;
    let rest = rest.strip_prefix("secrets.").or_else(|| rest.strip_prefix("secret.")).unwrap_or(rest);
    rest.parse().ok().filter(|_| rest != "secret" && rest != "secrets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_named_by_the_end_of_its_file() {
        let named = |path| suffix(path).map(|it| it.to_string());
        assert_eq!(named("apps/machine/.env.local-dev").as_deref(), Some("local-dev"));
        assert_eq!(named(".env.secret.production").as_deref(), Some("production"));
        for other in [".env", ".env.secret", "machine.env", ".env.Local"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
