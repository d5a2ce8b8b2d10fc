//! Rosters against the shipped mapping.

use spec::grammar;
use spec::ids::EnvKey;
use spec::model::BuildStage;
use spec::notes::{Fault, Located};
use spec::source::Place;

use super::*;

fn resolved(roster: &str, variables: &[(&str, &str)]) -> Result<Resolved, Vec<Located<ResolveFault>>> {
    let roster = grammar::parse(&SourceText::open("--spec", roster)).unwrap();
    let variable = |key: &EnvKey| -> Option<(String, Place)> {
        let (_, value) = variables.iter().find(|(name, _)| *name == key.as_str())?;
        Some(((*value).to_owned(), SourceText::open("the environment", *value).at(0..value.len())))
    };
    resolve(roster.entries(), &shipped(), &variable, None).map_err(|unresolved| unresolved.faults)
}

fn told<F: Fault>(faults: &[Located<F>]) -> String {
    let mut text = String::new();
    for it in faults {
        let (place, fault) = (it.place.as_ref().unwrap(), &it.fault);
        let (id, label, fix) = (fault.code().id, fault.label(), fault.fix());
        writeln!(text, "{place} {id} {fault}\n    {} <- {label}\n    = {fix}", place.text()).unwrap();
    }
    text
}

macro_rules! stage {
    ($($roster:literal => $stage:literal,)*) => {
        $(assert_eq!(resolved($roster, &[]).unwrap().workload.stage.name.as_str(), $stage, "{}", $roster);)*
    };
}

#[test]
fn the_stage_is_the_smallest_that_has_all_local_services() {
    stage! {
        "openai:10,replicate:5" => "base",
        "simulation:2" => "base",
        "comfyui:4" => "comfyui",
        "comfyui:1,comfyui-websocket:1" => "comfyui",
        "comfyui:2,openai:4" => "comfyui",
        "a1111:auto" => "a1111",
        "playwright:1" => "playwright",
        "ollama:1,simulation:1" => "ollama",
        "comfyui:2,openai:6,playwright:1" => "comfyui-playwright",
        "comfyui-remote:2" => "base",
    }
}

#[test]
fn a_stage_has_a_reason_for_each_local_service() {
    let resolved = resolved("comfyui:2,openai:6,comfyui-websocket:1,playwright:1", &[]).unwrap();
    let mut reasons = String::new();
    for (service, causes) in stage_reasons(&resolved.workload) {
        let causes: Vec<String> = causes.iter().map(|it| format!("{} at {}", it.entry, it.place)).collect();
        writeln!(reasons, "{service}: {}", causes.join(", ")).unwrap();
    }
    assert_snapshot!(reasons, @r"
    comfyui: comfyui:2 at --spec:1:1, comfyui-websocket:1 at --spec:1:20
    playwright: playwright:1 at --spec:1:40
    ");
}

#[test]
fn entries_of_one_service_share_it() {
    let demands =
        resolved("comfyui:2,comfyui-websocket:1", &[("COMFYUI_BASE_PORT", "9200")]).unwrap().workload.demands;
    assert!(std::sync::Arc::ptr_eq(&demands[0].service, &demands[1].service));
}

#[test]
fn a_variable_moves_the_base_and_is_named_as_its_origin() {
    let moved =
        resolved("playwright:1", &[("PLAYWRIGHT_BASE_PORT", "9300"), ("COMFYUI_BASE_PORT", "x")]).unwrap();
    let rule = &moved.workload.demands[0].service.local().unwrap().ports[0];
    assert_eq!(
        (rule.base, rule.port_of(1), rule.base_from.to_string()),
        (9300, Some(9301), "the environment:1:1".into())
    );
}

#[test]
fn a_value_that_is_no_port_is_refused() {
    for wrong in ["", "0", "65536", "+9300", "-1", " 9300", "9300 ", "9e3", "٩٣٠٠", "http"] {
        let faults = resolved("playwright:1,openai:1", &[("PLAYWRIGHT_BASE_PORT", wrong)]).unwrap_err();
        assert!(matches!(&faults[..], [Located { fault: ResolveFault::NotAPort { .. }, .. }]), "{wrong:?}");
    }
}

#[test]
fn a_guarded_value_is_not_quoted() {
    let roster = grammar::parse(&SourceText::open("--spec", "playwright:1")).unwrap();
    let variable =
        |_: &EnvKey| Some(("canary".to_owned(), SourceText::guarded(".env.secret", "canary").whole()));
    let faults = resolve(roster.entries(), &shipped(), &variable, None).unwrap_err().faults;
    assert!(!format!("{} {faults:?}", told(&faults)).contains("`canary`"), "{faults:?}");
}

#[test]
fn the_old_form_is_understood_and_rewritten() {
    let resolved = resolved("openai:10:shared,comfyui:1:gpu,playwright:1:cpu", &[]).unwrap();
    assert_snapshot!(told(&resolved.advice), @r"
    --spec:1:11 MAP110 the third part `shared` says nothing new
        shared <- the old form
        = write `openai:10`
    --spec:1:28 MAP110 the third part `gpu` says nothing new
        gpu <- the old form
        = write `comfyui:1`
    --spec:1:45 MAP110 the third part `cpu` says nothing new
        cpu <- the old form
        = write `playwright:1`
    ");
}

#[test]
fn all_faults_come_at_once() {
    let variables = [("COMFYUI_BASE_PORT", "81880"), ("A1111_BASE_PORT", "")];
    let faults = resolved("comfyiu:2,openai:4:gpu,comfyui:1,webui:1,a1111:1:cpu", &variables).unwrap_err();
    assert_snapshot!(told(&faults), @r"
    --spec:1:1 MAP101 no worker is named `comfyiu`
        comfyiu <- not in the service mapping
        = did you mean `comfyui`? the service mapping has: `a1111`, `comfyui`, `comfyui-remote`, `comfyui-websocket`, `ollama`, `openai`, `playwright`, `replicate`, `runpod`, `simulation`
    --spec:1:20 MAP102 `openai` is bound to `shared` in the service mapping, not to `gpu`
        gpu <- contradicts the service mapping
        = write `openai:4`; the service mapping knows the binding
    the environment:1:1 MAP103 `COMFYUI_BASE_PORT` is `81880`, which is not a port
        81880 <- not a port
        = set it to a number from 1 to 65535, or unset it for 8188
    --spec:1:34 MAP101 no worker is named `webui`
        webui <- not in the service mapping
        = the service mapping has: `a1111`, `comfyui`, `comfyui-remote`, `comfyui-websocket`, `ollama`, `openai`, `playwright`, `replicate`, `runpod`, `simulation`
    the environment:1:1 MAP103 `A1111_BASE_PORT` is empty, which is not a port
         <- not a port
        = set it to a number from 1 to 65535, or unset it for 7860
    --spec:1:50 MAP102 `a1111` is bound to `gpu` in the service mapping, not to `cpu`
        cpu <- contradicts the service mapping
        = write `a1111:1`; the service mapping knows the binding
    --spec:1:42 MAP104 no build stage has all the services of the roster: `comfyui:1` (service `comfyui`) needs the stage `comfyui`; `a1111:1` (service `a1111`) needs the stage `a1111`
        a1111:1:cpu <- does not go with the entries before it
        = split the roster over 2 machines: `openai:4,comfyui:1` and `a1111:1`
    ");
}

#[test]
fn services_without_a_common_stage_are_split() {
    let faults =
        resolved("openai:4,comfyui:2,a1111:1,ollama:auto,replicate:2,playwright:1", &[]).unwrap_err();
    assert_snapshot!(told(&faults), @r"
    --spec:1:20 MAP104 no build stage has all the services of the roster: `comfyui:2` (service `comfyui`) and `playwright:1` (service `playwright`) need the stage `comfyui-playwright`; `a1111:1` (service `a1111`) needs the stage `a1111`; `ollama:auto` (service `ollama`) needs the stage `ollama`
        a1111:1 <- does not go with the entries before it
        = split the roster over 3 machines: `openai:4,comfyui:2,replicate:2,playwright:1` and `a1111:1` and `ollama:auto`
    ");
}

#[test]
fn the_advice_to_split_is_true() {
    let roster = "ollama:1,playwright:1,a1111:1,comfyui:1,openai:1,simulation:1";
    let faults = resolved(roster, &[]).unwrap_err();
    let [Located { fault: ResolveFault::Incompatible(wants), .. }] = &faults[..] else {
        panic!("{faults:?}")
    };
    for want in wants {
        assert_eq!(resolved(&want.roster, &[]).unwrap().workload.stage.name, want.stage);
    }
    let split: usize = wants.iter().map(|it| it.roster.split(',').count()).sum();
    assert_eq!((wants.len(), split), (3, 6));
}

#[test]
fn every_choice_of_services_gets_the_smallest_stage_or_a_true_refusal() {
    let catalog = shipped();
    let locals = ["comfyui", "a1111", "playwright", "ollama", "simulation"];
    for choice in 1_usize..1 << locals.len() {
        let chosen: Vec<&str> =
            (0..locals.len()).filter(|it| choice >> it & 1 == 1).map(|it| locals[it]).collect();
        let roster: Vec<String> = chosen.iter().map(|it| format!("{it}:1")).collect();
        let fits = |stage: &&BuildStage| chosen.iter().all(|it| stage.provides.contains(*it));
        let least = catalog.stages.values().filter(fits).map(|it| it.provides.len()).min();
        let stage = resolved(&roster.join(","), &[]).ok().map(|it| it.workload.stage);
        assert!(stage.iter().all(|it| fits(&it)), "{chosen:?}");
        assert_eq!(stage.map(|it| it.provides.len()), least, "{chosen:?}");
    }
}

#[test]
fn a_build_target_must_be_known_and_provide_everything() {
    let source = SourceText::open("profile.json", "comfyui");
    let roster = grammar::parse(&SourceText::open("--spec", "openai:1,comfyui:2")).unwrap();
    let told = |stage: &str| {
        let target = (stage.parse().unwrap(), source.at(0..7));
        let resolved = resolve(roster.entries(), &shipped(), &|_| None, Some(&target));
        resolved.map(|it| it.workload.stage.name.to_string()).map_err(|it| told(&it.faults))
    };
    assert_eq!(told("comfyui-playwright"), Ok("comfyui-playwright".into()));
    assert_snapshot!(told("base").unwrap_err(), @r"
    profile.json:1:1 MAP105 the build stage `base` does not provide `comfyui`
        comfyui <- lacks a service of the roster
        = remove `build_target`: the smallest stage that provides all is found
    ");
    assert_snapshot!(told("comfyiu").unwrap_err(), @r"
    profile.json:1:1 MAP105 no build stage is named `comfyiu`
        comfyui <- not in the service mapping
        = did you mean `comfyui`?
    ");
}

#[test]
fn what_was_understood_is_there_beside_the_faults() {
    let roster = grammar::parse(&SourceText::open("--spec", "webui:1,comfyui:2:cpu,openai:1")).unwrap();
    let unresolved = resolve(roster.entries(), &shipped(), &|_| None, None).unwrap_err();
    let understood = unresolved.understood.unwrap();
    let names: Vec<String> = understood.demands.iter().map(|it| it.worker.name.to_string()).collect();
    assert_eq!((unresolved.faults.len(), names), (2, vec!["comfyui".to_owned(), "openai".to_owned()]));
}
