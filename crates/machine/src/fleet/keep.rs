//! How much of what processes write is kept, as flags.

use std::time::Duration;

use clap::Args;
use supervisor::{Form, Keep};

/// How much of what processes write is kept.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_field_names, reason = "a field's name is its flag's")]
#[command(next_help_heading = "Log files")]
pub(crate) struct Keeping {
    /// Put a log file away when it is as large
    #[arg(long, value_name = "SIZE", default_value = "10MiB", value_parser = bytes)]
    log_size: u64,
    /// Put a log file away when it is as old: `12h`, `7d`
    #[arg(long, value_name = "AGE", value_parser = age)]
    log_age: Option<Duration>,
    /// Keep so many that were put away of each, the youngest is `x.log.1`
    #[arg(long, value_name = "N", default_value_t = Keep::default().files)]
    log_files: u32,
    /// Compress what was put away: `x.log.1.gz`
    #[arg(long)]
    log_gzip: bool,
    /// Let all log files together take as much at most, or `unlimited`; the oldest go first
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = total)]
    log_total: Total,
    /// What a line looks like
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogForm::Plain)]
    log_form: LogForm,
}

#[derive(Clone, Copy, Debug)]
struct Total(Option<u64>);

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogForm {
    /// As it was written, byte for byte
    Plain,
    /// With its time and stream, as Kubernetes keeps logs
    Cri,
    /// With its time, stream and process, as Docker's `json-file`
    Json,
}

impl Keeping {
    pub(crate) fn keep(&self) -> Keep {
        Keep {
            bytes: self.log_size,
            age: self.log_age,
            files: self.log_files,
            gzip: self.log_gzip,
            total: self.log_total.0,
            form: match self.log_form {
                LogForm::Plain => Form::Plain,
                LogForm::Cri => Form::Cri,
                LogForm::Json => Form::Json,
            },
        }
    }
}

/// A whole number above 0 and its unit.
fn measure(text: &str, units: &[(&str, u64)], hint: &str) -> Result<u64, String> {
    let split = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = units.iter().find(|(name, _)| *name == unit).map(|it| it.1);
    let product = number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(scale));
    product.filter(|it| *it > 0).ok_or_else(|| format!("write {hint}"))
}

/// A size as a flag: `10MiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    measure(text, &units, "a whole number of KiB, MiB, GiB or TiB: `10MiB`")
}

fn total(text: &str) -> Result<Total, String> {
    if text == "unlimited" {
        return Ok(Total(None));
    }
    bytes(text).map(|it| Total(Some(it))).map_err(|it| format!("{it}, or `unlimited`"))
}

fn age(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("min", 60), ("h", 3600), ("d", 86400)];
    measure(text, &units, "a whole number of s, min, h or d: `12h`").map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_have_units() {
        assert_eq!(bytes("10MiB"), Ok(10 << 20));
        assert_eq!(age("7d"), Ok(Duration::from_hours(168)));
        for wrong in ["", "10", "MiB", "0MiB", "-1GiB", "1.5GiB", "99999999999TiB", "10MB"] {
            assert_eq!(bytes(wrong), Err("write a whole number of KiB, MiB, GiB or TiB: `10MiB`".into()));
            assert!(total(wrong).is_err() && age(wrong).is_err());
        }
        assert!(total("unlimited").is_ok_and(|it| it.0.is_none()));
    }

    #[test]
    fn without_flags_it_is_what_the_library_keeps() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            keeping: Keeping,
        }
        let line = |text: &str| <Line as clap::Parser>::parse_from(text.split(' ')).keeping.keep();
        assert_eq!(line("up"), Keep::default());
        let all = "up --log-size 1KiB --log-age 2h --log-files 3 --log-gzip --log-total 4GiB --log-form json";
        let (bytes, age, files, total) = (1 << 10, Some(Duration::from_hours(2)), 3, Some(4 << 30));
        assert_eq!(line(all), Keep { bytes, age, files, gzip: true, total, form: Form::Json });
    }
}
