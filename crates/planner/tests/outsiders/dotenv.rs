//! Compose, `sh`, Node's dotenv and our own reader agree on every env file that a shipped profile makes.

use std::fs;

use spec::ids::EnvKey;

use crate::meant::dotenv;
use crate::project::Project;
use crate::say;

#[path = "../../../spec/tests/readers/mod.rs"]
mod readers;

use readers::{READERS, Tools};

#[test]
fn every_reader_reads_the_same_of_every_profile() {
    let Some(tools) = Tools::find() else { return };
    let project = Project::shipped();
    let (mut files, mut values) = (0, 0);
    for profile in project.profiles() {
        let out = project.root().join(&profile);
        let answer = project.run(&["env-build", &profile, "--out", out.to_str().unwrap()]);
        assert_eq!(answer.exit.code(), 0, "{profile}: {}", answer.talk);
        for name in [".env", ".env.secret"] {
            let ours = dotenv(&out.join(name));
            if ours.is_empty() {
                continue;
            }
            let keys: Vec<EnvKey> = ours.keys().map(|it| it.parse().unwrap()).collect();
            let folder = tempfile::tempdir().unwrap();
            fs::copy(out.join(name), folder.path().join(".env")).unwrap();
            for (reader, read) in READERS {
                let read = read(&tools, folder.path(), &keys).unwrap_or_else(|it| panic!("{reader}: {it}"));
                assert_eq!(read, ours, "{profile}: {name} read by {reader}");
            }
            files += 1;
            values += ours.len();
        }
    }
    say(&format!(
        "dotenv: {files} files with {values} values, read alike by {} readers and ours",
        READERS.len()
    ));
}
