//! A canary in every place where a secret can be written, looked for in everything that people or programs are shown:
//! standard output, standard error, `--json`, and every file but `.env.secret` and those of `secrets/`.

use std::fs;
use std::path::Path;

use planner::Answer;

use super::support::Project;

/// `canary-07-`: what every canary begins with.
const BEGIN: &str = "canary-";

/// The canaries of a text, by number.
fn seen(text: &str) -> Vec<&str> {
    let mut seen: Vec<_> = text.match_indices(BEGIN).map(|(at, it)| &text[at + it.len()..][..2]).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[track_caller]
fn hold_still(what: &str, text: &str) {
    assert!(seen(text).is_empty(), "{what} shows canary {:?}:\n{text}", seen(text));
}

#[track_caller]
fn hold_all_still(what: &str, answer: &Answer) {
    // `Debug` is what a panic would print.
    hold_still(what, &format!("{}{}{answer:?}", answer.out, answer.talk));
}

/// Every verb that plans, in all of its forms.
#[track_caller]
fn run_all(project: &Project, choice: &str) {
    for verb in ["plan", "diff", "ecosystem", "check", "env-build --check", "explain image", "env-build"] {
        for form in ["", "--json", "--color always", "--strict"] {
            let flags = if verb.starts_with("explain") && !choice.starts_with("--") {
                format!("--profile {choice}")
            } else {
                choice.to_owned()
            };
            hold_all_still(verb, &project.run(&format!("{verb} {flags} {form}")));
        }
    }
}

/// Everything below a folder that is not a secret file, names included.
fn public_bytes(folder: &Path, found: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        found.extend(path.as_os_str().as_encoded_bytes());
        if path.ends_with("secrets") || path.ends_with(".env.secret") {
            continue;
        }
        if path.is_dir() {
            public_bytes(&path, found);
        } else {
            found.extend(fs::read(&path).expect("a file"));
        }
    }
}

const PROFILE: &str = r#"{
  "description": "Secrets wherever one can be",
  "components": {
    "machine": "default", "redis": "remote", "openai": "default", "runpod": "default", "storage": "s3",
    "comfyui": "remote", "extra": ["one", "two"]
  },
  "secrets": "local",
  "environment": {
    "REPLICATE_API_TOKEN": "canary-01-",
    "OPENAI_BASE_URL": "https://user:canary-02-@api.example.com/v1",
    "API_URL": "https://h/?key=${OPENAI_API_KEY}", "EXTRA_ALSO": "${OPENAI_API_KEY:-canary-03-}"
  },
  "workers": "openai:1,replicate:1,runpod:1,comfyui-remote:1"
}
"#;

const SECRETS: &str = r#"OPENAI_API_KEY=canary-04-
NOBODY_ASKS_FOR_IT=canary-05-
COMFYUI_REMOTE_TOKEN='canary-06- "$x'
HUB_REDIS_URL=rediss://default:canary-07-@redis.example.com:6379/0
STORAGE_SECRET_ACCESS_KEY='-----BEGIN KEY-----
canary-08-
-----END KEY-----'
STORAGE_BUCKET=canary-09-
"#;

const EXTRA: &str = r#"NAMESPACE=EXTRA

[one]
SHADOWED=canary-10-${OPENAI_API_KEY}
DATABASE_URL=postgres://u:canary-11-@db/x

[two]
SHADOWED=plain
LIST=["canary-12-","${COMFYUI_REMOTE_TOKEN}"]
"#;

/// A sound project with canaries in every source.
fn project() -> Project {
    let project = Project::shipped().with("RUNPOD_ENDPOINT_ID", "e1").with("STORAGE_REGION", "r1");
    // Unlike the secrets file, the process can hold a value that no env file can.
    let project = project
        .with("HF_TOKEN", "canary-13-'\"$x")
        .with("COMFYUI_REMOTE_URL", "http://u:canary-14-@box:8188")
        .with("NOT_ASKED_FOR", "canary-15-");
    project.write("config/environments/profiles/canaries.json", PROFILE);
    project.write("config/environments/secrets/local.env", SECRETS);
    project.write("config/environments/components/extra.env", EXTRA);
    project.edit(
        "config/environments/components/runpod.env",
        "[default]\n",
        "[default]\nAPI_KEY=canary-16-\n[other]\nAPI_KEY=canary-17-${\n[third]\n",
    );
    let interface = "config/environments/services/machine.json";
    project.edit(
        interface,
        r#""LOG_LEVEL": "info""#,
        r#""LOG_LEVEL": "info", "MACHINE_QUEUE": "amqp://u:canary-18-@queue", "MACHINE_EXTRA": "x",
           "HF_TOKEN": "canary-20-""#,
    );
    project.edit(
        interface,
        r#""OUTPUT_URL": "STORAGE_URL""#,
        r#""OUTPUT_URL": "STORAGE_URL", "MACHINE_EXTRA": "EXTRA_LIST",
           "MACHINE_DB": "EXTRA_DATABASE_URL", "MACHINE_ALSO": "EXTRA_ALSO",
           "MACHINE_QUEUE": "EXTRA_QUEUE", "MACHINE_SHADOWED": "EXTRA_SHADOWED""#,
    );
    project
}

#[test]
fn a_sound_project_shows_its_secrets_to_nobody() {
    let project = project();
    // A template that is at fault, in a section that nobody takes, is a fault of the file.
    hold_all_still("a faulty section", &project.run("env-build canaries"));
    project.edit("config/environments/components/runpod.env", "canary-17-${", "canary-17-");

    project.ok("env-build canaries");
    run_all(&project, "canaries");
    let gateway = "compose-profile openai:1,replicate:1 --env canaries --name gateway";
    for line in [
        gateway,
        "compose-profile --list",
        "diff simulation",
        "diff simulation --against canaries",
        "env-build simulation",
        "diff canaries",
        "rollback",
        "rollback",
        "compose-profile --remove gateway",
        gateway,
        "check",
    ] {
        hold_all_still(line, &project.run(line));
        hold_all_still(line, &project.run(&format!("{line} --json")));
    }
    project.ok("env-build canaries");
    for what in [
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "API_URL",
        "EXTRA_ALSO",
        "EXTRA_SHADOWED",
        "EXTRA_LIST",
        "EXTRA_DATABASE_URL",
        "REDIS_URL",
        "HUB_REDIS_URL",
        "HF_TOKEN",
        "NOBODY_ASKS_FOR_IT",
        "NOT_ASKED_FOR",
        "RUNPOD_API_KEY",
        "MACHINE_EXTRA",
        "STORAGE_BUCKET",
        "STORAGE_ACCESS_KEY_ID",
        "STORAGE_SECRET_ACCESS_KEY",
        "OUTPUT_URL",
        "COMFYUI_REMOTE_URL",
        "COMFYUI_REMOTE_TOKEN",
        "REPLICATE_API_TOKEN",
        "canaries",
        "openai-worker-0",
        "gateway",
    ] {
        let line = format!("explain {what} --profile canaries");
        hold_all_still(&line, &project.run(&line));
        hold_all_still(&line, &project.run(&format!("{line} --json")));
    }

    let mut public = Vec::new();
    for entry in fs::read_dir(project.root()).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            // Whatever was generated, and what `compose-profile` declared.
            true if path.ends_with(".roster") => public_bytes(&path, &mut public),
            true => public.extend(fs::read(path.join("compose-profiles.json")).unwrap()),
            false if path.ends_with(".env.secret") => {}
            false => public.extend(fs::read(path).unwrap()),
        }
    }
    hold_still("a public file", &String::from_utf8(public).unwrap());

    // They are where they belong, or all of this would show nothing.
    let secret = project.read(".env.secret");
    assert_eq!(seen(&secret).join(" "), "01 02 04 06 07 08 09 11 12 14 16 18");
    let own = fs::read_dir(project.path(".roster/current/secrets"))
        .unwrap()
        .map(|it| fs::read(it.unwrap().path()).unwrap());
    let own = String::from_utf8(own.flatten().collect()).unwrap();
    assert_eq!(seen(&own).join(" "), "01 02 04 06 07 08 09 11 12 13 14 16 18");
}

#[test]
fn a_secret_that_no_env_file_can_hold_is_not_shown_either() {
    let project = project().with("OPENAI_API_KEY", "canary-13-'\"$x");
    project.edit("config/environments/components/runpod.env", "canary-17-${", "canary-17-");
    run_all(&project, "canaries");
    assert!(seen(&project.read(".roster/current/secrets/OPENAI_API_KEY")).contains(&"13"));
    hold_still(".env", &project.read(".env"));
    assert!(project.read(".env.secret").contains("# OPENAI_API_KEY is in a file of its own only"));
    // And neither is a public value.
    let project = project.with("API_URL", "canary-14-'\"$x");
    let answer = project.run("env-build canaries");
    assert!(answer.talk.contains("`API_URL`: the value holds both"), "{}", answer.talk);
    hold_all_still("a value that cannot be written", &answer);
}

/// Documents with a fault beside a secret. Whatever was going to be read after it is not known to be secret yet.
#[test]
fn a_fault_beside_a_secret_does_not_show_it() {
    let profile = "config/environments/profiles/canaries.json";
    let secrets = "config/environments/secrets/local.env";
    let component = "config/environments/components/extra.env";
    let interface = "config/environments/services/machine.json";
    let mapping = "config/service-mapping.json";
    let (key, url) =
        (r#""REPLICATE_API_TOKEN": "canary-01-","#, r#""https://user:canary-02-@api.example.com/v1","#);
    for (file, from, to) in [
        (secrets, "OPENAI_API_KEY=", "OPENAI_API_KEY "),
        (secrets, "OPENAI_API_KEY=", "OPENAI_API_KEY: "),
        (secrets, "OPENAI_API_KEY=", "OPENAI_API_KEY='"),
        (secrets, "=canary-04-", "=\"x\" canary-04-"),
        (secrets, "OPENAI_API_KEY", "canary-19-"),
        (secrets, "NOBODY_ASKS_FOR_IT", "OPENAI_API_KEY"),
        (secrets, "STORAGE_SECRET_ACCESS_KEY='", "STORAGE_SECRET_ACCESS_KEY="),
        (component, "SHADOWED=canary-10-", "canary-10-"),
        (component, "SHADOWED=canary-10-$", "SHADOWED='canary-10-$"),
        (component, "NAMESPACE=EXTRA", "OPENAI_API_KEY=canary-19-"),
        (component, "[two]", "[canary-19-]]"),
        (component, "LIST=", "LIST=${OPENAI_API_KEY:-${canary-19-}}"),
        (component, "LIST=", "LIST=${NOPE:?canary-19-}${OPENAI_API_KEY}"),
        (component, "EXTRA\n\n[one]", "STORAGE\n\n[one]\nACCESS_KEY_ID=${NOPE:?canary-19-}"),
        (component, "LIST=", "LIST=${EXTRA_LIST}${EXTRA_SHADOWED:?canary-19-}"),
        (profile, key, r#""REPLICATE_API_TOKEN": "canary-01-""#),
        (profile, key, r#""REPLICATE_API_TOKEN": canary-01-,"#),
        (profile, key, r#""REPLICATE_API_TOKEN": 'canary-01-',"#),
        (profile, key, r#""REPLICATE_API_TOKEN": "canary-01-,"#),
        (profile, key, r#""REPLICATE_API_TOKEN": "x"canary-01-","#),
        (profile, key, r#"REPLICATE_API_TOKEN: "canary-01-","#),
        (profile, key, r#""REPLICATE_API_TOKEN": ["canary-01-"],"#),
        (profile, key, "\"REPLICATE_API_TOKEN\":\n\"canary-01-\" 1,"),
        (profile, key, "\"REPLICATE_API_TOKEN\":\n[\"canary-01-\"],"),
        (profile, key, r#""REPLICATE_API_TOKEN": "${canary-01-","#),
        (profile, key, r#""REPLICATE_API_TOKEN": "canary-01-", "REPLICATE_API_TOKEN": "canary-19-","#),
        (profile, key, r#""replicate token": "canary-01-","#),
        (profile, url, r#""${NOPE:?canary-19-}${OPENAI_API_KEY}","#),
        (profile, r#""description""#, r#""replicate_api_token": "canary-19-", "description""#),
        (profile, r#""environment": {"#, r#""environment": "canary-19-", "x": {"#),
        (profile, r#""extra": ["one", "two"]"#, r#""extra": ["one", "two", "three"]"#),
        (interface, r#""LOG_LEVEL": "info","#, r#""LOG_LEVEL": "info" "#),
        (interface, r#""amqp://u:canary-18-@queue""#, r#"["canary-18-"]"#),
        (interface, r#""amqp://u:canary-18-@queue""#, r#""x", "AWS_ACCESS_KEY_ID": "canary-18-""#),
        (mapping, r#""OLLAMA_HOST": "${LISTEN}:${PORT}","#, r#""OLLAMA_TOKEN": "canary-19-${NOPE}","#),
        (mapping, r#""OLLAMA_HOST": "${LISTEN}:${PORT}","#, r#""OLLAMA_TOKEN": canary-19-,"#),
    ] {
        let project = project();
        project.edit("config/environments/components/runpod.env", "canary-17-${", "canary-17-");
        project.edit(file, from, to);
        let answer = project.run("env-build canaries");
        hold_all_still(to, &answer);
        assert_ne!(answer.exit.code(), 0, "{to}\n{}", answer.talk);
        hold_all_still(to, &project.run("plan canaries --color always --strict"));
        hold_all_still(to, &project.run("check canaries --json"));
    }
}

#[test]
fn a_secret_beside_the_machine_is_refused_before_it_is_in_the_compose_file() {
    for (environment, found) in [
        (r#"{ "OPENAI_API_KEY": "canary-19-" }"#, "environment/OPENAI_API_KEY"),
        (r#"{ "DB": "postgres://u:canary-19-@db/x" }"#, "environment/DB"),
        (r#"{ "COPY": "Bearer canary-04-" }"#, "environment/COPY"),
    ] {
        let project = project();
        project.edit("config/environments/components/runpod.env", "canary-17-${", "canary-17-");
        let service = format!(
            r#""docker": {{ "additional_services": {{ "x": {{ "image": "x:1.0", "command": ["--url", "redis://:canary-20-@h"],
                "environment": {environment} }} }} }},
               "workers""#
        );
        project.edit("config/environments/profiles/canaries.json", r#""workers""#, &service);
        let answer = project.run("env-build canaries");
        assert_eq!(answer.talk.matches("error[COMP102]").count(), 2, "{}", answer.talk);
        assert!(answer.talk.contains(found) && answer.talk.contains("`command/1`"), "{}", answer.talk);
        assert!(!project.path("docker-compose.yaml").exists());
        run_all(&project, "canaries");
    }
}

#[test]
fn files_of_others_and_edits_are_refused_without_a_word_of_them() {
    let project = project();
    project.edit("config/environments/components/runpod.env", "canary-17-${", "canary-17-");
    project.write(".env", "TOKEN=canary-19-\n");
    run_all(&project, "canaries");
    fs::remove_file(project.path(".env")).unwrap();
    project.ok("env-build canaries");
    fs::remove_file(project.path(".roster/current/.env")).unwrap();
    project.write(".roster/current/.env", "TOKEN=canary-20-\n");
    run_all(&project, "canaries");
    assert_eq!(project.run("env-build canaries").exit.code(), 1);
}
