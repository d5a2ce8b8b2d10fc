//! The verbs one by one: exit codes, what goes where, and what each says.

use std::fs;

use serde_json::Value;
use spec::notes::Exit;

use super::support::{Project, codes, snapshot};

#[test]
fn a_profile_is_named_by_flag_or_by_position() {
    let (one, other) = (Project::shipped(), Project::shipped());
    assert_eq!(one.ok("plan mixed-workload").out, other.ok("plan --profile mixed-workload").out);
    one.ok("env-build mixed-workload");
    other.ok("env-build --profile mixed-workload");
    let contents = |project: &Project| {
        let found = snapshot(project.root()).into_iter();
        found.map(|(path, (mode, _, bytes))| (path, mode, bytes)).collect::<Vec<_>>()
    };
    assert_eq!(contents(&one), contents(&other));
}

#[test]
fn every_exit_code_has_its_case() {
    let project = Project::shipped();
    project.ok("env-build simulation");
    for (line, exit) in [
        ("plan simulation", Exit::Ok),
        ("env-build simulation --check", Exit::Ok),
        ("diff simulation", Exit::Ok),
        ("plan nowhere", Exit::Error),
        ("plan --spec comfyui:0", Exit::Error),
        ("explain nothing-of-that-name", Exit::Error),
        ("diff full-local", Exit::Changes),
        ("diff simulation --against full-local", Exit::Changes),
        ("env-build full-local --check", Exit::Changes),
        ("plan --spec comfyui:1 --gpus 0", Exit::DoesNotFit),
        ("plan --spec comfyui:1 --gpus 1x4GiB", Exit::DoesNotFit),
        ("plan --spec comfyui:4 --gpus 2x24GiB", Exit::Ok),
        ("plan --spec comfyui:4 --gpus 2x24GiB --strict", Exit::DoesNotFit),
        ("env-build api-only", Exit::MissingValue),
        ("plan api-only", Exit::MissingValue),
        ("check api-only", Exit::MissingValue),
        ("check simulation", Exit::Ok),
        // An input that is wrong is mended first, and then a roster that does not fit.
        ("check prod-gpu", Exit::DoesNotFit),
        ("env-build api-only --spec openai:0", Exit::Error),
    ] {
        let document = project.json(line);
        assert_eq!(document["exit"], exit.code(), "{line}: {document}");
        assert_eq!(project.run(line).exit, exit, "{line}");
    }
    assert_eq!(Project::shipped().json("plan")["exit"], Exit::Usage.code());
    assert_eq!(codes(&Project::shipped().json("env-build")), ["CLI001"]);
}

/// [`Project::json`] looks at what every answer has.
#[test]
fn every_verb_answers_in_json_and_keeps_talk_off_standard_output() {
    // Two of them: a verb that changes something does so once in each.
    let (project, twin) = (Project::shipped(), Project::shipped());
    for it in [&project, &twin] {
        it.ok("env-build mixed-workload");
        it.ok("compose-profile simulation:1 --env simulation --name play");
    }
    for (line, data) in [
        ("plan", "Plan "),
        ("ecosystem", "{\n"),
        ("explain image", "the image "),
        ("diff simulation", "- machine "),
        ("env-build", ""),
        ("env-build --check", ""),
        ("check mixed-workload", ""),
        ("compose-profile --list", "play\tsimulation:1\tsimulation\n"),
        ("compose-profile openai:1 --name api", ""),
        ("compose-profile --remove api", ""),
        ("rollback", ""),
        ("completions bash", "_roster()"),
        ("man", ".ie "),
    ] {
        let answer = project.run(line);
        assert_eq!(answer.out.is_empty(), data.is_empty(), "{line}: {}", answer.out);
        assert!(answer.out.starts_with(data), "{line}: {}", answer.out);
        assert!(!answer.out.contains('\u{1b}'), "{line}: colours are for talk");
        let document = twin.json(line);
        assert_eq!(document["exit"], answer.exit.code(), "{line}");
        assert!(document.get("result").is_some(), "{line}");
    }
    for line in ["plan nowhere", "ecosystem --spec x:1", "explain nowhere", "rollback --to 0123456789abcdef"]
    {
        let answer = project.run(line);
        assert_eq!(answer.out, "", "{line}");
        assert!(answer.talk.contains("error"), "{line}");
        assert!(project.json(line).get("result").is_none(), "{line}");
    }
    let ecosystem: Value = serde_json::from_str(&project.ok("ecosystem simulation").out).unwrap();
    assert_eq!(ecosystem["apps"].as_array().unwrap().len(), 8);
    assert_eq!(project.json("ecosystem simulation")["result"], ecosystem);
}

#[test]
fn what_is_shown_is_what_is_written() {
    let project = Project::shipped();
    for profile in ["simulation", "mixed-workload", "dev-full"] {
        let plan = project.json(&format!("plan {profile}"))["result"].clone();
        let ecosystem = project.ok(&format!("ecosystem {profile}")).out;
        project.ok(&format!("env-build {profile}"));
        let written: Value = serde_json::from_str(&project.read(".roster/current/plan.json")).unwrap();
        assert_eq!(plan, written, "{profile}");
        assert_eq!(ecosystem, project.read("ecosystem.json"), "{profile}");
    }
}

#[test]
fn explain_says_why() {
    let project = Project::shipped().with("OPENAI_BASE_URL", "http://127.0.0.1:1/v1");
    project.ok("env-build dev-full");
    for (what, kind, reasons) in [
        (
            "comfyui-worker-0",
            "worker",
            &["comfyui:1 (config/environments/components/worker.env:23:12)", "on gpu0"][..],
        ),
        (
            "dev-full-worker-openai-1",
            "worker",
            &["openai-worker-1", "no GPU", "`shared`", "secret OPENAI_API_KEY"],
        ),
        ("comfyui-gpu0", "service", &["8188 + 1 x instance 0", "comfyui.env:6:11", "8192 of 24576 MiB"]),
        ("playwright-service", "service", &["on the processor", "9190 + 1 x instance 0"]),
        ("8188", "port", &["comfyui-gpu0 runs the service"]),
        ("9090", "port", &["the health server"]),
        ("1", "port", &["nothing of this plan listens on 1"]),
        (
            "OPENAI_BASE_URL",
            "variable",
            &[
                "=> process environment: http://127.0.0.1:1/v1",
                "openai.env:10:1): http://host.docker.internal:11434/v1",
            ],
        ),
        ("OPENAI_API_KEY", "variable", &["=> component `openai`, section [local]", ": [redacted]"]),
        (
            "LOG_LEVEL",
            "variable",
            &["from the variable MACHINE_LOG_LEVEL", "[dev]", "debug", "[default]", ": info"],
        ),
        ("MACHINE_GPU_COUNT", "variable", &["= 1, decided by the plan"]),
        ("full-local", "profile", &["environment axis", "redis = local", "worker axis", "openai:2"]),
        ("image", "image", &["`comfyui-playwright`", "`playwright` because of playwright:1"]),
    ] {
        let document = project.json(&format!("explain {what}"));
        assert_eq!((&document["exit"], &document["result"]["kind"]), (&0.into(), &kind.into()), "{document}");
        let text = project.ok(&format!("explain {what}")).out;
        for reason in reasons {
            assert!(text.contains(reason), "{what} should say {reason:?}:\n{text}");
        }
    }
    // What is missing is explained by what misses it.
    let missing = project.json("explain OPENAI_API_KEY --profile api-gateway");
    assert_eq!((codes(&missing), &missing["exit"]), (vec!["ENV040"], &4.into()));
    let missing = project.json("explain HUB_REDIS_URL --profile api-gateway");
    assert_eq!(codes(&missing), ["ENV021"]);
    // A profile is explained on the hardware that is said.
    assert_eq!(project.run("explain prod-gpu").exit, Exit::DoesNotFit);
    assert!(project.ok("explain prod-gpu --gpus 2x24GiB").out.contains("comfyui:auto"));
    let typo = project.json("explain comfyui-worker-1");
    assert_eq!(typo["findings"][0]["fix"], "did you mean `comfyui-worker-0`?");
}

#[test]
fn every_code_is_explained() {
    let project = Project::shipped();
    for code in planner::codes::all(&[]) {
        for id in [code.id.to_owned(), code.id.to_lowercase()] {
            let text = project.ok(&format!("explain {id}")).out;
            assert!(text.starts_with(&format!("{}: {}\n\n", code.id, code.title)), "{text}");
            assert!(
                text.ends_with(&format!("Exit code {} when it is an error.\n", code.exit.code())),
                "{text}"
            );
        }
    }
}

/// The text of one service in a compose file.
fn service<'a>(compose: &'a str, name: &str) -> &'a str {
    let begin =
        compose.find(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("no {name} in:\n{compose}")) + 1;
    let rest = &compose[begin + 2..];
    let next = rest.match_indices('\n').find(|(at, _)| {
        let line = rest[at + 1..].lines().next().unwrap_or_default();
        !line.starts_with("   ")
    });
    &compose[begin..begin + 2 + next.map_or(rest.len(), |it| it.0)]
}

#[test]
fn named_machines_come_and_go_beside_the_default_one() {
    let project = Project::shipped();
    let own = "services:\n  machine:\n    labels: { mine: 'yes' }\n";
    project.write("docker-compose.override.yaml", own);
    project.ok("env-build mixed-workload");
    let alone = project.read("docker-compose.yaml");

    let told = project.ok("compose-profile comfyui:1,openai:2");
    assert!(told.talk.contains("docker compose --profile comfyui-1-openai-2 up"), "{}", told.talk);
    project.ok("compose-profile simulation:2 --name play --env simulation");
    let both = project.read("docker-compose.yaml");
    for name in ["machine", "redis"] {
        assert_eq!(service(&alone, name), service(&both, name), "{name} stays as it was");
    }
    assert!(service(&both, "play").contains("profiles:\n      - play\n"));
    assert!(project.read(".roster/current/machines/play/.env").contains("WORKER_CONNECTORS=simulation:2"));
    assert!(project.read(".roster/current/machines/play/.env").contains("MACHINE_ID=play"));

    // The same name again replaces it and keeps its environment, and nothing else changes.
    project.ok("compose-profile simulation:3 --name play");
    let replaced = project.read("docker-compose.yaml");
    assert_eq!(service(&both, "comfyui-1-openai-2"), service(&replaced, "comfyui-1-openai-2"));
    assert!(project.read(".roster/current/machines/play/.env").contains("WORKER_CONNECTORS=simulation:3"));
    let listed = project.json("compose-profile --list");
    let machines = listed["result"]["machines"]["machines"].as_object().unwrap();
    assert_eq!(machines.keys().collect::<Vec<_>>(), ["comfyui-1-openai-2", "play"]);
    assert_eq!(machines["play"]["workers"], "simulation:3");

    // Building the default machine anew keeps them; without them the file is what it was.
    assert!(project.ok("env-build mixed-workload").talk.contains("No change"));
    project.ok("compose-profile --remove play");
    project.ok("compose-profile --remove comfyui-1-openai-2");
    assert_eq!(project.read("docker-compose.yaml"), alone);
    assert_eq!(project.run("compose-profile --remove play").exit, Exit::Error);
    assert_eq!(project.ok("compose-profile --list").out, "");
    assert_eq!(project.read("docker-compose.override.yaml"), own);
}

#[test]
fn machines_that_disagree_on_a_shared_service_are_refused() {
    let project = Project::shipped();
    let path = |name: &str| format!("config/environments/profiles/{name}.json");
    for (name, tag) in [("simulation", "1.0"), ("other", "2.0")] {
        let docker = format!(
            "\"docker\": {{ \"additional_services\": {{ \"proxy\": {{ \"image\": \"proxy:{tag}\" }} }} }},\n  \"hardware\""
        );
        let text = Project::shipped().read(&path("simulation")).replace("\"hardware\"", &docker);
        project.write(&path(name), text);
    }
    project.ok("env-build simulation");
    project.ok("compose-profile simulation:1 --name same --env simulation");
    let before = snapshot(project.root());
    let refused = project.run("compose-profile simulation:1 --name odd --env other");
    assert_eq!(refused.exit, Exit::Error);
    assert!(refused.talk.contains("COMP103"), "{}", refused.talk);
    assert_eq!(snapshot(project.root()), before);
}

#[test]
fn a_machine_that_cannot_be_planned_is_not_declared() {
    let project = Project::shipped();
    project.ok("env-build mixed-workload");
    let before = snapshot(project.root());
    for line in [
        "compose-profile comfyui:0",
        "compose-profile bogus:1",
        "compose-profile comfyui:1 --gpus 0",
        "compose-profile comfyui:1 --name machine",
        "compose-profile openai:1 --env api-only",
        "compose-profile openai:1 --env nowhere",
        "compose-profile OpenAI:1",
    ] {
        assert_ne!(project.run(line).exit, Exit::Ok, "{line}");
        assert_eq!(snapshot(project.root()), before, "{line}");
    }
}

#[test]
fn the_process_environment_wins_over_every_document() {
    let project = Project::shipped().with("MACHINE_LOG_LEVEL", "trace").with("COMFYUI_BASE_PORT", "18188");
    project.ok("env-build mixed-workload");
    assert!(project.read(".env").contains("\nLOG_LEVEL=trace\n"));
    assert!(project.read(".roster/current/plan.json").contains("\"http\": 18189"));
    let explained = project.ok("explain COMFYUI_BASE_PORT").out;
    assert!(explained.contains("=> process environment: 18188"), "{explained}");

    let project = Project::shipped().with("OPENAI_API_KEY", "fake-of-the-process");
    project.write("config/environments/secrets/local.env", "OPENAI_API_KEY=fake-of-the-file\n");
    project.ok("env-build mixed-workload");
    assert!(project.read(".env.secret").contains("OPENAI_API_KEY=fake-of-the-process\n"));
}

#[test]
fn workers_are_told_where_their_spans_go() {
    let endpoint = "http://collector:4318";
    let project = Project::shipped().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    project.ok("env-build simulation");
    assert!(project.read(".env").contains("\nOTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318\n"));
    let ecosystem: Value = serde_json::from_str(&project.read("ecosystem.json")).unwrap();
    let workers = ecosystem["apps"].as_array().unwrap().iter().filter(|it| it["roster"]["kind"] == "worker");
    let told: Vec<_> = workers.map(|it| &it["env"]["OTEL_EXPORTER_OTLP_ENDPOINT"]).collect();
    assert_eq!(told, [endpoint; 4]);
}

#[test]
fn workers_are_told_of_the_bucket_for_results_and_its_keys_are_secrets() {
    let project =
        Project::shipped().with("STORAGE_BUCKET", "results").with("STORAGE_ACCESS_KEY_ID", "fake-id");
    let project = project.with("STORAGE_SECRET_ACCESS_KEY", "fake-key").with("EGRESS_HOSTS", "example.com");
    let profile = "config/environments/profiles/simulation.json";
    project.edit(profile, r#""simulation": "default""#, r#""simulation": "default", "storage": "s3""#);
    project.ok("env-build simulation");
    let ecosystem: Value = serde_json::from_str(&project.read("ecosystem.json")).unwrap();
    let workers = ecosystem["apps"].as_array().unwrap().iter().filter(|it| it["roster"]["kind"] == "worker");
    for it in workers {
        assert_eq!(it["env"]["OUTPUT_URL"], "s3://results");
        assert_eq!(
            (&it["env"]["AWS_REGION"], &it["env"]["EGRESS_HOSTS"]),
            (&"us-east-1".into(), &"example.com".into())
        );
        let secrets = it["roster"]["secrets"].to_string();
        assert!(
            secrets.contains("AWS_ACCESS_KEY_ID") && secrets.contains("AWS_SECRET_ACCESS_KEY"),
            "{secrets}"
        );
    }
    assert!(project.read(".env.secret").contains("AWS_SECRET_ACCESS_KEY=fake-key\n"));
    assert!(!ecosystem.to_string().contains("fake-"));
}

#[test]
fn a_port_that_nobody_could_reach_is_not_published_and_that_is_told() {
    let project = Project::shipped();
    let answer = project.ok("env-build dev-full");
    let told = "ports are not published of services that are not told where to listen: `playwright`";
    assert!(answer.talk.contains(told), "{}", answer.talk);
    let compose = project.read("docker-compose.yaml");
    assert!(compose.contains("'127.0.0.1:8188:8188'") && !compose.contains("9190"), "{compose}");
}

#[test]
fn two_names_of_one_roster_that_differ_are_an_error() {
    let both = |one: &str, other: &str| {
        let project = Project::shipped().with("WORKERS", one).with("WORKER_CONNECTORS", other);
        project.json("plan simulation")
    };
    let differ = both("simulation:1", "simulation:2");
    assert_eq!((codes(&differ), &differ["exit"]), (vec!["MACH002"], &1.into()));
    let same = both("simulation:2", "simulation:2");
    assert_eq!((codes(&same), &same["result"]["roster"]), (vec![], &"simulation:2".into()));
    // The profile's section sets one of them, the process the other.
    let project = Project::shipped().with("WORKERS", "simulation:1");
    assert_eq!(codes(&project.json("plan simulation")), ["MACH002"]);
    // What the command line says needs neither.
    assert_eq!(project.json("plan simulation --spec simulation:3")["result"]["roster"], "simulation:3");
}

#[test]
fn a_variable_that_is_not_text_is_an_error_and_names_itself() {
    let mut project = Project::shipped();
    project.environment.insert("OPENAI_API_KEY".parse().unwrap(), None);
    project.environment.insert("WORKER_CONNECTORS".parse().unwrap(), None);
    let told = project.json("env-build mixed-workload");
    assert_eq!(codes(&told), ["ENV026", "ENV026"]);
    assert!(told["findings"][0]["message"].as_str().unwrap().contains("`OPENAI_API_KEY` is not valid UTF-8"));
    // One that nobody asks for does not matter.
    let mut project = Project::shipped();
    project.environment.insert("SOME_OTHER".parse().unwrap(), None);
    project.ok("plan simulation");
}

#[test]
fn an_inventory_may_come_from_a_file_beside_the_command() {
    let project = Project::shipped();
    project.write("two.json", r#"{ "gpus": [{ "vram_mib": 8192 }, { "vram_mib": 8192 }] }"#);
    let plan = project.json("plan --spec comfyui:auto --inventory two.json");
    assert_eq!(plan["result"]["services"].as_array().unwrap().len(), 2);
    fs::remove_file(project.path("two.json")).unwrap();
    assert_eq!(codes(&project.json("plan --spec comfyui:auto --inventory two.json")), ["CONF002"]);
}
