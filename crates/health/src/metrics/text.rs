//! Writing the text format.

use std::fmt::{Display, Write as _};

use super::{Histogram, JOB_BOUNDS, Meters, Outcome, REDIS_BOUNDS};
use crate::board::Snapshot;
use crate::facts::{Planned, Process, Recovery, RedisLink, Stage};
use crate::state::State;

/// Processes that have numbers of their own; how many have none is a number too.
const MAX_PROCESSES: usize = 500;

/// A document of metrics.
#[derive(Default)]
struct Document {
    text: String,
    name: &'static str,
}

impl Document {
    /// Begins a metric: everything that follows is of it.
    fn metric(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a text cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.line("", labels, value);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (at, (label, it)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let it = it.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{open}{label}=\"{it}\"");
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, labels: &[(&str, &dyn Display)], bounds: &[f64], it: &Histogram) {
        let mut below = 0;
        for (at, bound) in bounds.iter().enumerate() {
            below += it.buckets.get(at).copied().unwrap_or_default();
            self.bucket(labels, bound, below);
        }
        self.bucket(labels, &"+Inf", it.count);
        self.line("_sum", labels, it.sum);
        self.line("_count", labels, it.count);
    }

    fn bucket(&mut self, labels: &[(&str, &dyn Display)], bound: &dyn Display, below: u64) {
        let mut labels = labels.to_vec();
        labels.push(("le", bound));
        self.line("_bucket", &labels, below);
    }
}

/// Everything.
pub(crate) fn text(now: &Snapshot, meters: &Meters) -> String {
    let mut to = Document::default();
    machine(&mut to, now);
    services(&mut to, now);
    processes(&mut to, now);
    devices(&mut to, now);
    counted(&mut to, meters);
    to.text
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

fn machine(to: &mut Document, now: &Snapshot) {
    let (machine, verdict) = (&now.facts.machine, &now.verdicts.machine);
    to.metric("roster_machine_info", "gauge", "What runs; always 1.");
    let profile = machine.profile.as_ref().map(ToString::to_string).unwrap_or_default();
    let generation = machine.generation.clone().unwrap_or_default();
    to.value(
        &[
            ("machine", &machine.id),
            ("version", &machine.version),
            ("profile", &profile),
            ("generation", &generation),
        ],
        1,
    );
    to.metric("roster_machine_start_time_seconds", "gauge", "When the machine was started, since 1970.");
    to.value(&[], seconds(machine.started));
    to.metric("roster_machine_ready", "gauge", "1 if jobs can be done.");
    to.value(&[], u8::from(verdict.ready()));
    to.metric("roster_machine_blockers", "gauge", "How many things keep the machine from being ready.");
    to.value(&[], verdict.blockers.len());
    to.metric("roster_machine_state", "gauge", "1 for the state that the machine is in.");
    for it in State::ALL {
        to.value(&[("state", it)], u8::from(*it == verdict.state));
    }
    to.metric("roster_machine_stage", "gauge", "1 for the stage that the start-up has come to.");
    for it in Stage::ALL {
        to.value(&[("stage", it)], u8::from(*it == machine.stage));
    }
    to.metric("roster_machine_recovery", "gauge", "1 for what is being recovered from.");
    for it in Recovery::ALL {
        to.value(&[("recovery", it)], u8::from(*it == machine.recovery));
    }
    if now.facts.redis != RedisLink::Unneeded {
        to.metric("roster_redis_up", "gauge", "1 if Redis answers.");
        to.value(&[], u8::from(matches!(now.facts.redis, RedisLink::Connected { .. })));
    }
}

fn services(to: &mut Document, now: &Snapshot) {
    to.metric("roster_services", "gauge", "How many services are in each state.");
    for it in State::ALL {
        to.value(&[("state", it)], now.verdicts.services.iter().filter(|is| is.state == *it).count());
    }
    to.metric("roster_workers", "gauge", "How many workers are in each state.");
    for it in State::ALL {
        to.value(&[("state", it)], now.verdicts.workers.iter().filter(|is| is.state == *it).count());
    }
    to.metric("roster_workers_busy", "gauge", "How many workers have a job.");
    to.value(&[], now.facts.workers.iter().filter(|it| it.job.is_some()).count());
    let help = "1 if an enabled service is healthy; one that somebody stopped is left out.";
    to.metric("roster_service_healthy", "gauge", help);
    let wanted = now.facts.services.iter().zip(&now.verdicts.services);
    let wanted = wanted.filter(|(it, _)| it.plan == Planned::Enabled && !it.is_unwanted());
    for (it, is) in wanted.take(MAX_PROCESSES) {
        let kind = it.kind.as_ref().map(ToString::to_string).unwrap_or_default();
        let labels: [(&str, &dyn Display); 2] = [("service", &it.name), ("kind", &kind)];
        to.value(&labels, u8::from(is.state == State::Healthy));
    }
}

fn processes(to: &mut Document, now: &Snapshot) {
    let services = now.facts.services.iter();
    let services = services.filter_map(|it| Some((&it.name, "service", it.process.as_ref()?)));
    let workers = now.facts.workers.iter().map(|it| (&it.name, "worker", &it.process));
    let all: Vec<_> = services.chain(workers).collect();
    let listed = &all[..all.len().min(MAX_PROCESSES)];
    to.metric("roster_processes_unlisted", "gauge", "How many processes have no numbers of their own.");
    to.value(&[], all.len() - listed.len());
    let mut each = |name, kind, help, number: &dyn Fn(&Process) -> Option<f64>| {
        to.metric(name, kind, help);
        for (process, role, it) in listed {
            if let Some(number) = number(it) {
                to.value(&[("process", process), ("role", role)], number);
            }
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "counts and bytes far below 2^53")]
    let real = |it: u64| it as f64;
    each("roster_process_up", "gauge", "1 if a process lives.", &|it| {
        Some(f64::from(u8::from(it.pid.is_some())))
    });
    each("roster_process_restarts_total", "counter", "How often a process was started again.", &|it| {
        Some(real(it.restarts))
    });
    each(
        "roster_process_cpu_seconds_total",
        "counter",
        "Processor time of a process and its children.",
        &|it| Some(it.usage?.cpu_seconds),
    );
    each("roster_process_memory_bytes", "gauge", "Memory of a process and its children.", &|it| {
        Some(real(it.usage?.memory_bytes))
    });
    each("roster_process_open_fds", "gauge", "Open files of a process and its children.", &|it| {
        Some(real(it.usage?.open_files))
    });
    each("roster_process_uptime_seconds", "gauge", "Since a process was started.", &|it| {
        Some(it.usage?.uptime.as_secs_f64())
    });
}

fn devices(to: &mut Document, now: &Snapshot) {
    let gpus = &now.facts.gpus;
    to.metric("roster_gpu_info", "gauge", "Which GPU it is; always 1.");
    for it in gpus {
        let uuid = it.uuid.clone().unwrap_or_default();
        to.value(&[("gpu", &it.index), ("uuid", &uuid), ("name", &it.name)], 1);
    }
    to.metric("roster_gpu_faulty", "gauge", "1 if a GPU cannot be used.");
    for it in gpus {
        to.value(&[("gpu", &it.index)], u8::from(it.fault.is_some()));
    }
    to.metric("roster_gpu_memory_total_bytes", "gauge", "Memory of a GPU.");
    for it in gpus {
        to.value(&[("gpu", &it.index)], it.memory_total);
    }
    let read: Vec<_> = gpus.iter().filter_map(|it| Some((it.index, it.reading?))).collect();
    to.metric("roster_gpu_memory_used_bytes", "gauge", "Memory of a GPU in use.");
    for (gpu, it) in &read {
        to.value(&[("gpu", gpu)], it.memory_used);
    }
    to.metric(
        "roster_gpu_utilisation_ratio",
        "gauge",
        "The part of the time in which a GPU computed, from 0 to 1.",
    );
    for (gpu, it) in &read {
        to.value(&[("gpu", gpu)], f64::from(it.utilisation) / 100.0);
    }
    to.metric("roster_gpu_temperature_celsius", "gauge", "How hot a GPU is.");
    for (gpu, it) in &read {
        to.value(&[("gpu", gpu)], it.temperature);
    }
    to.metric("roster_gpu_power_watts", "gauge", "What a GPU draws.");
    for (gpu, power) in read.iter().filter_map(|(gpu, it)| Some((gpu, it.power?))) {
        to.value(&[("gpu", gpu)], power);
    }
    to.metric("roster_gpu_xid_errors_total", "counter", "XID errors since the machine was started.");
    for (gpu, it) in &read {
        to.value(&[("gpu", gpu)], it.xid_errors);
    }
    to.metric("roster_disk_size_bytes", "gauge", "Size of a file system.");
    for it in &now.facts.disks {
        to.value(&[("path", &it.path)], it.total);
    }
    to.metric("roster_disk_free_bytes", "gauge", "What may still be written to a file system.");
    for it in &now.facts.disks {
        to.value(&[("path", &it.path)], it.free);
    }
    to.metric("roster_network_receive_bytes_total", "counter", "Received over an interface.");
    for it in &now.facts.interfaces {
        to.value(&[("interface", &it.name)], it.received);
    }
    to.metric("roster_network_transmit_bytes_total", "counter", "Sent over an interface.");
    for it in &now.facts.interfaces {
        to.value(&[("interface", &it.name)], it.sent);
    }
}

fn counted(to: &mut Document, meters: &Meters) {
    let counted = meters.counted();
    let gpu = |gpu: Option<u32>| gpu.map(|it| it.to_string()).unwrap_or_default();
    to.metric("roster_jobs_total", "counter", "Jobs that ended for a worker of this machine, by how.");
    for ((connector, on), it) in &counted.jobs {
        for outcome in Outcome::ALL {
            let count = it.outcomes.get(outcome).copied().unwrap_or_default();
            to.value(&[("connector", connector), ("gpu", &gpu(*on)), ("outcome", outcome)], count);
        }
    }
    to.metric("roster_job_wait_seconds", "histogram", "From when a job could be claimed until it was.");
    for ((connector, on), it) in &counted.jobs {
        to.histogram(&[("connector", connector), ("gpu", &gpu(*on))], JOB_BOUNDS, &it.waited);
    }
    to.metric("roster_job_run_seconds", "histogram", "From a job's claim to its end.");
    for ((connector, on), it) in &counted.jobs {
        to.histogram(&[("connector", connector), ("gpu", &gpu(*on))], JOB_BOUNDS, &it.ran);
    }
    to.metric("roster_redis_round_trip_seconds", "histogram", "How long Redis takes to answer.");
    to.histogram(&[], REDIS_BOUNDS, &counted.redis);
    let (renewed, failed) = counted.leases;
    to.metric(
        "roster_lease_renewals_total",
        "counter",
        "How often the machine's lease was renewed, or could not be.",
    );
    to.value(&[("outcome", &"renewed")], renewed);
    to.value(&[("outcome", &"failed")], failed);
}
