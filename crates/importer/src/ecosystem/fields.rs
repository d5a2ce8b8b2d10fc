//! The fields that PM2 knows, and what does the same here.

use spec::notes::Code;

use super::app::App;
use crate::codes::{DECIDED, SETTING, UNNEEDED};
use crate::report::Report;
use crate::tree::Node;

/// What becomes of a field.
enum Fate {
    /// It has been read, or its parts have been.
    Read,
    /// Dropped, for this reason.
    Dropped(Code, &'static str),
    /// Left to decide when it is set to something: why, and what to do.
    Decide(&'static str, &'static str),
    /// Left to decide when it is `false`.
    Unless(&'static str, &'static str),
}

use Fate::{Decide, Dropped, Read, Unless};

/// The table. Fields that are not in it are not PM2's.
const TABLE: &[(&[&str], Fate)] = &[
    (&["name", "args", "env", "instances", "roster", "pm2_env"], Read),
    (
        &[
            "script",
            "pm_exec_path",
            "interpreter",
            "exec_interpreter",
            "interpreter_args",
            "node_args",
            "cwd",
            "pm_cwd",
            "exec_mode",
        ],
        Dropped(DECIDED, "the mapping's `start.command` and `working_directory`, one process each"),
    ),
    (
        &[
            "max_restarts",
            "min_uptime",
            "restart_delay",
            "exp_backoff_restart_delay",
            "kill_timeout",
            "listen_timeout",
            "kill_retry_time",
            "wait_ready",
            "shutdown_with_message",
            "treekill",
            "stop_exit_codes",
            "port",
        ],
        Dropped(
            DECIDED,
            "the plan's back-off, and `stop_grace_s`, `ready_within_s` and probes of the mapping",
        ),
    ),
    (&["max_memory_restart"], Dropped(DECIDED, "`memory_mib` of the worker or service in the mapping")),
    (
        &[
            "out_file",
            "error_file",
            "log_file",
            "output",
            "error",
            "log",
            "pm_out_log_path",
            "pm_err_log_path",
            "pm_log_path",
            "pid_file",
            "pid",
            "pm_pid_path",
            "merge_logs",
            "combine_logs",
            "log_date_format",
            "log_type",
            "time",
            "disable_logs",
        ],
        Dropped(DECIDED, "logs are in `logs/` of the workspace, and are rotated; `roster logs NAME`"),
    ),
    (
        &["watch", "ignore_watch", "watch_delay", "watch_options"],
        Dropped(UNNEEDED, "files do not change under a machine; `roster reload` takes a new plan"),
    ),
    (
        &[
            "source_map_support",
            "disable_source_map_support",
            "instance_var",
            "increment_var",
            "vizion",
            "pmx",
            "automation",
            "trace",
            "namespace",
            "force",
            "filter_env",
            "append_env_to_name",
            "post_update",
            "km_link",
            "windowsHide",
            "username",
            "version",
            "autostart",
            "deep_monitoring",
            "vizion_running",
        ],
        Dropped(UNNEEDED, "PM2's own"),
    ),
    (
        &["cron_restart", "cron"],
        Decide("nothing is restarted by the clock", "let a timer of the host type `roster restart NAME`"),
    ),
    (
        &["uid", "gid", "user", "group"],
        Decide(
            "every process runs as the user of the container",
            "set `user` in `docker-compose.override.yaml`",
        ),
    ),
    (
        &["autorestart"],
        Unless(
            "whatever fails is started again",
            "stop it with `roster stop NAME`, or leave its worker away",
        ),
    ),
];

/// What becomes of the fields of a document beside its apps.
pub(super) fn of_document(root: &Node, report: &mut Report) {
    for it in root.members() {
        let what = format!("`{}`", it.key);
        match it.key.as_str() {
            "apps" | "$schema" => {}
            "servicePairs" => {
                report.dropped(DECIDED, what, "each worker waits for its own service", &it.place);
            }
            "deploy" => report.dropped(UNNEEDED, what, "PM2's own", &it.place),
            "schema_version" | "machine" | "health_port" | "setup" | "external" => {
                report.dropped(DECIDED, what, "made anew from the profile", &it.place);
            }
            _ => {
                let (why, fix) = ("PM2 knows no such field", "leave it away, if nothing of yours reads it");
                report.decide(SETTING, what, why, fix, &it.place);
            }
        }
    }
}

/// What becomes of an app's fields.
pub(super) fn of_app(app: &App<'_>, report: &mut Report) {
    for it in app.node.members() {
        let what = format!("`{}`", it.key);
        let fate = TABLE.iter().find(|(fields, _)| fields.contains(&it.key.as_str())).map(|it| &it.1);
        match fate {
            Some(Read) => {}
            Some(Dropped(code, why)) => report.dropped(*code, what, *why, &it.place),
            Some(Decide(_, _)) if it.value.is_off() => {
                report.dropped(UNNEEDED, what, "it is set to nothing", &it.place);
            }
            Some(Unless(_, _)) if !it.value.is_off() => {
                report.dropped(DECIDED, what, "whatever fails is started again", &it.place);
            }
            Some(Decide(why, fix) | Unless(why, fix)) => {
                report.decide(SETTING, format!("{what} of app `{}`", app.name), *why, *fix, &it.place);
            }
            None if app.running => {
                report.dropped(UNNEEDED, "the state of a running PM2", "it belongs to that run", &app.place);
            }
            None if it.key.starts_with("env_") => {
                let why = "it is used with `pm2 start --env` only, and nobody knows which one was";
                let fix = "put the variables that are meant into `env`, and import again";
                report.decide(SETTING, format!("{what} of app `{}`", app.name), why, fix, &it.place);
            }
            None => {
                let (why, fix) = ("PM2 knows no such field", "leave it away, if nothing of yours reads it");
                report.decide(SETTING, format!("{what} of app `{}`", app.name), why, fix, &it.place);
            }
        }
    }
}
