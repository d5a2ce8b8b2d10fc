//! `completions` and `man`, made from the command line's own definition.

use std::fs;
use std::path::Path;

use clap_complete::Shell;
use spec::notes::{Exit, Finding, Located};

use crate::answer::Told;
use crate::layout::LayoutError;
use crate::redact::Redactor;

/// When the pages were last changed in substance: a page has a date, and no page looks at the clock.
const DATE: &str = "2026-11-21";

pub(crate) fn completions(shell: Shell, mut command: clap::Command) -> Told<String> {
    let mut bytes = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    told(text.clone(), text, String::new())
}

/// The main page on standard output, or every page into a folder.
pub(crate) fn man(folder: Option<&Path>, command: clap::Command) -> Told<String> {
    let pages = pages(command);
    let Some(folder) = folder else {
        let page = pages.into_iter().next().map(|(_, text)| text).unwrap_or_default();
        return told(page.clone(), page, String::new());
    };
    let written = fs::create_dir_all(folder)
        .and_then(|()| pages.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text)));
    match written {
        Ok(()) => {
            let talk = format!("{} pages are in `{}`.\n", pages.len(), folder.display());
            told(folder.display().to_string(), String::new(), talk)
        }
        Err(source) => {
            let error = LayoutError::Unwritable { path: folder.display().to_string(), source };
            Told::failed(vec![Finding::error(Located::nowhere(error))], Redactor::default())
        }
    }
}

/// The main page first, then one a command, however deep.
fn pages(command: clap::Command) -> Vec<(String, String)> {
    let name = command.get_name().to_owned();
    let source = format!("{name} {}", command.get_version().unwrap_or_default());
    let command = command.disable_help_subcommand(true);
    let render = |command: clap::Command| {
        let mut bytes = Vec::new();
        // A vector cannot fail to be written to.
        let _ = clap_mangen::Man::new(command).date(DATE).source(source.as_str()).render(&mut bytes);
        // What `clap_mangen` writes for a paragraph is not what `mandoc` takes for one.
        let text = String::from_utf8_lossy(&bytes).replace("\n.br\n\n.br\n", "\n.sp\n");
        text.replace(".SH EXTRA\nExit codes:\n", ".SH EXIT STATUS\n")
    };
    let mut pages = vec![(format!("{name}.1"), render(command.clone()))];
    of_verbs(&name, &command, &mut |name, verb| pages.push((format!("{name}.1"), render(verb))));
    pages
}

/// Every verb below a command, and every verb of that, under its whole name.
fn of_verbs(name: &str, command: &clap::Command, tell: &mut dyn FnMut(&str, clap::Command)) {
    for verb in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        let full = format!("{name}-{}", verb.get_name());
        tell(&full, verb.clone().name(full.clone()).disable_help_flag(true).disable_help_subcommand(true));
        of_verbs(&full, verb, tell);
    }
}

fn told(result: String, out: String, talk: String) -> Told<String> {
    let (findings, redactor) = (vec![], Redactor::default());
    Told { result: Some(result), out, talk, exit: Exit::Ok, findings, redactor }
}
