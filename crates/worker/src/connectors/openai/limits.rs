//! The limits that OpenAI tells with every answer, for refusals that do not say how long they last.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// How long it takes until the limits that are used up are full again: `x-ratelimit-remaining-*` and
/// `x-ratelimit-reset-*`.
pub(super) fn reset(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: String| headers.get(name).and_then(|it| it.to_str().ok());
    let used_up = |kind: &&str| text(format!("x-ratelimit-remaining-{kind}")) == Some("0");
    let kinds = ["requests", "tokens"].into_iter().filter(used_up);
    kinds.filter_map(|kind| duration(text(format!("x-ratelimit-reset-{kind}"))?)).max()
}

/// A time as Go writes it: `20ms`, `1.5s`, `6m0s`, `1h0m2s`.
fn duration(mut text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    while !text.is_empty() {
        let digits = text.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let rest = &text[digits..];
        let unit = rest.find(|it: char| it.is_ascii_digit()).unwrap_or(rest.len());
        let of = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        seconds += text[..digits].parse::<f64>().ok()? * of;
        text = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_is_used_up_says_how_long_it_lasts() {
        let table = [
            ("remaining-requests 0, reset-requests 20ms", Some(20)),
            ("remaining-tokens 0, reset-tokens 6m0s", Some(360_000)),
            ("remaining-tokens 0, reset-tokens 1h0m1.5s", Some(3_601_500)),
            ("remaining-tokens 0, reset-tokens 2s, remaining-requests 0, reset-requests 1s", Some(2_000)),
            ("remaining-tokens 9, reset-tokens 2s, remaining-requests 0, reset-requests 1s", Some(1_000)),
            ("remaining-requests 9, reset-requests 1s", None),
            ("remaining-requests 0, reset-requests soon", None),
            ("remaining-requests 0", None),
        ];
        for (headers, ms) in table {
            let map = headers.split(", ").map(|it| {
                let (name, value) = it.split_once(' ').unwrap();
                (format!("x-ratelimit-{name}").parse().unwrap(), value.parse().unwrap())
            });
            assert_eq!(reset(&map.collect()), ms.map(Duration::from_millis), "{headers}");
        }
    }
}
