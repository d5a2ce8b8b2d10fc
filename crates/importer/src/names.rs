//! The variables of the old system, and what each is here. This table is the only one: `docs/migration.md` has it as
//! [`markdown`] writes it, which a test holds.

/// A row of the table.
pub(crate) struct Row {
    /// The old names; one that ends in `*` stands for all that begin so.
    pub(crate) there: &'static [&'static str],
    /// What becomes of them.
    pub(crate) fate: Fate,
    /// What people read of it.
    pub(crate) here: &'static str,
}

/// What becomes of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is the roster.
    Roster,
    /// It says how many GPUs there are.
    Gpus,
    /// It says that GPUs are pretended.
    Mock,
    /// The same value under this name.
    Is(&'static str),
    /// A part of what this variable says as a whole.
    PartOf(&'static str),
    /// The plan or the mapping decides it.
    Decided,
    /// Nothing here needs it.
    Unneeded,
    /// Something else does it, and somebody has to see to that.
    Decide(&'static str),
}

use Fate::{Decide, Decided, Gpus, Is, Mock, PartOf, Roster, Unneeded};

const fn row(there: &'static [&'static str], fate: Fate, here: &'static str) -> Row {
    Row { there, fate, here }
}

/// The table. Of two rows that fit, the first counts.
pub(crate) static TABLE: &[Row] = &[
    row(
        &["WORKER_CONNECTORS", "WORKERS", "WORKER_SPEC"],
        Roster,
        "the profile's `workers`; two that differ are for you to decide",
    ),
    row(&["HUB_REDIS_URL"], Is("REDIS_URL"), "`REDIS_URL`; a secret, if it holds a password"),
    row(
        &["REDIS_HOST", "REDIS_PORT", "WORKER_REDIS_API_HOST", "WORKER_REDIS_API_PORT"],
        PartOf("REDIS_URL"),
        "`REDIS_URL` as a whole: `redis://host:port/0`",
    ),
    row(
        &["MACHINE_GPU_COUNT", "MACHINE_NUM_GPUS", "NUM_GPUS", "MOCK_GPU_NUM", "SIMULATION_NUM_GPUS"],
        Gpus,
        "`MACHINE_GPU_COUNT`, which the plan decides; `--gpus` puts cards into the profile's `hardware`",
    ),
    row(
        &["GPU_MODE", "MOCK_GPU", "MACHINE_MOCK_GPU", "COMFYUI_CPU_MODE", "COMFYUI_CPU_ONLY", "TEST_MODE"],
        Mock,
        "`\"hardware\": { \"mock\": true }` in the profile",
    ),
    row(
        &["MACHINE_STATUS_UPDATE_INTERVAL_SECONDS"],
        Is("MACHINE_STATUS_INTERVAL_S"),
        "`MACHINE_STATUS_INTERVAL_S`",
    ),
    row(&["CURRENT_ENV", "ENV"], Is("MACHINE_ENVIRONMENT"), "`MACHINE_ENVIRONMENT`"),
    row(&["WORKER_BASE_COMFYUI_PORT"], Is("COMFYUI_BASE_PORT"), "`COMFYUI_BASE_PORT`"),
    row(&["WORKER_BASE_A1111_PORT"], Is("A1111_BASE_PORT"), "`A1111_BASE_PORT`"),
    row(&["WORKER_COMFYUI_REMOTE_API_KEY"], Is("COMFYUI_REMOTE_TOKEN"), "`COMFYUI_REMOTE_TOKEN`, a secret"),
    row(
        &["WORKER_COMFYUI_REMOTE_*"],
        PartOf("COMFYUI_REMOTE_URL"),
        "`COMFYUI_REMOTE_URL` as a whole: `https://user:password@host:port`",
    ),
    row(
        &[
            "COMFYUI_PORT",
            "COMFYUI_HOST",
            "COMFYUI_PORT_INCREMENT",
            "WORKER_COMFYUI_PORT",
            "WORKER_COMFYUI_HOST",
            "A1111_PORT",
            "A1111_HOST",
            "A1111_PORT_INCREMENT",
            "WORKER_A1111_PORT",
            "WORKER_A1111_HOST",
            "OLLAMA_HOST",
            "OLLAMA_PORT",
            "COMFYUI_BASE_URL",
            "A1111_BASE_URL",
            "OLLAMA_BASE_URL",
            "PLAYWRIGHT_BASE_URL",
            "SIMULATION_BASE_URL",
            "SERVICE_URL",
            "SERVICE_URLS",
            "SERVICE_HEALTH_URL",
            "SERVICE_INSTANCE",
            "PORT",
        ],
        Decided,
        "the mapping's ports: base, and increment a GPU; each worker is told the address of its service",
    ),
    row(
        &["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_INDEX", "GPU_ID", "WORKER_GPU_ID", "NVIDIA_*"],
        Decided,
        "the plan's, for each service; workers of APIs have none",
    ),
    row(
        &[
            "WORKER_ID",
            "WORKER_IDS",
            "WORKER_TYPE",
            "CONNECTORS",
            "CONNECTOR",
            "WORKER_SERVICES",
            "SERVICE",
            "ACCEPTS",
            "MACHINE_ENABLE_*",
            "MACHINE_INSTANCE",
        ],
        Decided,
        "each worker's own, from the roster",
    ),
    row(
        &[
            "MACHINE_HAS_GPU",
            "MACHINE_RAM_GB",
            "WORKER_RAM_GB",
            "WORKER_GPU_MEMORY_GB",
            "GPU_MEMORY_GB",
            "WORKER_CAPABILITIES",
            "MEMORY_LIMIT",
            "MEMORY_RESERVATION",
            "WORKER_GRACE_S",
            "ROSTER_*",
        ],
        Decided,
        "the plan's, from the machine or the profile's `hardware`",
    ),
    row(
        &["EXPOSE_PORTS", "EXPOSED_PORTS"],
        Decided,
        "`\"docker\": { \"publish\": true }` in the profile publishes ports on the loopback",
    ),
    row(
        &["POLL_INTERVAL_MS", "WORKER_POLL_INTERVAL_MS"],
        Unneeded,
        "a worker waits in Redis. On the old queue `WORKER_POLL_INTERVAL_MS`, in the process environment",
    ),
    row(
        &["JOB_TIMEOUT_MINUTES", "JOB_PROGRESS_TIMEOUT_SEC"],
        Unneeded,
        "a job's own `timeout_ms`. On the old queue `JOB_TIMEOUT_MINUTES`, in the process environment",
    ),
    row(
        &[
            "WORKER_HEARTBEAT_INTERVAL_MS",
            "WORKER_HEARTBEAT_TIMEOUT_SEC",
            "UNIFIED_MACHINE_STATUS",
            "QUALITY_LEVELS",
        ],
        Unneeded,
        "a worker has its job by a lease",
    ),
    row(
        &[
            "WEBSOCKET_AUTH_TOKEN",
            "HUB_AUTH_TOKEN",
            "AUTH_TOKEN",
            "INTERNAL_AUTH_TOKEN",
            "WORKER_WEBSOCKET_AUTH_TOKEN",
            "MONITOR_CONNECTION",
            "NEXT_PUBLIC_*",
            "API_TOKENS",
        ],
        Unneeded,
        "the API's and the monitor's: workers speak with Redis alone",
    ),
    row(
        &[
            "WORKER_BUNDLE_MODE",
            "WORKER_SCRIPT_PATH",
            "EMP_ENV_DECRYPT_KEY",
            "ENV_ENCRYPT_KEY",
            "DISABLE_ENV_ENCRYPTION",
            "ENV_FILE",
            "SERVICE_TYPE",
            "CACHE_BUST",
            "BUILD_*",
        ],
        Unneeded,
        "the program is in the image, no value is, and secrets travel as files",
    ),
    row(
        &["DEBUG_HOOK_*", "DEBUGGING_ENABLED", "DEVELOPMENT_MODE"],
        Unneeded,
        "`roster run` says each step, `LOG_LEVEL=debug` more",
    ),
    row(
        &["NODE_*", "PM2_*", "pm_*", "pm2_*", "npm_*", "PNPM_*", "COREPACK_*", "TURBO_*"],
        Unneeded,
        "Node's and PM2's",
    ),
    row(
        &[
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "SHELL",
            "USER",
            "LOGNAME",
            "HOSTNAME",
            "TERM",
            "TZ",
            "LANG",
            "LC_*",
            "_",
            "DEBIAN_FRONTEND",
            "LD_LIBRARY_PATH",
            "LIBRARY_PATH",
            "CUDA_HOME",
            "CUDA_VERSION",
            "NV_*",
            "NVARCH",
            "NCCL_*",
            "PYTORCH_VERSION",
            "PYTHON*",
            "PIP_*",
            "CONDA_*",
            "VIRTUAL_ENV",
            "LS_COLORS",
            "EDITOR",
            "PAGER",
            "MAIL",
            "SSH_*",
            "XDG_*",
            "INIT_CWD",
            "unique_id",
        ],
        Unneeded,
        "the shell's or the image's",
    ),
    row(
        &["EMPROPS_API_URL", "EMPROPS_API_KEY", "COMPONENTS", "COLLECTIONS"],
        Decide("list the nodes and models in `custom-nodes.json` and `models.json` (docs/install.md)"),
        "for you to decide: `custom-nodes.json` and `models.json` say what is [installed](install.md)",
    ),
    row(
        &["COMFY_ARGS"],
        Decide("add the arguments to `start.command` of the service `comfyui` in the mapping"),
        "for you to decide: `start.command` of the service in [the mapping](mapping.md)",
    ),
    row(
        &[
            "CLOUD_PROVIDER",
            "CLOUD_STORAGE_PROVIDER",
            "STORAGE_PROVIDER_CURRENT_SERVICE",
            "CLOUD_STORAGE_*",
            "AZURE_STORAGE_*",
            "CLOUD_CDN_*",
        ],
        Decide("set `OUTPUT_URL` of the workers: `file:///folder` or `s3://bucket/prefix` (docs/worker.md)"),
        "for you to decide: `OUTPUT_URL` says where [results go](worker.md)",
    ),
    row(
        &["OTEL_*", "DASH0_*", "TELEMETRY_*"],
        Decide(
            "scrape `/metrics` of the machine; spans need `OTEL_EXPORTER_OTLP_ENDPOINT` and a build with `otlp`",
        ),
        "for you to decide: [`/metrics`](health.md) is there, [spans](worker.md) if you build them in",
    ),
];

/// The row of a variable.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    let fits = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == *pattern,
    };
    TABLE.iter().find(|row| row.there.iter().any(fits))
}

/// The table as `docs/migration.md` has it.
pub fn markdown() -> String {
    let mut text = String::from("| there | here |\n|---|---|\n");
    for Row { there, here, .. } in TABLE {
        let names: Vec<_> = there.iter().map(|it| format!("`{it}`")).collect();
        text.extend(["| ", &names.join(", "), " | ", here, " |\n"]);
    }
    text
}
