//! A world in memory against which plans are carried out, cut short and made again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use spec::model::PythonNeeds;

use super::*;
use crate::manifest::{Model, Node, OnFailure, Revision, Source};

/// What a node is like: with variables, with requirements, with a script.
type Shape = (bool, bool, bool);

fn manifest(version: u8, nodes: &[Shape], models: usize, python: bool) -> Manifest {
    let url = |name: &str| format!("https://h/{name}").parse().unwrap();
    let node = |(number, (env, requirements, script)): (usize, &Shape)| Node {
        name: format!("n{number}").parse().unwrap(),
        url: url(&format!("n{number}")),
        revision: Revision::Head,
        recursive: false,
        requirements: *requirements,
        script: script.then(|| "set.sh".parse().unwrap()),
        env: if *env { vec![("A".parse().unwrap(), "1".into())] } else { Vec::new() },
        on_failure: OnFailure::Fail,
    };
    let model = |number: usize| Model {
        name: format!("m{number}").parse().unwrap(),
        folder: "vae".parse().unwrap(),
        urls: Vec::new(),
        sha256: format!("{number:064}").parse().unwrap(),
        size: 10,
    };
    Manifest {
        service: "comfyui".parse().unwrap(),
        workspace: PathBuf::from("/w"),
        source: Source::Git {
            url: url("core"),
            revision: Revision::Branch(format!("v{version}").parse().unwrap()),
            recursive: false,
        },
        python: python.then(|| PythonNeeds { requirements: vec!["r.txt".into()], packages: Vec::new() }),
        commands: vec![vec!["true".into()]],
        nodes_folder: Some("custom_nodes".parse().unwrap()),
        nodes: nodes.iter().enumerate().map(node).collect(),
        models_folder: Some("/w/models".into()),
        models: (0..models).map(model).collect(),
        paths_file: Some(("/w/paths.yaml".into(), String::new())),
        directories: vec!["/w/user".into()],
        tokens: BTreeMap::new(),
        probe: vec!["true".into()],
    }
}

/// What the disk holds: what is seen of it depends on what is asked for.
#[derive(Clone, Default, Debug)]
struct Disk {
    lock: Lock,
    seen: Observed,
}

impl Disk {
    fn observe(&mut self, manifest: &Manifest) -> Observed {
        self.seen.models.resize(manifest.models.len(), ModelState::default());
        // Which `.env` is looked at depends on the build.
        let build = manifest.build(&self.lock);
        let receipts = self.seen.builds.get(&build).cloned().unwrap_or_default();
        let mut seen = self.seen.clone();
        seen.variables.retain(|name, _| receipts.contains_key(&format!("variables/{name}")));
        for receipts in seen.builds.values_mut() {
            receipts.retain(|it, _| !it.starts_with("variables/"));
        }
        seen
    }

    /// Does a step as the real thing does, and holds it to what must never happen.
    fn carry_out(&mut self, manifest: &Manifest, step: &Step) {
        let build = manifest.build(&self.lock);
        let mut note = |it: String| {
            self.seen.builds.entry(build.clone()).or_default().insert(it, Outcome::Done);
        };
        match step {
            Step::Fetch(unit) => {
                let wanted = manifest.wanted(unit).unwrap();
                let found =
                    self.lock.pin(manifest, unit).map_or_else(|| "c".repeat(40), |it| it.found.clone());
                self.seen.fetched.insert(unit.clone(), Pin { wanted, found });
            }
            Step::Place(unit) => {
                assert!(self.seen.fetched.remove(unit).is_some(), "only what was fetched is placed");
                note(step.receipt().unwrap());
            }
            Step::Environment | Step::Requirements(_) | Step::Script(_) | Step::Command(_) | Step::Probe => {
                note(step.receipt().unwrap());
            }
            Step::Variables(name) => {
                note(format!("variables/{name}"));
                self.seen.variables.insert(name.clone(), true);
            }
            Step::Directories => self.seen.directories = true,
            Step::ModelPaths => self.seen.model_paths = true,
            Step::Download(number) => self.seen.models[*number].stored = true,
            Step::Show(number) => {
                assert!(self.seen.models[*number].stored, "only what is whole is shown");
                self.seen.models[*number].shown = true;
            }
            Step::Switch => {
                assert!(self.seen.builds[&build].contains_key("probe"), "only what works is switched to");
                assert!(self.seen.models.iter().all(|it| it.shown), "and only with its models");
                self.seen.previous = self.seen.current.replace(build);
            }
            Step::Remove(other) => {
                let kept = [self.seen.current.as_ref(), self.seen.previous.as_ref()];
                assert!(!kept.contains(&Some(other)), "what is started, or gone back to, stays");
                self.seen.builds.remove(other);
            }
        }
    }

    /// Everything up to the end, or up to `most` steps. The lock is written when all is fetched, as the real thing does.
    fn run(&mut self, manifest: &Manifest, most: usize) -> usize {
        let mut done = 0;
        let mut fetching = true;
        loop {
            let seen = self.observe(manifest);
            let steps = plan(manifest, &self.lock, &seen);
            let step =
                if fetching { steps.iter().find(|it| matches!(it, Step::Fetch(_))) } else { steps.first() };
            let Some(step) = step else {
                if !fetching {
                    return done;
                }
                fetching = false;
                for (unit, pin) in seen.fetched {
                    if Some(&pin.wanted) == manifest.wanted(&unit).as_ref()
                        && self.lock.pin(manifest, &unit).is_none()
                    {
                        self.lock.set(&unit, pin);
                    }
                }
                continue;
            };
            if done == most {
                return done;
            }
            self.carry_out(manifest, step);
            done += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any order of manifests, each cut short anywhere any number of times, leads to everything being there.
    #[test]
    fn a_plan_that_was_carried_out_is_followed_by_an_empty_one(
        runs in prop::collection::vec((0..3_u8, prop::collection::vec(any::<Shape>(), 0..4), any::<bool>(), 0..40_usize), 1..8),
        models in 0..4_usize,
    ) {
        let mut disk = Disk::default();
        for (version, nodes, python, most) in &runs {
            let manifest = manifest(*version, nodes, models, *python);
            disk.run(&manifest, *most);
        }
        let (version, nodes, python, _) = runs.last().unwrap();
        let manifest = manifest(*version, nodes, models, *python);
        let done = disk.run(&manifest, usize::MAX);
        let seen = disk.observe(&manifest);
        prop_assert_eq!(plan(&manifest, &disk.lock, &seen), []);
        prop_assert_eq!(seen.current, Some(manifest.build(&disk.lock)));
        prop_assert!(seen.builds.len() <= 2);
        prop_assert!(done < 60, "and in the end nothing is done twice");
        prop_assert!(disk.seen.models.iter().all(|it| it.stored && it.shown));
    }

    #[test]
    fn equal_inputs_have_equal_plans_and_names(nodes in prop::collection::vec(any::<Shape>(), 0..4)) {
        let one = manifest(1, &nodes, 2, true);
        let other = manifest(2, &nodes, 2, true);
        let (lock, seen) = (Lock::default(), Observed::default());
        prop_assert_eq!(plan(&one, &lock, &seen), plan(&one.clone(), &lock.clone(), &seen.clone()));
        prop_assert_ne!(one.build(&lock), other.build(&lock));
    }
}

#[test]
fn the_steps_of_a_first_install() {
    let manifest = manifest(1, &[(true, true, true), (false, false, false)], 1, true);
    let steps = plan(&manifest, &Lock::default(), &Observed::default());
    let told: Vec<String> = steps.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    fetch core
    fetch node/n0
    fetch node/n1
    place core
    place node/n0
    place node/n1
    environment
    requirements of core
    requirements of node/n0
    script of node/n0
    command 1
    variables of node/n0
    directories
    model paths
    download 1
    show 1
    probe
    switch
    ");
}
