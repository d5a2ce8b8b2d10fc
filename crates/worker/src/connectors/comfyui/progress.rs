//! How far a whole prompt is, from what the server says of its nodes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::events::{Event, part};

/// Steps of a sampler that does not say how many it makes.
const STEPS: f64 = 20.0;
/// The most that one node weighs.
const HEAVIEST: f64 = 100.0;

#[derive(Debug)]
struct Node {
    class: String,
    weight: f64,
    /// How much of it is done, from 0 to 1.
    part: f64,
}

/// The nodes of a prompt, weighed: a sampler weighs as much as its steps, everything else 1.
#[derive(Debug)]
pub(super) struct Overall {
    nodes: BTreeMap<String, Node>,
    current: Option<String>,
    step: Option<(f64, f64)>,
    /// In percent. It never falls, whatever comes late or twice.
    percent: f64,
}

impl Overall {
    pub(super) fn new(workflow: &Map<String, Value>) -> Self {
        let node = |it: &Value| Node {
            class: it["class_type"].as_str().unwrap_or_default().to_owned(),
            weight: weight(it),
            part: 0.0,
        };
        let nodes = workflow.iter().map(|(id, it)| (id.clone(), node(it))).collect();
        Self { nodes, current: None, step: None, percent: 0.0 }
    }

    /// The node that is being executed.
    pub(super) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// Whether all of a node is done.
    pub(super) fn is_done(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|it| it.part >= 1.0)
    }

    /// Takes a message into account, and says how far the prompt is, in percent, and what it is at.
    pub(super) fn apply(&mut self, event: &Event) -> Option<(f64, String)> {
        match event {
            Event::Cached(nodes) => nodes.iter().for_each(|it| self.reach(it, 1.0)),
            Event::Nodes(nodes) => nodes.iter().for_each(|(node, part)| self.reach(node, *part)),
            Event::Executing(node) => {
                // One node at a time: what was executed before is done.
                if let Some(before) = self.current.replace(node.clone()).filter(|it| it != node) {
                    self.reach(&before, 1.0);
                }
                self.step = None;
            }
            Event::Step { node, value, max } => {
                self.reach(node, part(*value, *max));
                self.step = Some((*value, *max)).filter(|_| self.current() == Some(node));
            }
            Event::Executed(node) => self.reach(node, 1.0),
            Event::Over | Event::Image { .. } | Event::Other => return None,
        }
        let total: f64 = self.nodes.values().map(|it| it.weight).sum();
        let done: f64 = self.nodes.values().map(|it| it.weight * it.part).sum();
        // All of it is done when the history says so.
        self.percent = self.percent.max((part(done, total) * 100.0).min(99.0));
        Some((self.percent, self.words()))
    }

    /// Nodes that a node makes of itself while it runs are not among those of the workflow, and count as part of it.
    fn reach(&mut self, node: &str, part: f64) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.part = node.part.max(part);
        }
    }

    fn words(&self) -> String {
        let Some(id) = self.current() else { return "beginning".into() };
        let class = self.nodes.get(id).map_or("", |it| it.class.as_str());
        match self.step {
            Some((value, max)) => format!("node {id} ({class}): {value:.0} of {max:.0}"),
            None => format!("node {id} ({class})"),
        }
    }
}

/// A node that makes an image of noise, step by step, takes a latent image; nothing else takes as long.
fn weight(node: &Value) -> f64 {
    if node["inputs"]["latent_image"].is_null() {
        return 1.0;
    }
    node["inputs"]["steps"].as_f64().unwrap_or(STEPS).clamp(1.0, HEAVIEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn overall() -> Overall {
        let workflow = json!({
            "1": { "class_type": "CheckpointLoaderSimple", "inputs": {} },
            "2": { "class_type": "KSampler", "inputs": { "steps": 8, "latent_image": ["3", 0] } },
            "3": { "class_type": "SaveImage", "inputs": {} }
        });
        Overall::new(workflow.as_object().unwrap())
    }

    #[test]
    fn a_sampler_weighs_as_much_as_its_steps() {
        let mut it = overall();
        let mut told = Vec::new();
        for event in [
            Event::Cached(vec![]),
            Event::Executing("1".into()),
            Event::Executing("2".into()),
            Event::Step { node: "2".into(), value: 4.0, max: 8.0 },
            Event::Nodes(vec![("1".into(), 1.0), ("2".into(), 0.25), ("2.0.1".into(), 1.0)]),
            Event::Executing("3".into()),
            Event::Executed("3".into()),
        ] {
            let (percent, words) = it.apply(&event).unwrap();
            told.push(format!("{percent:.0} {words}"));
        }
        insta::assert_snapshot!(told.join("\n"), @"
        0 beginning
        0 node 1 (CheckpointLoaderSimple)
        10 node 2 (KSampler)
        50 node 2 (KSampler): 4 of 8
        50 node 2 (KSampler): 4 of 8
        90 node 3 (SaveImage)
        99 node 3 (SaveImage)
        ");
    }

    fn event() -> impl Strategy<Value = Event> {
        let node = || prop::sample::select(vec!["1", "2", "3", "2.0.1", "9"]).prop_map(str::to_owned);
        let value = || prop_oneof![-2.0..30.0, Just(f64::NAN), Just(f64::INFINITY)];
        prop_oneof![
            prop::collection::vec(node(), 0..3).prop_map(Event::Cached),
            prop::collection::vec((node(), 0.0..=1.0), 0..3).prop_map(Event::Nodes),
            node().prop_map(Event::Executing),
            (node(), value(), value()).prop_map(|(node, value, max)| Event::Step { node, value, max }),
            node().prop_map(Event::Executed),
            Just(Event::Other),
        ]
    }

    proptest! {
        #[test]
        fn progress_never_falls_and_never_says_that_all_is_done(events in prop::collection::vec(event(), 0..60)) {
            let (mut it, mut last) = (overall(), 0.0);
            for event in &events {
                if let Some((percent, _)) = it.apply(event) {
                    prop_assert!((last..=99.0).contains(&percent), "{percent} after {last}");
                    last = percent;
                }
            }
        }
    }
}
