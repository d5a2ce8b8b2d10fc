//! `--gpus 2`, `--gpus 2x48GiB`: a quick way to declare equal cards.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use spec::model::Gpu;

/// The most cards of one machine.
pub const MAX_GPUS: u16 = 64;

/// What a card is taken to have when nobody says: a common rented card.
pub const ASSUMED_VRAM_MIB: NonZeroU32 = NonZeroU32::new(24 * 1024).expect("not zero");

/// A number of equal cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuFlag {
    /// How many; 0 means a machine without.
    pub count: u16,
    /// Memory of each in MiB; `None` when it was not said.
    pub vram_mib: Option<NonZeroU32>,
}

/// Why a text is not a [`GpuFlag`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not `N` or `NxM`.
    #[error("write a number of GPUs, `2`, or with the memory of each, `2x24GiB`")]
    Form,
    /// More than [`MAX_GPUS`].
    #[error("{MAX_GPUS} GPUs are the most of one machine")]
    TooMany,
}

impl FromStr for GpuFlag {
    type Err = FlagError;

    fn from_str(text: &str) -> Result<Self, FlagError> {
        let (count, vram_mib) = match text.split_once(['x', '×']) {
            Some((count, memory)) => (count, Some(mebibytes(memory).ok_or(FlagError::Form)?)),
            None => (text, None),
        };
        let count: u16 = count.trim().parse().map_err(|_| FlagError::Form)?;
        if count > MAX_GPUS { Err(FlagError::TooMany) } else { Ok(Self { count, vram_mib }) }
    }
}

/// `24GiB`, `24G` or `24576MiB`.
fn mebibytes(text: &str) -> Option<NonZeroU32> {
    let text = text.trim();
    let split = text.find(|it: char| !it.is_ascii_digit())?;
    let number: u32 = text[..split].parse().ok()?;
    let factor = match &text[split..] {
        "GiB" | "G" | "g" => 1024,
        "MiB" | "M" | "m" => 1,
        _ => return None,
    };
    NonZeroU32::new(number.checked_mul(factor)?)
}

impl fmt::Display for GpuFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vram_mib {
            Some(mib) => write!(f, "{}x{mib}MiB", self.count),
            None => write!(f, "{}", self.count),
        }
    }
}

impl GpuFlag {
    /// The cards, with indices from 0.
    pub fn gpus(self) -> Vec<Gpu> {
        let vram_mib = self.vram_mib.unwrap_or(ASSUMED_VRAM_MIB);
        (0..self.count)
            .map(|index| Gpu { index, uuid: None, model: None, vram_mib, slices: Vec::new() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_cards_may_say_their_memory() {
        let read =
            |text: &str| text.parse::<GpuFlag>().map(|it| (it.count, it.vram_mib.map(NonZeroU32::get)));
        assert_eq!(read("2"), Ok((2, None)));
        assert_eq!(read("2x24GiB"), Ok((2, Some(24_576))));
        assert_eq!(read("8x81559MiB"), Ok((8, Some(81_559))));
        for wrong in ["", "two", "-1", "2x", "2x24", "2x24TB", "2x0GiB", "1.5"] {
            assert_eq!(read(wrong), Err(FlagError::Form), "{wrong}");
        }
        assert_eq!(read("65"), Err(FlagError::TooMany));
    }
}
