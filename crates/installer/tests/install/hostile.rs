//! Documents of people who mean harm, and nodes that do not work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use installer::status::State;
use serde_json::{Value, json};

use super::support::{Place, failures};

/// A disk of a few MiB, while it lives.
pub(crate) struct Small(PathBuf);

impl Small {
    /// `None`, said aloud, where we may not mount.
    pub(crate) fn mount(at: &Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        if mounted.is_ok_and(|it| it.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("not run: a small disk cannot be mounted here");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn names_and_addresses_that_mean_harm_are_all_refused_with_their_places() {
    let place = Place::new();
    let good = "https://h/a";
    let node = |name: &str, url: &str| json!({ "name": name, "url": url });
    place.nodes(&json!([
        node("../../etc", good),
        node("a b", good),
        node("a;touch x", good),
        node("a\nb", good),
        node("-rf", good),
        node("", good),
        node("ext", "ext::sh -c touch% x"),
        node("option", "--upload-pack=touch x"),
        node("semicolon", "https://h/a;touch x"),
        node("newline", "https://h/a\ntouch x"),
        node("up", "https://h/../../a"),
        node("password", "https://user:secret@h/a"),
        node("plain", "http://example.com/a"),
        { "name": "script", "url": good, "custom_script": "../../x.sh" },
        { "name": "branch", "url": good, "branch": "--upload-pack=x" },
        { "name": "commit", "url": good, "commit": "HEAD~1" },
        { "name": "env", "url": good, "env": { "A": "${AWS_SECRET}" } },
        { "name": "Env", "url": good },
    ]));
    let told = place.refused();
    assert!(!told.contains("user:secret"), "{told}");
    let codes: Vec<&str> = told.lines().filter_map(|it| it.split(' ').next()).collect();
    insta::assert_snapshot!(codes.join(" "), @"INSTALL001 INSTALL001 INSTALL001 INSTALL001 INSTALL001 INSTALL001 INSTALL002 INSTALL002 INSTALL002 INSTALL002 INSTALL002 INSTALL002 INSTALL002 INSTALL001 INSTALL001 INSTALL003 INSTALL006 INSTALL004");
    assert!(!place.workspace().join("installs").exists(), "nothing was begun");
}

#[test]
fn models_that_mean_harm_are_refused_too() {
    let place = Place::new();
    let model = |name: &str, folder: &str, url: &str, sha256: &str| json!({ "name": name, "folder": folder, "urls": [url], "sha256": sha256, "size": 1 });
    let sum = "a".repeat(64);
    place.models(&json!([
        model("../x", "checkpoints", "https://h/a", &sum),
        model("x", "../../etc", "https://h/a", &sum),
        model("x", "/etc", "https://h/a", &sum),
        model("x", ".store", "https://h/a", &sum),
        model("x", "checkpoints", "http://h/a", &sum),
        model("y", "checkpoints", "file:///etc/passwd", &sum),
        model("z", "checkpoints", "https://h/a", "abc"),
        model("Z", "checkpoints", "https://h/a", &sum),
    ]));
    insta::assert_snapshot!(place.refused(), @r#"
    INSTALL001 1:43 `name` is not allowed: '/' cannot be in it; use letters, digits and . _ - + [use letters, digits and . _ - +, beginning with a letter, a digit or _]
    INSTALL001 1:169 `folder` is not allowed: it begins with neither a letter, a digit nor _ [use letters, digits and . _ - +, beginning with a letter, a digit or _]
    INSTALL001 1:311 `folder` is not allowed: it is empty [use letters, digits and . _ - +, beginning with a letter, a digit or _]
    INSTALL001 1:448 `folder` is not allowed: it begins with neither a letter, a digit nor _ [use letters, digits and . _ - +, beginning with a letter, a digit or _]
    INSTALL002 1:705 `urls` is no address to fetch from: its scheme is `http`, which anybody on the way can read and change; use `https` [write an address of its own: `https://host/path`]
    INSTALL002 1:848 `urls` is no address to fetch from: it has no host [write an address of its own: `https://host/path`]
    INSTALL003 1:915 `sha256` is not whole: it is not 64 hexadecimal digits in lower case [write all of its digits, in lower case]
    INSTALL004 1:985 two models are called `checkpoints/Z` [remove one of them, or give it another name]
    "#);
}

/// Three nodes, of which the second fails in this way.
fn with_a_bad_one(place: &Place, bad: Value, policy: &str) {
    let mut bad = bad;
    bad["on_failure"] = json!(policy);
    let good = |name: &str| place.node(name, &[("here", "")]);
    place.nodes(&json!([good("first"), bad, good("last")]));
}

fn bad_ones(place: &Place) -> Vec<(&'static str, Value)> {
    let script = place.node("script", &[("x.sh", "echo some words; echo the last words >&2; exit 3")]);
    let merge = |mut node: Value, field: &str, value: Value| {
        node[field] = value;
        node
    };
    std::os::unix::fs::symlink("/bin/true", place.elsewhere("script").join("out.sh")).unwrap();
    super::support::commit(&place.elsewhere("script"), &[]);
    vec![
        ("ended with 3", merge(script.clone(), "custom_script", json!("x.sh"))),
        ("it is not a file of the node", merge(script.clone(), "custom_script", json!("out.sh"))),
        (
            "could not be fetched",
            json!({ "name": "gone", "url": format!("file://{}", place.elsewhere("gone").display()) }),
        ),
        ("could not be fetched", merge(script, "branch", json!("gone"))),
    ]
}

#[test]
fn a_node_that_fails_leaves_the_others_alone() {
    let all = bad_ones(&Place::new()).len();
    for number in 0..all {
        let place = Place::new();
        let (expected, bad) = bad_ones(&place).swap_remove(number);
        with_a_bad_one(&place, bad.clone(), "fail");
        let (report, seen) = place.apply();
        assert_eq!(report.failures.len(), 1, "{seen:?}");
        assert!(failures(&report)[0].contains(expected), "{:?}", failures(&report));
        assert!(!place.home("current").exists() && place.status().state == State::Failed);
        let others = seen.iter().filter(|it| it.starts_with("done fetch node/")).count();
        assert!(others >= 2, "{seen:?}");

        with_a_bad_one(&place, bad, "skip");
        let report = place.applied();
        assert_eq!(report.advice.len(), 1);
        let nodes = place.home("current/source/custom_nodes");
        assert!(nodes.join("first/here").exists() && nodes.join("last/here").exists());
        assert_eq!(fs::read_dir(&nodes).unwrap().count(), 2, "the bad one is left out");
        let again = place.applied();
        assert_eq!((again.steps, again.advice.len()), (0, 1), "it is told each time");
    }
}

#[test]
fn a_node_that_is_only_warned_of_stays() {
    let place = Place::new();
    let (_, bad) = bad_ones(&place).swap_remove(0);
    with_a_bad_one(&place, bad, "warn");
    let report = place.applied();
    assert!(report.advice[0].to_string().contains("stays as far as it got"), "{:?}", report.advice);
    assert!(place.home("current/source/custom_nodes/script/x.sh").exists());
    assert_eq!(place.applied().steps, 0);
}

#[test]
fn requirements_that_cannot_be_had_fail_with_the_words_of_pip() {
    let mut place = Place::new();
    place.install["python"] = json!({});
    let mut bad = place.node("bad", &[("requirements.txt", "--no-index\nno-such-package-anywhere\n")]);
    bad["on_failure"] = json!("fail");
    let good = place.node("good", &[("here", "")]);
    place.nodes(&json!([bad, good]));
    let (report, _) = place.apply();
    assert_eq!(report.failures[0].step, "requirements of node/bad");
    let status = place.status();
    let failed = status.failed.unwrap();
    assert_eq!(failed.code, "INSTALL012");
    assert!(failed.output.contains("no-such-package-anywhere"), "{}", failed.output);
}

#[test]
fn a_tarball_that_leads_out_of_its_folder_is_refused() {
    let script = "
import io, sys, tarfile
out = tarfile.open(fileobj=sys.stdout.buffer, mode='w:gz')
def add(name, kind=tarfile.REGTYPE, link=''):
    it = tarfile.TarInfo(name)
    it.type, it.linkname, it.size = kind, link, 0
    out.addfile(it, io.BytesIO())
for word in sys.argv[1:]:
    name, _, link = word.partition('>')
    add(name, tarfile.SYMTYPE if link else tarfile.FIFOTYPE if name == 'pipe' else tarfile.REGTYPE, link)
out.close()
";
    for entries in [
        &["../main.py"][..],
        &["/main.py"],
        &["a/../../main.py"],
        &["link>/etc", "main.py"],
        &["link>../..", "link/main.py"],
        &["pipe"],
    ] {
        let mut place = Place::new();
        let server = super::server::Server::start("127.0.0.1");
        let packed = Command::new("python3").args(["-c", script]).args(entries).output().unwrap().stdout;
        let sha256 = super::support::sum(&packed);
        let url = server.put("it.tgz", super::server::Answer::File(packed));
        place.install["source"] = json!({ "tarball": { "url": url, "sha256": sha256 } });
        let (report, _) = place.apply();
        assert!(failures(&report)[0].contains("could not unpack"), "{entries:?}: {:?}", failures(&report));
        assert!(!place.home("current").exists());
    }
}
