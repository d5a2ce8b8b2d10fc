//! What can be wrong with a mapping whose form is right.

use spec::ids::{EnvKey, PortName, ServiceName, StageName};
use spec::model::{Binding, HEALTH_PORT};
use spec::notes::{Code, Fault};
use spec::template::TemplateFault;

use crate::codes;

/// A flaw and the JSON path of where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {flaw}")]
pub struct MappingFault {
    /// `services.comfyui.ports[0]`.
    pub path: String,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// One thing that is wrong. `other` is always the JSON path of the other party.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A token that everybody could read.
    #[error("`{key}` is a token, and not among the secrets of the service")]
    TokenNotSecret {
        /// The variable.
        key: EnvKey,
    },
    /// A name of nothing.
    #[error("no {kind} is named `{name}`")]
    UnknownReference {
        /// `service`, `stage`, `port`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The name that was probably meant.
        meant: Option<String>,
        /// What exists.
        known: Vec<String>,
    },
    /// A stage that starts from itself, through others or not.
    #[error("the stage starts from itself: {}", join(through, " from "))]
    StageCycle {
        /// The way round, beginning and ending with the same stage.
        through: Vec<StageName>,
    },
    /// A service of no worker.
    #[error("no worker works on this service")]
    DeadService,
    /// A stage that is the smallest for nothing.
    #[error("nothing ever needs this stage: `{instead}` provides the same")]
    DeadStage {
        /// The stage that is always chosen instead.
        instead: StageName,
    },
    /// A port that no process and no probe hears of.
    #[error("neither `start` nor a probe mentions the port `{port}`")]
    DeadPort {
        /// The port.
        port: PortName,
    },
    /// A field that services of this binding need.
    #[error("a service with the binding `{binding}` needs `{field}`")]
    FieldNeeded {
        /// The service's binding.
        binding: Binding,
        /// The field.
        field: &'static str,
    },
    /// A field that means nothing for services of this binding.
    #[error("a service with the binding `{binding}` cannot have `{field}`")]
    FieldForbidden {
        /// The service's binding.
        binding: Binding,
        /// The field.
        field: &'static str,
    },
    /// A secret that nobody reads.
    #[error("the secret `{key}` is in neither `required_env` nor `optional_env`")]
    SecretUndeclared {
        /// The variable.
        key: EnvKey,
    },
    /// Required and optional at once.
    #[error("`{key}` is in both `required_env` and `optional_env`")]
    RequiredAndOptional {
        /// The variable.
        key: EnvKey,
    },
    /// A secret in one entry and public in another.
    #[error("`{key}` is no secret here, but is one in `{other}`")]
    SecretElsewhere {
        /// The variable.
        key: EnvKey,
        /// Where it is a secret.
        other: String,
    },
    /// A variable whose value is not the mapping's to set.
    #[error("`{key}` is set by {setter}")]
    VariableTaken {
        /// The variable.
        key: EnvKey,
        /// Who sets it.
        setter: &'static str,
    },
    /// A probe that cannot see a service of this hosting.
    #[error("a service {place} cannot be seen by the probe `{probe}`")]
    ProbeMisfit {
        /// `on this machine` or `elsewhere`.
        place: &'static str,
        /// The probe's word.
        probe: &'static str,
    },
    /// A probe of a variable that its service does not declare.
    #[error("the probe reads `{key}`, which is in neither list of the service")]
    ProbeVariable {
        /// The variable.
        key: EnvKey,
    },
    /// A build stage without its service.
    #[error("the stage `{stage}` does not provide `{service}`")]
    StageLacks {
        /// The stage.
        stage: StageName,
        /// The service that names it.
        service: ServiceName,
    },
    /// A build stage that is larger than its service needs.
    #[error("the stage `{smaller}` provides `{service}` and is smaller")]
    StageNotSmallest {
        /// The stage that is always chosen.
        smaller: StageName,
        /// The service.
        service: ServiceName,
    },
    /// A stage that adds what runs elsewhere.
    #[error("`{service}` is elsewhere; no stage can provide it")]
    StageProvidesExternal {
        /// The service.
        service: ServiceName,
    },
    /// A stage that adds what it has already.
    #[error("the stage has `{service}` already, from `{stage}`")]
    StageProvidesTwice {
        /// The service.
        service: ServiceName,
        /// The stage below that has it.
        stage: StageName,
    },
    /// Two instances with one port.
    #[error("instance {instance} gets port {port}, which instance {other_instance} of `{other}` gets too")]
    PortCollision {
        /// The port.
        port: u16,
        /// The instance of this rule.
        instance: u32,
        /// The other rule.
        other: String,
        /// Its instance.
        other_instance: u32,
    },
    /// The health server's port.
    #[error("instance {instance} gets port {HEALTH_PORT}, which is the health server's")]
    PortReserved {
        /// The instance.
        instance: u32,
    },
    /// No port any more.
    #[error("instance {instance} gets port {port}; 65535 is the limit")]
    PortTooHigh {
        /// The first such instance.
        instance: u32,
        /// What the rule gives it.
        port: u32,
    },
    /// Two ports of one name in a service.
    #[error("the service has two ports named `{port}`")]
    PortNamedTwice {
        /// The name.
        port: PortName,
    },
    /// One variable for the base of two ports.
    #[error("`{variable}` moves `{other}` too")]
    VariableTwice {
        /// The variable.
        variable: EnvKey,
        /// The other rule.
        other: String,
    },
    /// A text that is no template.
    #[error("{0}")]
    Template(TemplateFault),
    /// A reference to what an instance does not have.
    #[error("`${{{name}}}` stands for nothing here")]
    UnknownPlaceholder {
        /// The name.
        name: EnvKey,
        /// What can stand here.
        known: Vec<String>,
    },
    /// A path that depends on where somebody stands.
    #[error("the path is not absolute")]
    PathNotAbsolute,
    /// A path of a URL that does not begin like one.
    #[error("the path does not begin with `/`")]
    UrlPath,
    /// One volume in two ways: all services of a machine share one container.
    #[error("the volume `{volume}` has another `{field}` in `{other}`")]
    VolumeDiffers {
        /// The volume.
        volume: PortName,
        /// `path` or `read_only`.
        field: &'static str,
        /// The other entry.
        other: String,
    },
    /// Two volumes at one path.
    #[error("the volume of `{other}` is at this path too")]
    VolumePathTwice {
        /// The other entry.
        other: String,
    },
}

impl Fault for MappingFault {
    fn code(&self) -> Code {
        match &self.flaw {
            Flaw::UnknownReference { .. } => codes::UNKNOWN_REFERENCE,
            Flaw::StageCycle { .. } => codes::STAGE_CYCLE,
            Flaw::DeadService | Flaw::DeadStage { .. } | Flaw::DeadPort { .. } => codes::DEAD_ENTRY,
            Flaw::FieldNeeded { .. } | Flaw::FieldForbidden { .. } => codes::FIELD_OF_BINDING,
            Flaw::SecretUndeclared { .. }
            | Flaw::RequiredAndOptional { .. }
            | Flaw::SecretElsewhere { .. }
            | Flaw::VariableTaken { .. }
            | Flaw::TokenNotSecret { .. } => codes::ENV_LISTS,
            Flaw::ProbeMisfit { .. } | Flaw::ProbeVariable { .. } => codes::PROBE,
            Flaw::StageLacks { .. }
            | Flaw::StageNotSmallest { .. }
            | Flaw::StageProvidesExternal { .. }
            | Flaw::StageProvidesTwice { .. } => codes::STAGE_CONTENT,
            Flaw::PortCollision { .. } | Flaw::PortNamedTwice { .. } | Flaw::VariableTwice { .. } => {
                codes::PORT_COLLISION
            }
            Flaw::PortReserved { .. } | Flaw::PortTooHigh { .. } => codes::PORT_RANGE,
            Flaw::Template(fault) => fault.code(),
            Flaw::UnknownPlaceholder { .. } => codes::PLACEHOLDER,
            Flaw::PathNotAbsolute | Flaw::UrlPath => codes::PATH,
            Flaw::VolumeDiffers { .. } | Flaw::VolumePathTwice { .. } => codes::VOLUME,
        }
    }

    fn fix(&self) -> String {
        match &self.flaw {
            Flaw::UnknownReference { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Flaw::UnknownReference { kind, known, .. } if known.is_empty() => {
                format!("add the {kind}; there is none yet")
            }
            Flaw::UnknownReference { known, .. } => format!("use one of: {}", known.join(", ")),
            Flaw::StageCycle { .. } => "let one of them start from another stage, or from none".to_owned(),
            Flaw::DeadService => "add a worker of this service, or remove it".to_owned(),
            Flaw::DeadStage { .. } => {
                "remove the stage, or let it provide what no other stage does".to_owned()
            }
            Flaw::DeadPort { port } => {
                format!("give it to the process as `{}`, or remove it", placeholder(&port_key(port)))
            }
            Flaw::FieldNeeded { field, .. } => format!("add `{field}`"),
            Flaw::FieldForbidden { field, .. } => format!("remove `{field}`, or change the binding"),
            Flaw::SecretUndeclared { key } => {
                format!("add `{key}` to `required_env` or `optional_env`, or remove it here")
            }
            Flaw::RequiredAndOptional { .. } => "keep it in one of them".to_owned(),
            Flaw::SecretElsewhere { key, .. } => format!("add `{key}` to `secret_env` here as well"),
            Flaw::VariableTaken { .. } => "remove it here".to_owned(),
            Flaw::TokenNotSecret { key } => format!("add `{key}` to `secret_env` of the service"),
            Flaw::ProbeMisfit { place: "elsewhere", .. } => "use the probe `variables` or `url`".to_owned(),
            Flaw::ProbeMisfit { .. } => "use the probe `http` or `tcp` on a port of the service".to_owned(),
            Flaw::ProbeVariable { key } => {
                format!("add `{key}` to the service's `required_env` or `optional_env`")
            }
            Flaw::StageLacks { stage, service } => {
                format!("add `{service}` to what `{stage}` provides, or name another stage")
            }
            Flaw::StageNotSmallest { smaller, .. } => format!("write `{smaller}`"),
            Flaw::StageProvidesExternal { .. } | Flaw::StageProvidesTwice { .. } => "remove it".to_owned(),
            Flaw::PortCollision { .. } => "move one base away, or lower the number of instances".to_owned(),
            Flaw::PortReserved { .. } => "choose a base whose instances do not meet it".to_owned(),
            Flaw::PortTooHigh { .. } => "lower the base, the increment or the number of instances".to_owned(),
            Flaw::PortNamedTwice { .. } => "give one of them another name".to_owned(),
            Flaw::VariableTwice { .. } => "give each port a variable of its own".to_owned(),
            Flaw::Template(fault) => fault.fix(),
            Flaw::UnknownPlaceholder { known, .. } => {
                let known: Vec<String> = known.iter().map(|it| placeholder(it)).collect();
                format!("use one of {}; write `$${{` where `${{` itself is meant", known.join(", "))
            }
            Flaw::PathNotAbsolute => "begin it with `/` or `${WORKSPACE}/`, without `.` and `..`".to_owned(),
            Flaw::UrlPath => "begin it with `/`".to_owned(),
            Flaw::VolumeDiffers { field, .. } => {
                format!("give both the same `{field}`, or name one of the volumes otherwise")
            }
            Flaw::VolumePathTwice { .. } => "give both the same name, or one of them another path".to_owned(),
        }
    }
}

/// The variable that holds a port within templates: `PORT_HTTP` for `http`.
pub(crate) fn port_key(port: &PortName) -> String {
    format!("PORT_{}", port.as_str().to_uppercase().replace('-', "_"))
}

fn placeholder(name: &str) -> String {
    format!("${{{name}}}")
}

pub(crate) fn join<T: std::fmt::Display>(items: &[T], joint: &str) -> String {
    items.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(joint)
}
