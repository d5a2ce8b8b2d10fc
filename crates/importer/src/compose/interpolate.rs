//! What Compose puts in place of `$NAME` and `${NAME…}`, and what of it Roster's own references can say.

use std::fmt::Write as _;

use spec::ids::EnvKey;

/// A text of a compose file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// With everything put in place.
    Literal(String),
    /// With references that Roster resolves.
    Template(String),
    /// With a reference that it has no form for.
    Unknown,
}

/// Reads a text. With `defaults`, a reference that nothing says is its default.
pub(super) fn read(text: &str, beside: &[(EnvKey, String)], defaults: bool) -> Text {
    let (mut literal, mut template, mut is_template) = (String::new(), String::new(), false);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        literal += before;
        template += &spec::template::escape(before);
        if let Some(after) = after.strip_prefix('$') {
            literal.push('$');
            // `$` and then a brace would be a reference.
            template += if after.starts_with('{') { "$$" } else { "$" };
            rest = after;
            continue;
        }
        let Some(Reference { name, otherwise, rest: next }) = reference(after) else { return Text::Unknown };
        rest = next;
        let said = beside.iter().find(|it| it.0.as_str() == name).map(|it| it.1.as_str());
        match (said, otherwise) {
            (Some(""), Otherwise::Default(it)) => {
                literal += it;
                template += &spec::template::escape(it);
            }
            (Some(said), _) => {
                literal += said;
                template += &spec::template::escape(said);
            }
            (None, Otherwise::Default(it)) if defaults => literal += it,
            (None, _) if defaults => {}
            (None, otherwise) => {
                is_template = true;
                let _ = match otherwise {
                    Otherwise::Nothing => write!(template, "${{{name}}}"),
                    Otherwise::Default(it) => write!(template, "${{{name}:-{it}}}"),
                    Otherwise::Message(it) => write!(template, "${{{name}:?{it}}}"),
                };
            }
        }
    }
    literal += rest;
    template += &spec::template::escape(rest);
    if is_template { Text::Template(template) } else { Text::Literal(literal) }
}

struct Reference<'a> {
    name: &'a str,
    otherwise: Otherwise<'a>,
    rest: &'a str,
}

enum Otherwise<'a> {
    Nothing,
    Default(&'a str),
    Message(&'a str),
}

/// The reference that follows a `$`; `None` for one that Roster has no form for.
fn reference(after: &str) -> Option<Reference<'_>> {
    let end = |it: &str| it.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(it.len());
    let Some(inner) = after.strip_prefix('{') else {
        let (name, rest) = after.split_at(end(after));
        return (!name.is_empty()).then_some(Reference { name, otherwise: Otherwise::Nothing, rest });
    };
    let (inner, rest) = inner.split_once('}')?;
    let (name, form) = inner.split_at(end(inner));
    // A default within a default would end at another brace.
    if name.is_empty() || form.contains('$') {
        return None;
    }
    let otherwise = match form.strip_prefix(':').unwrap_or(form) {
        "" => Otherwise::Nothing,
        form => match form.split_at(1) {
            ("-", it) => Otherwise::Default(it),
            ("?", it) => Otherwise::Message(it),
            _ => return None,
        },
    };
    Some(Reference { name, otherwise, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_put_in_place_or_kept() {
        let beside = [("TAG".parse().unwrap(), "v1".to_owned()), ("EMPTY".parse().unwrap(), String::new())];
        let literal = |it: &str| Text::Literal(it.into());
        let template = |it: &str| Text::Template(it.into());
        for (text, expected) in [
            ("plain", literal("plain")),
            ("a$$b", literal("a$b")),
            ("$TAG-${TAG}-${EMPTY:-x}", literal("v1-v1-x")),
            ("${A}", template("${A}")),
            ("x-$A-$${B}", template("x-${A}-$${B}")),
            ("${A:-d}${A-d}", template("${A:-d}${A:-d}")),
            ("${A:?say it}", template("${A:?say it}")),
            ("${A:+x}", Text::Unknown),
            ("${A:-${B}}", Text::Unknown),
            ("$", Text::Unknown),
        ] {
            assert_eq!(read(text, &beside, false), expected, "{text}");
        }
        assert_eq!(read("${A:-comfyui:2},${B}", &beside, true), literal("comfyui:2,"));
    }
}
