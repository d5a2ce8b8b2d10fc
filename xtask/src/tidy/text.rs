//! What every text file of the repository looks like.

use super::{
    File, files, hold,
    rust::{Token, is, split_tests, tokens},
};

/// Lines that a source file stays below; one that holds only tests may be longer.
const LINES: usize = 400;
const LINES_OF_TESTS: usize = 600;

// Written apart, or this file would break its own rules.
const MARKERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MACHINES: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const HOSTS: &[&str] = &[
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

/// The faults of any text file.
fn untidy(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: String| faults.push(format!("{}:{line}: {what}", file.path));
    for (at, line) in file.text.split('\n').enumerate() {
        let (at, lower) = (at + 1, line.to_lowercase());
        if line.ends_with([' ', '\t', '\r']) {
            fault(at, "white space at the end of the line".into());
        }
        for host in HOSTS.iter().filter(|it| lower.contains(**it)) {
            fault(at, format!("names the package registry `{host}`: a mirror has another name"));
        }
        for folder in MACHINES.iter().filter(|it| has_word(line, it)) {
            fault(at, format!("names `{folder}`, a folder of one machine"));
        }
        for marker in MARKERS.iter().filter(|it| !file.is_lock() && has_word(line, it)) {
            fault(at, format!("`{marker}`: do it, or write an issue"));
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        fault(file.text.lines().count(), "a file ends in exactly one newline".into());
    }
    if file.path.ends_with("package-lock.json") && file.text.contains("\"resolved\"") {
        fault(
            1,
            "has `resolved` addresses; write it with `npm install --omit-lockfile-registry-resolved`".into(),
        );
    }
    faults
}

/// Whether `word` is in `line` and is not the tail of a longer word or path.
fn has_word(line: &str, word: &str) -> bool {
    let part = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | '.' | '}');
    let goes_on = |rest: &str| !word.ends_with('/') && rest.starts_with(part);
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(part) && !goes_on(&line[at + word.len()..]))
}

/// The faults of a Rust file, beside those of any text file.
fn untidy_rust(file: &File) -> Vec<String> {
    let (lines, most) = (file.text.lines().count(), if file.is_test() { LINES_OF_TESTS } else { LINES });
    let mut faults = Vec::new();
    if lines >= most {
        faults.push(format!("{}: {lines} lines; a file stays below {most}", file.path));
    }
    let all = tokens(&file.text);
    let (_, inner_tests) = split_tests(&all);
    let tests = if file.is_test() { &all } else { &inner_tests };
    let mut find = |tokens: &[Token<'_>], pattern: &[&str], what: &str| {
        let hits = (0..tokens.len()).filter(|at| is(&tokens[*at..], pattern));
        faults.extend(hits.map(|at| format!("{}:{}: {what}", file.path, tokens[at].line)));
    };
    find(&all, &["dbg", "!"], "`dbg!` is for the desk");
    find(&all, &["#", "[", "ignore"], "an ignored test: make it pass, or delete it");
    find(tests, &["thread", "::", "sleep"], "a test that sleeps: wait for what it waits for");
    faults
}

#[test]
fn text_files_are_tidy() {
    hold("tidy text", &files().iter().flat_map(untidy).collect::<Vec<_>>());
}

#[test]
fn rust_files_are_tidy() {
    hold("tidy sources", &files().iter().filter(|it| it.is_rust()).flat_map(untidy_rust).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::{File, HOSTS, MACHINES, MARKERS, untidy, untidy_rust};

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn an_untidy_text_is_found() {
        let [marker, folder, host] = [MARKERS[0], MACHINES[0], HOSTS[0]];
        for (line, faults) in [
            ("plain".to_owned(), 0),
            ("space ".to_owned(), 1),
            ("tab\t".to_owned(), 1),
            ("dos\r".to_owned(), 1),
            (format!("// {marker}: later"), 1),
            (format!("{marker}S and MY_{marker}"), 0),
            (format!("cd {folder}x"), 1),
            (format!("see our{folder}x, ${{HOME}}{folder}x"), 0),
            (format!("https://{}/x", host.to_uppercase()), 1),
        ] {
            let text = format!("first\n{line}\n");
            assert_eq!(untidy(&file("notes.md", &text)).len(), faults, "{line:?}");
        }
        assert_eq!(untidy(&file("a", "no newline")).len(), 1);
        assert_eq!(untidy(&file("a", "two newlines\n\n")).len(), 1);
        assert_eq!(untidy(&file("a", "")).len(), 0);
        assert_eq!(untidy(&file("x/package-lock.json", "{ \"resolved\": \"\" }\n")).len(), 1);
    }

    #[test]
    fn an_untidy_source_is_found() {
        let long = "\n".repeat(400);
        for (path, text, faults) in [
            ("a/src/lib.rs", long.as_str(), 1),
            ("a/src/x/tests.rs", long.as_str(), 0),
            ("a/tests/x.rs", &long.repeat(2), 1),
            ("a/src/lib.rs", "fn f() { dbg!(1); }", 1),
            ("a/src/lib.rs", "// dbg!(1)", 0),
            ("a/src/lib.rs", "#[cfg(test)] mod tests { #[test] #[ignore = \"slow\"] fn f() {} }", 1),
            ("a/src/lib.rs", "fn f() { std::thread::sleep(d) }", 0),
            ("a/src/lib.rs", "#[cfg(test)] mod tests { fn f() { thread::sleep(d) } }", 1),
            ("a/tests/x.rs", "fn f() { std::thread::sleep(d) }", 1),
        ] {
            assert_eq!(untidy_rust(&file(path, text)).len(), faults, "{path}: {}", text.trim());
        }
    }
}
