//! Old files and what becomes of them: each story is a folder of `tests/old/`, what is expected stands beside its files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use spec::source::SourceText;

use crate::testing::offer;
use crate::{Files, Import, ImportDocument, Outcome, Wishes, compose, ecosystem, env, render};

mod apps;
mod oracle;

/// What every secret of the old files holds.
const CANARY: &str = "canary";

fn story(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old").join(name)
}

fn source(story: &Path, file: &str) -> SourceText {
    SourceText::guarded(file, std::fs::read_to_string(story.join(file)).unwrap())
}

struct Beside(PathBuf);

impl Files for Beside {
    fn read(&self, path: &str) -> Option<SourceText> {
        std::fs::read_to_string(self.0.join(path)).ok().map(|it| SourceText::guarded(path, it))
    }
}

/// Everything that people see of an import.
fn shown(import: &Import) -> String {
    let mut text = String::new();
    for machine in &import.machines {
        let _ = writeln!(text, "# {} ({}), missing {:?}", machine.profile, machine.roster, machine.missing);
        for file in &machine.files {
            let _ = write!(text, "## {}\n{}", file.path, file.shown);
        }
    }
    text + &render(&import.items)
}

/// Holds an import against what is expected beside its files. `ROSTER_WRITE=1` writes that anew.
fn check(story: &Path, import: &Import) {
    let path = story.join("expected.txt");
    let is = shown(import);
    let document = serde_json::to_value(ImportDocument::of(import, None)).unwrap();
    let schema = spec::document::schema::<ImportDocument>("");
    let faults: Vec<_> =
        jsonschema::draft7::new(&schema).unwrap().iter_errors(&document).map(|it| it.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    let document = document.to_string();
    assert!(!is.contains(CANARY) && !document.contains(CANARY) && !format!("{import:?}").contains(CANARY));
    if std::env::var_os("ROSTER_WRITE").is_some() {
        std::fs::write(&path, &is).unwrap();
    }
    assert_eq!(
        is,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "{}: ROSTER_WRITE=1 writes it",
        path.display()
    );
}

#[test]
fn env_files_of_a_machine_become_a_profile_and_a_secrets_file() {
    let story = story("gpu-box");
    let files = [source(&story, ".env.gpu-box"), source(&story, ".env.secret.gpu-box")];
    let import = env(&files, &Wishes::default(), &offer()).unwrap();
    check(&story, &import);
    let secrets = &import.machines[0].files[1];
    assert!(secrets.private);
    let entries = spec::dotenv::parse(&SourceText::guarded("it", secrets.text.expose().as_str())).unwrap();
    let said = |key: &str| entries.iter().find(|it| it.key.as_str() == key).map(|it| it.value.as_str());
    assert_eq!(said("OPENAI_API_KEY"), Some("sk-canary-openai"));
    assert_eq!(said("HF_TOKEN"), Some("hf canary 'quoted'"));
    assert_eq!(said("REDIS_URL"), Some("redis://default:canary-redis@hub.example:6379"));
    assert_eq!(said("REPLICATE_API_TOKEN"), None, "nobody of this roster reads it");
}

#[test]
fn an_ecosystem_becomes_the_roster_that_it_starts() {
    let story = story("ecosystem");
    let import = ecosystem(&source(&story, "pm2-ecosystem.json"), &Wishes::default(), &offer()).unwrap();
    check(&story, &import);
    assert_eq!((import.machines[0].roster.as_str(), import.open()), ("comfyui:2,openai:4", 0));
}

#[test]
fn each_service_of_a_compose_file_that_has_a_roster_becomes_a_profile() {
    let story = story("compose");
    let file = source(&story, "docker-compose.yml");
    let import = compose(&file, &Beside(story.clone()), &Wishes::default(), &offer()).unwrap();
    check(&story, &import);
    // Each by itself, and a roster is of one machine.
    let import = |service: Option<&str>, roster: Option<&str>| {
        let wishes = Wishes {
            service: service.map(str::to_owned),
            roster: roster.map(|it| SourceText::open("--spec", it)),
            ..Wishes::default()
        };
        let told = compose(&file, &Beside(story.clone()), &wishes, &offer());
        told.map(|it| {
            it.machines.iter().map(|it| format!("{} {}", it.profile, it.roster)).collect::<Vec<_>>()
        })
    };
    assert_eq!(import(Some("api-box"), Some("openai:9")).unwrap(), ["api-box openai:9"]);
    assert_eq!(import(None, Some("openai:9")).unwrap_err()[0].code.id, "IMP009");
    assert_eq!(import(Some("api"), None).unwrap_err()[0].code.id, "IMP005");
}

#[test]
fn what_is_said_on_the_command_line_wins() {
    let file = SourceText::guarded(".env", "WORKERS=comfyui:1\nCUDA_VISIBLE_DEVICES=0\n");
    let wishes = Wishes {
        name: Some("mine".parse().unwrap()),
        roster: Some(SourceText::open("--spec", "comfyui:3")),
        service: None,
        gpus: Some(vec![49_152.try_into().unwrap()]),
    };
    let import = env(&[file], &wishes, &offer()).unwrap();
    let machine = &import.machines[0];
    assert_eq!((machine.profile.as_str(), machine.roster.as_str()), ("mine", "comfyui:3"));
    assert!(machine.files[0].shown.contains("\"vram_mib\": 49152"));
}

#[test]
fn the_page_of_migration_has_the_table_of_variables() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/migration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = crate::markdown();
    assert!(page.contains(&table), "docs/migration.md is to have this table:\n{table}");
}

#[test]
fn every_row_of_the_table_of_variables_can_be_reached() {
    for (at, row) in crate::names::TABLE.iter().enumerate() {
        for name in row.there {
            let name = name.replace('*', "X");
            assert!(
                std::ptr::eq(crate::names::find(&name).unwrap(), &raw const crate::names::TABLE[at]),
                "{name}"
            );
        }
    }
}

#[test]
fn the_schema_in_the_documents_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/import.schema.json");
    let schema = spec::document::schema::<ImportDocument>("Roster import");
    let text = format!("{schema:#}\n");
    if std::env::var_os("ROSTER_WRITE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "out of date: run with ROSTER_WRITE=1"
    );
}

#[test]
fn every_item_that_is_not_carried_over_has_its_reason() {
    for name in ["gpu-box", "compose"] {
        let text = std::fs::read_to_string(story(name).join("expected.txt")).unwrap();
        for code in text.split_whitespace().filter(|it| it.starts_with("IMP")) {
            assert!(crate::codes::ALL.iter().any(|it| it.id == code), "{code}");
        }
    }
    let import = env(
        &[SourceText::guarded(".env", "WORKERS=openai:1\nX_KEY=canary\nPATH=/bin\n")],
        &Wishes::default(),
        &offer(),
    );
    for it in import.unwrap().items {
        assert_eq!(it.code.is_none(), matches!(it.outcome, Outcome::Carried | Outcome::Renamed), "{it:?}");
        assert_eq!(it.fix.is_empty(), it.outcome != Outcome::Decide, "{it:?}");
    }
}
