//! What an image weighs, layer by layer, and which of it a change of our code makes anew.

use std::fmt::Write as _;

use bollard::models::ImageHistoryResponseItem;

/// A layer with something in it, lowest first.
#[derive(Debug, PartialEq)]
pub(super) struct Layer {
    /// What made it.
    made_by: String,
    /// In bytes.
    size: u64,
    /// Whether a change of our code makes it anew.
    code: bool,
}

/// The layers of an image, from what the engine says of its history, which is newest first.
pub(super) fn layers(history: Vec<ImageHistoryResponseItem>) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut code = false;
    for item in history.into_iter().rev() {
        let made_by = made_by(&item.created_by);
        // What stands on a layer that changed is made again as well.
        code |= made_by.starts_with("COPY /out/roster");
        let size = u64::try_from(item.size).unwrap_or(0);
        if size > 0 {
            layers.push(Layer { made_by, size, code });
        }
    }
    layers
}

fn made_by(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words.trim_end_matches(" # buildkit");
    let words =
        words.strip_prefix("RUN /bin/sh -c ").map_or_else(|| words.to_owned(), |it| format!("RUN {it}"));
    match words.char_indices().nth(90) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None if words.is_empty() => "the base image".to_owned(),
        None => words,
    }
}

/// The layers as a table with the sum, what lies over the base image, and what a change of our code makes anew.
pub(super) fn table(image: &str, layers: &[Layer]) -> String {
    let sum = |it: &mut dyn Iterator<Item = &Layer>| it.map(|layer| layer.size).sum::<u64>();
    let all = sum(&mut layers.iter());
    let over = sum(&mut layers.iter().skip(1));
    let code = sum(&mut layers.iter().filter(|layer| layer.code));
    let mut text = format!("{image}\n");
    for layer in layers {
        let mark = if layer.code { "code" } else { "" };
        let _ = writeln!(text, "{:>10}  {mark:4}  {}", mb(layer.size), layer.made_by);
    }
    text + &format!(
        "{:>10}        in all, {} over its base image; a change of code makes {} anew\n",
        mb(all),
        mb(over),
        mb(code)
    )
}

/// Bytes in the unit of `docker images`: a million.
fn mb(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use bollard::models::ImageHistoryResponseItem;

    use super::{layers, table};

    #[test]
    fn layers_are_shown_lowest_first_and_those_of_our_code_are_marked() {
        let item = |created_by: &str, size| ImageHistoryResponseItem {
            created_by: created_by.to_owned(),
            size,
            ..ImageHistoryResponseItem::default()
        };
        let history = vec![
            item("RUN roster --version # buildkit", 0),
            item("COPY /out/roster /usr/local/bin/roster # buildkit", 14_000_000),
            item("CMD [\"run\"]", 0),
            item("RUN /bin/sh -c apt-get update     && apt-get install x # buildkit", 1_250_000),
            item("", 126_000_000),
        ];
        assert_eq!(
            table("roster-base:latest", &layers(history)),
            "roster-base:latest
  126.0 MB        the base image
    1.3 MB        RUN apt-get update && apt-get install x
   14.0 MB  code  COPY /out/roster /usr/local/bin/roster
  141.3 MB        in all, 15.3 MB over its base image; a change of code makes 14.0 MB anew\n"
        );
    }
}
