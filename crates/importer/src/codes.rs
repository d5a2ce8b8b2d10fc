//! The rules of imports. Those from 101 on are reasons of the report: why something is not carried over as it stands.

use spec::notes::{Code, Exit};

/// Every rule of this crate.
pub const ALL: &[Code] = &[
    TOO_LARGE,
    YAML,
    ENDLESS,
    TWICE,
    FORM,
    NO_WORKER,
    NODE,
    IN_THE_WAY,
    MANY_MACHINES,
    OPEN,
    DECIDED,
    UNNEEDED,
    UNUSED,
    NOBODY,
    TWO_VALUES,
    NO_COUNTERPART,
    FOREIGN,
    PORTS,
    SETTING,
    UNRESOLVED,
    UNTOLD,
    UNWRITABLE,
];

/// A file has a bounded size.
pub const TOO_LARGE: Code = Code {
    id: "IMP001",
    title: "a file is larger than an import reads",
    exit: Exit::Error,
    explanation: "\
Ecosystem, compose and env files of the largest machine have some hundred kilobytes. A file of more than 4 MiB is another
file than was meant, so it is not read at all.
Breaks it: a log, or a dump of a database, given as `FILE`.
Mend it: name the file that the machine is started from.",
};

/// YAML is well formed.
pub const YAML: Code = Code {
    id: "IMP002",
    title: "a file is not YAML, or not one document of it",
    exit: Exit::Error,
    explanation: "\
A compose file is one YAML document whose keys are texts. It is read as Docker Compose reads it, anchors and merge keys
(`<<: *base-machine`) included, and nothing is guessed where it is not well formed.
Breaks it: a tab in the indentation, an alias `*base` without its anchor `&base`, a second document after `---`.
Mend it: `docker compose config -q` says the same of the file; mend the line that the message names.",
};

/// YAML has an end.
pub const ENDLESS: Code = Code {
    id: "IMP003",
    title: "a YAML document holds itself, or grows beyond measure",
    exit: Exit::Error,
    explanation: "\
An alias stands for everything below its anchor. One within its own anchor has no end, and aliases of aliases make gigabytes
of a few lines. At most 100,000 values and 64 levels are read, aliases counted as often as they stand.
Breaks it: `a: &a [*a]`.
Mend it: write out what the alias was to stand for.",
};

/// Nothing is said twice.
pub const TWICE: Code = Code {
    id: "IMP004",
    title: "a key is given twice",
    exit: Exit::Error,
    explanation: "\
Of two equal keys in one mapping readers take the last one in silence, so nobody knows which was meant.
Breaks it: two services `machine:` in one compose file.
Mend it: keep one of them.",
};

/// The file is of the kind that was said.
pub const FORM: Code = Code {
    id: "IMP005",
    title: "a file is not of the kind that was said",
    exit: Exit::Error,
    explanation: "\
`import ecosystem` reads `{\"apps\": […]}`, a list of apps, or what `pm2 jlist` and `pm2 save` write; `import compose` reads a
mapping with `services`; each field has the type that PM2 and Compose give it.
Breaks it: `roster import compose pm2.json`, `\"args\": 7`, `services: [machine]`.
Mend it: the message names the place and what can stand there.",
};

/// There is something to run.
pub const NO_WORKER: Code = Code {
    id: "IMP006",
    title: "an import finds no worker",
    exit: Exit::Error,
    explanation: "\
A profile starts from a roster. The import found none: no `WORKERS` or `WORKER_CONNECTORS`, no app that is a worker, or none that
the service mapping has a counterpart for. No default is taken, as the old system took `simulation:1`.
Breaks it: `import env` of the `.env` of the web API.
Mend it: give the file that names the workers too, or say the roster: `--spec comfyui:2,openai:4`.",
};

/// A program can be evaluated.
pub const NODE: Code = Code {
    id: "IMP007",
    title: "an ecosystem that is a program cannot be evaluated",
    exit: Exit::Error,
    explanation: "\
`ecosystem.config.js` and `.cjs` are programs: only Node knows what they come to. It is run once, in this environment.
Breaks it: a machine without `node`, or a file that needs modules which are not there.
Mend it: on the old machine `pm2 jlist > apps.json` writes what runs, or `node -p 'JSON.stringify(require(\"./FILE\"))'` what the
file says; give that file instead.",
};

/// Files of others stay.
pub const IN_THE_WAY: Code = Code {
    id: "IMP008",
    title: "a file of the proposal is there already",
    exit: Exit::Error,
    explanation: "\
A proposal is written whole or not at all, and replaces nothing that says something else.
Breaks it: a second `import --out .` under the same name, after the first profile was edited.
Mend it: say another `--name`, or `--force` to replace what is there.",
};

/// A roster is of one machine.
pub const MANY_MACHINES: Code = Code {
    id: "IMP009",
    title: "one roster is said for several machines",
    exit: Exit::Error,
    explanation: "\
A compose file may hold several machines, each with a roster of its own. `--spec` replaces the roster of one.
Breaks it: `import compose docker-compose.yml --spec comfyui:2` where two services have workers.
Mend it: say which one is meant, `--service gpu-box`, and import each by itself.",
};

/// Everything is decided.
pub const OPEN: Code = Code {
    id: "IMP100",
    title: "an import leaves something to decide",
    exit: Exit::Error,
    explanation: "\
Each thing of the old files is carried over, renamed, dropped for a reason that needs nobody, or left to a person: those are listed
under `to decide`, each with its place, why, and what to do. Nothing is written while there is one.
Breaks it: a variable that nothing here reads, `cron_restart`, a service of the compose file that is no machine.
Mend it: decide each of them; then `--allow-gaps` writes the proposal without them.",
};

/// What the plan decides.
pub const DECIDED: Code = Code {
    id: "IMP101",
    title: "dropped: the plan decides it",
    exit: Exit::Error,
    explanation: "\
Ports, names, GPU masks, dependencies, limits and files of logs follow from the roster, the service mapping and the machine. They
are made anew, so that nothing is decided twice.
Example: `CUDA_VISIBLE_DEVICES`, `COMFYUI_PORT`, `out_file`.
To see what it comes to: `roster plan --profile P`, `roster explain comfyui-worker-0`.",
};

/// What is not needed here.
pub const UNNEEDED: Code = Code {
    id: "IMP102",
    title: "dropped: not needed here",
    exit: Exit::Error,
    explanation: "\
It belonged to the shell, to Node, to PM2, or to a part of the old system that is not there any more: a worker bundle that was
downloaded, a token of an API that workers do not speak with, a switch for debugging.
Example: `NODE_ENV`, `PATH`, `WEBSOCKET_AUTH_TOKEN`, `DEBUG_HOOK_BEFORE_PM2`.
Nothing is to be done.",
};

/// What this roster does not read.
pub const UNUSED: Code = Code {
    id: "IMP103",
    title: "dropped: nothing of this roster reads it",
    exit: Exit::Error,
    explanation: "\
The service mapping knows the variable, but no worker and no service of the imported roster takes it. A process is given what its
entry declares and nothing else, least of all secrets.
Example: `OPENAI_API_KEY` of a machine with `comfyui:2` alone.
If the roster is to have such a worker, add it (`--spec`), and import again.",
};

/// A variable that nobody knows.
pub const NOBODY: Code = Code {
    id: "IMP110",
    title: "to decide: nothing here reads a variable",
    exit: Exit::Error,
    explanation: "\
Neither a service interface nor the service mapping takes it, and it is no variable of the old system that is known to have no use
here. It may be one that your own service or workflow reads.
Example: `UPSCALER_LICENCE_KEY`.
To keep it: declare it in `optional_env` of its worker or service in `config/service-mapping.json`, and import again.",
};

/// Two sources say different things.
pub const TWO_VALUES: Code = Code {
    id: "IMP111",
    title: "to decide: two values for one thing",
    exit: Exit::Error,
    explanation: "\
Two files, two apps or an old and a new name say different things where only one can hold. Which one the old machine went by was
chance, so neither is taken.
Example: `HUB_REDIS_URL` and `REDIS_URL` with different addresses; three workers started, and `WORKERS=comfyui:2`.
Make them say the same, or remove the one that is wrong, and import again.",
};

/// A worker without a counterpart.
pub const NO_COUNTERPART: Code = Code {
    id: "IMP112",
    title: "to decide: a worker has no equal here",
    exit: Exit::Error,
    explanation: "\
The service mapping has no worker of that name, or the nearest one does not claim all the jobs that the old one did.
Example: `gemini:2`, for which there is no connector; `emprops-app:1`, which took the jobs of ComfyUI and of A1111.
Choose workers from the mapping, or add an entry to it with the `accepts` that your producers ask for.",
};

/// A process or container of somebody else.
pub const FOREIGN: Code = Code {
    id: "IMP113",
    title: "to decide: neither a worker nor a service of the mapping",
    exit: Exit::Error,
    explanation: "\
The file starts something that the service mapping does not know. Roster runs services of its mapping and workers on them, and
beside a machine containers that a profile lists in `docker.additional_services`.
Example: the app `metrics-exporter`, the compose service `api`.
Leave it with the system it belongs to, add it to the mapping, or put it into `docker-compose.override.yaml`.",
};

/// Ports that no rule makes.
pub const PORTS: Code = Code {
    id: "IMP114",
    title: "to decide: ports that no base and increment make",
    exit: Exit::Error,
    explanation: "\
Instance i of a service listens on base + increment × i, and its worker is told that port. The old file says ports that are not of
this form, or tells workers other ports than their services have.
Example: `comfyui-gpu0` on 8188, `comfyui-gpu1` on 9000.
Set the service's base port (`COMFYUI_BASE_PORT`), or its `increment` in the service mapping.",
};

/// A setting without a counterpart.
pub const SETTING: Code = Code {
    id: "IMP115",
    title: "to decide: a setting has no counterpart",
    exit: Exit::Error,
    explanation: "\
PM2 or Compose was told to do something that a machine of Roster does not do by itself, and that somebody may rely on.
Example: `cron_restart`, a bind mount of models, `privileged: true`, a port published to the network.
The report says for each what takes its place: a field of the mapping, a timer, `docker-compose.override.yaml`.",
};

/// A reference that was never resolved.
pub const UNRESOLVED: Code = Code {
    id: "IMP116",
    title: "to decide: a value still holds a reference",
    exit: Exit::Error,
    explanation: "\
The old builder left `${NAME}` in a value where it found nothing to put in its place, with a warning and with success. Here that
would be a text that no program understands.
Example: `REDIS_URL=redis://default:${PROD_REDIS_PASSWORD}@hub:6379`.
Write the value out in the file, and import again.",
};

/// A file that was not given.
pub const UNTOLD: Code = Code {
    id: "IMP117",
    title: "to decide: a file that is referred to is not there",
    exit: Exit::Error,
    explanation: "\
A compose file names an env file or a file of a secret that is not beside it, so its variables are not known.
Example: `env_file: [.env.secret.production]`, imported on a developer's machine.
Put the file there and import again, or say its variables in the profile and the secrets file by hand.",
};

/// A value without a form.
pub const UNWRITABLE: Code = Code {
    id: "IMP118",
    title: "to decide: no env file can hold a value",
    exit: Exit::Error,
    explanation: "\
Env files are read alike by Docker Compose, `sh`, Node and Roster, and a few values have no form in which all of them agree; see
DOTENV001 to DOTENV003.
Example: `{\"say\": \"it's\"}` as a setting. A secret has a file that Roster alone reads, so only a NUL is too much for it.
Write it in another form, `{\"say\": \"it\\u0027s\"}`, or declare the variable as a secret in the mapping.",
};
