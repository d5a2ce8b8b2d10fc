//! A plan as processes: an `ecosystem.json` that real PM2 starts, and that our own supervisor reads back.
//!
//! [`lower`] turns an [`AllocationPlan`](spec::model::AllocationPlan) into an [`Ecosystem`]: one PM2 app a planned
//! process, with PM2's own fields, and under the key `roster` what PM2 has no field for: readiness, dependencies,
//! devices, the names of secrets. Nothing is decided here, and no secret's value is in the document.
//! [`Ecosystem::read`] reads such a document strictly and reports everything that is wrong with it.
//!
//! ```
//! use ecosystem::Ecosystem;
//! use spec::source::SourceText;
//!
//! let text = r#"{ "schema_version": 1, "machine": "m1", "health_port": 9090,
//!                 "apps": [], "setup": [], "external": [] }"#;
//! let read = Ecosystem::read(&SourceText::open("ecosystem.json", text)).unwrap();
//! assert_eq!(read.machine.as_str(), "m1");
//!
//! let wrong = SourceText::open("ecosystem.json", text.replace("machine", "machina"));
//! let told: Vec<String> = Ecosystem::read(&wrong).unwrap_err().into_iter().map(|it| it.message).collect();
//! assert_eq!(told, ["field `machine` is missing in the document", "unknown field `machina` in the document"]);
//! ```

mod capabilities;
pub mod codes;
mod document;
mod fault;
mod limits;
mod lower;
mod read;
mod words;

pub use document::{
    App, Dependency, Ecosystem, ExecMode, External, GpuClaim, Interpreter, Kind, Limit, Probe, Probes, Role,
    SCHEMA_VERSION, StopSignal, Until,
};
pub use lower::{MACHINE_WIDE, lower};

impl Ecosystem {
    /// The document as text: the same for the same value, byte for byte, with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("every key of the document is a text");
        text.push('\n');
        text
    }
}

/// The JSON Schema of the document, for editors and for those who read it elsewhere.
pub fn schema() -> serde_json::Value {
    spec::document::schema::<Ecosystem>("Roster ecosystem")
}

#[cfg(test)]
mod tests {
    use crate::lower::{MAX_RESTARTS, MIN_UPTIME_MS, RESTART_DELAY_MS};

    /// PM2 7.0.4, `lib/God.js`, `handleExit`.
    #[test]
    fn pm2_never_gives_up_on_a_process_that_crashes_at_once() {
        let (mut delay, mut waited) = (f64::from(RESTART_DELAY_MS), 0.0);
        for _ in 1..MAX_RESTARTS {
            waited += delay;
            delay = (delay * 1.5).floor().min(15_000.0);
        }
        assert!(waited > f64::from(MAX_RESTARTS * MIN_UPTIME_MS), "{waited}");
    }
}
