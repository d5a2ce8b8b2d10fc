//! Rows, their limits, and the two forms in which they are printed.

use serde_json::{Value, json};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Unit {
    PerSecond,
    Micros,
    Millis,
    Seconds,
    Bytes,
    Megabytes,
    BytesPerSecond,
    MegabytesPerSecond,
    Percent,
    Calls,
    Runs,
}

/// What a row may be, by itself or as a part of what stands beside it.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) enum Limit {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

/// One figure of the table.
#[derive(Debug)]
pub(in crate::bench) struct Row {
    name: String,
    value: f64,
    unit: Unit,
    beside: Option<Beside>,
    limits: Vec<Limit>,
}

/// What a figure stands beside: the floor, or the same with less to do.
#[derive(Debug)]
struct Beside {
    value: f64,
    what: &'static str,
    ratio: f64,
}

impl Row {
    pub(in crate::bench) fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit, beside: None, limits: vec![] }
    }

    /// The median of the rounds, beside the median of the rounds of something else; the ratio is that of each round.
    pub(in crate::bench) fn paired(
        name: impl Into<String>,
        unit: Unit,
        ours: &[f64],
        what: &'static str,
        theirs: &[f64],
    ) -> Self {
        let ratios: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let beside = Beside { value: median(theirs), what, ratio: median(&ratios) };
        Self { beside: Some(beside), ..Self::new(name, median(ours), unit) }
    }

    /// The figure beside another one.
    pub(in crate::bench) fn beside(mut self, value: f64, what: &'static str) -> Self {
        self.beside = Some(Beside { value, what, ratio: self.value / value });
        self
    }

    pub(in crate::bench) fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Whether the row is within its limits; `None` without limits.
    pub(in crate::bench) fn verdict(&self) -> Option<bool> {
        let ratio = self.beside.as_ref().map_or(f64::NAN, |it| it.ratio);
        let holds = |limit: &Limit| match *limit {
            Limit::AtLeast(least) => self.value >= least,
            Limit::AtMost(most) => self.value <= most,
            Limit::RatioAtLeast(least) => ratio >= least,
            Limit::RatioAtMost(most) => ratio <= most,
        };
        (!self.limits.is_empty()).then(|| self.limits.iter().all(holds))
    }

    fn limits(&self) -> String {
        let said = |limit: &Limit| match *limit {
            Limit::AtLeast(least) => format!("≥ {}", self.unit.show(least)),
            Limit::AtMost(most) => format!("≤ {}", self.unit.show(most)),
            Limit::RatioAtLeast(least) => format!("≥ {least}×"),
            Limit::RatioAtMost(most) => format!("≤ {most}×"),
        };
        self.limits.iter().map(said).collect::<Vec<_>>().join(", ")
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::PerSecond if value < 100.0 => format!("{value:.2}/s"),
            Unit::PerSecond => format!("{}/s", thousands(value)),
            Unit::Micros => format!("{value:.1} µs"),
            Unit::Millis => format!("{value:.2} ms"),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Bytes => format!("{} B", thousands(value)),
            Unit::Megabytes => format!("{value:.1} MB"),
            Unit::BytesPerSecond => format!("{:.0} MB/s", value / 1e6),
            Unit::MegabytesPerSecond => format!("{value:.0} MB/s"),
            Unit::Percent if value < 1.0 => format!("{value:.3} %"),
            Unit::Percent => format!("{value:.1} %"),
            Unit::Calls | Unit::Runs => thousands(value),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::PerSecond => "1/s",
            Unit::Micros => "µs",
            Unit::Millis => "ms",
            Unit::Seconds => "s",
            Unit::Bytes => "B",
            Unit::Megabytes => "MB",
            Unit::BytesPerSecond => "B/s",
            Unit::MegabytesPerSecond => "MB/s",
            Unit::Percent => "%",
            Unit::Calls => "calls",
            Unit::Runs => "runs",
        }
    }
}

/// A whole number with commas.
pub(in crate::bench) fn thousands(value: impl std::fmt::Display) -> String {
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// The middle of the values, or of the two in the middle; 0 without values.
pub(in crate::bench) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (count, middle) if count % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

pub(in crate::bench) fn table(rows: &[Row]) -> String {
    let head = ["| case | measured | beside | ratio | limit | verdict |", "|---|--:|---|--:|---|---|"];
    let line = |row: &Row| {
        let (beside, ratio) = row.beside.as_ref().map_or_else(Default::default, |it| {
            let ratio = if it.ratio.is_finite() { format!("{:.2}×", it.ratio) } else { String::new() };
            (format!("{} {}", row.unit.show(it.value), it.what), ratio)
        });
        let verdict = match row.verdict() {
            None => "",
            Some(true) => "ok",
            Some(false) => "MISSED",
        };
        let (name, measured, limits) = (&row.name, row.unit.show(row.value), row.limits());
        format!("| {name} | {measured} | {beside} | {ratio} | {limits} | {verdict} |")
    };
    head.map(str::to_owned).into_iter().chain(rows.iter().map(line)).collect::<Vec<_>>().join("\n")
}

pub(in crate::bench) fn json(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let beside = row.beside.as_ref();
        let beside = beside.map(|it| json!({ "value": it.value, "what": it.what, "ratio": it.ratio }));
        json!({
            "case": row.name, "value": row.value, "unit": row.unit.name(), "beside": beside, "limit": row.limits(),
            "ok": row.verdict(),
        })
    };
    let document = json!({ "version": 1, "rows": rows.iter().map(row).collect::<Vec<Value>>() });
    format!("{document:#}")
}

#[cfg(test)]
mod tests {
    use super::{Limit, Row, Unit, json, median, table};

    #[test]
    #[expect(clippy::float_cmp, reason = "exact: a median is a value, or half of a sum")]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_ratio_is_that_of_each_round_and_not_of_the_medians() {
        // The machine was slower by half in the second round, for both.
        let row =
            Row::paired("work", Unit::PerSecond, &[800.0, 450.0, 900.0], "floor", &[1000.0, 500.0, 1000.0]);
        let within = row.limit(Limit::RatioAtLeast(0.9)).limit(Limit::AtLeast(900.0));
        assert_eq!(within.verdict(), Some(false));
        let said = table(&[within]).lines().last().unwrap_or_default().to_owned();
        assert_eq!(said, "| work | 800/s | 1,000/s floor | 0.90× | ≥ 0.9×, ≥ 900/s | MISSED |");
    }

    #[test]
    fn without_a_limit_there_is_no_verdict() {
        let row = Row::new("memory", 1_234_567.0, Unit::Bytes);
        assert_eq!(row.verdict(), None);
        assert!(table(&[row]).ends_with("| memory | 1,234,567 B |  |  |  |  |"));
        let row = Row::new("latency", 0.5, Unit::Millis).limit(Limit::AtMost(0.5));
        assert!(json(&[row]).contains(r#""ok": true"#));
    }
}
