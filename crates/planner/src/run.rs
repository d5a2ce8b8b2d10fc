//! One run of a verb: what every verb needs, and the way from verb to answer.

use std::path::PathBuf;

use spec::ids::MachineId;
use spec::notes::{Code, Exit, Fault, Finding, Located};
use spec::source::SourceText;

use crate::answer::{Answer, Look, Told};
use crate::cli::{Color, Common, Flags, Verb};
use crate::generations::Store;
use crate::layout::Layout;
use crate::manifest::{self, ComposeProfiles, Manifest};
use crate::pipeline::{Identity, Setup};
use crate::redact::Redactor;
use crate::request::Request;
use crate::verbs;
use crate::world::World;

/// Runs a verb. `command` is the program's whole command line, for completions and manual pages.
pub fn run(verb: Verb, world: &World, command: &dyn Fn() -> clap::Command) -> Answer {
    let common = verb.common().clone();
    let strict = match &verb {
        Verb::Plan { choice, .. }
        | Verb::Diff { choice, .. }
        | Verb::EnvBuild { choice, .. }
        | Verb::Ecosystem { choice, .. }
        | Verb::Check { choice, .. } => choice.flags.strict,
        Verb::Explain { choice, .. } => choice.strict,
        _ => false,
    };
    let look = Look { json: common.json, plain: common.color == Color::Never, strict };
    let run = |act: &dyn Fn(&Run<'_>) -> Answer| match Run::begin(&common, world) {
        Ok((layout, store)) => act(&Run { layout: &layout, store, world, look }),
        Err(finding) => Told::<()>::failed(vec![*finding], Redactor::default()).answer(look),
    };
    match verb {
        Verb::Plan { choice, .. } => {
            run(&|it| verbs::plan::plan(it, &choice.clone().into_flags()).answer(look))
        }
        Verb::Ecosystem { choice, .. } => {
            run(&|it| verbs::plan::ecosystem(it, &choice.clone().into_flags()).answer(look))
        }
        Verb::Explain { what, choice, .. } => match verbs::explain::code(&what, world.codes) {
            Some(told) => told.answer(look),
            None => run(&|it| verbs::explain::explain(it, &what, &choice).answer(look)),
        },
        Verb::Diff { choice, against, .. } => {
            run(&|it| verbs::diff::diff(it, &choice.clone().into_flags(), against.as_ref()).answer(look))
        }
        Verb::EnvBuild { choice, force, check, .. } => run(&|it| {
            verbs::env_build::env_build(it, &choice.clone().into_flags(), force, check).answer(look)
        }),
        Verb::ComposeProfile { roster, name, env, remove, list, hardware, force, .. } => {
            let asked = verbs::compose_profile::Asked::of(roster, name, env, remove, list, hardware, force);
            run(&|it| verbs::compose_profile::compose_profile(it, &asked).answer(look))
        }
        Verb::Check { choice, .. } => {
            run(&|it| verbs::check::check(it, &choice.clone().into_flags()).answer(look))
        }
        Verb::Rollback { to, .. } => run(&|it| verbs::rollback::rollback(it, to.as_ref()).answer(look)),
        Verb::Completions { shell, .. } => verbs::manual::completions(shell, command()).answer(look),
        Verb::Man { dir, .. } => verbs::manual::man(dir.as_deref(), command()).answer(look),
    }
}

/// What every verb that reads the project needs.
pub(crate) struct Run<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) store: Store,
    pub(crate) world: &'a World,
    pub(crate) look: Look,
}

impl Run<'_> {
    fn begin(common: &Common, world: &World) -> Result<(Layout, Store), Box<Finding>> {
        let at = |path: &PathBuf| world.directory.join(path);
        let start = common.root.as_ref().map_or_else(|| world.directory.clone(), at);
        let layout =
            Layout::find(&start).map_err(|error| Box::new(Finding::error(Located::nowhere(error))))?;
        let out = common.out.as_ref().map_or_else(|| layout.root().to_owned(), at);
        Ok((layout, Store::new(out)))
    }

    /// The mapping.
    pub(crate) fn setup(&self) -> Result<Setup<'_>, Vec<Finding>> {
        Setup::read(self.layout, self.world)
    }

    /// What every verb that plans a whole project needs, or every reason why it is not there.
    pub(crate) fn project(
        &self,
        flags: &Flags,
    ) -> Result<(Setup<'_>, Request, ComposeProfiles), Vec<Finding>> {
        match (self.setup(), self.request(flags), self.compose_profiles()) {
            (Ok(setup), Ok(request), Ok(profiles)) => Ok((setup, request, profiles)),
            (setup, request, profiles) => {
                Err([setup.err(), request.err(), profiles.err()].into_iter().flatten().flatten().collect())
            }
        }
    }

    /// What the command line asks for; what the generation in force was made from when it asks for nothing.
    pub(crate) fn request(&self, flags: &Flags) -> Result<Request, Vec<Finding>> {
        let mut request = Request::of(flags, &self.world.directory)?;
        if request.is_unsaid() {
            let Some(built) = self.manifest()?.default else {
                return Err(vec![Finding::error(Located::nowhere(NothingChosen))]);
            };
            let hardware = request.hardware.take().or(built.hardware.clone());
            request = Request { hardware, ..built };
        }
        Ok(request)
    }

    /// What the generation in force was made from; nothing when there is none.
    pub(crate) fn manifest(&self) -> Result<Manifest, Vec<Finding>> {
        let loaded =
            self.store.load_current().map_err(|error| vec![Finding::error(Located::nowhere(error))])?;
        let Some(artefact) = loaded.get(manifest::PATH) else { return Ok(Manifest::default()) };
        let source = SourceText::open(manifest::PATH, String::from_utf8_lossy(&artefact.bytes));
        Ok(spec::document::read::<Manifest>(&source).map_err(spec::notes::errors)?.value)
    }

    /// The declared compose profiles.
    pub(crate) fn compose_profiles(&self) -> Result<ComposeProfiles, Vec<Finding>> {
        let source =
            self.layout.compose_profiles().map_err(|error| vec![Finding::error(Located::nowhere(error))])?;
        let Some(source) = source else { return Ok(ComposeProfiles::default()) };
        let document = spec::document::read::<ComposeProfiles>(&source).map_err(spec::notes::errors)?;
        Ok(document.value)
    }

    /// The identity of a named machine.
    pub(crate) fn named(name: &spec::ids::ServiceName) -> Identity {
        let id: MachineId = name.as_str().parse().expect("a service's name is a machine's id");
        Identity::Named(id)
    }
}

/// Nothing to plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a profile nor a roster is chosen")]
struct NothingChosen;

impl Fault for NothingChosen {
    fn code(&self) -> Code {
        NOTHING_CHOSEN
    }
    fn fix(&self) -> String {
        "say `--profile mixed-workload`, or `--spec comfyui:2,openai:4`".into()
    }
}

/// Nothing to plan.
pub(crate) const NOTHING_CHOSEN: Code = Code {
    id: "CLI001",
    title: "neither a profile nor a roster is chosen",
    exit: Exit::Usage,
    explanation: "Wherever a plan is made, it is made of a profile (`--profile P`, or `P` alone) or of a bare roster \
(`--spec ROSTER`). Left out, it is what the generation in force was built from; there is none yet.\n\nMend it: \
`config/environments/profiles/` holds the profiles.",
};
