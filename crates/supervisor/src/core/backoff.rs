//! The wait before the next start.

use std::time::Duration;

use super::policy::Backoff;

impl Backoff {
    /// The wait after `streak` starts without success: none after 0. `chance` decides its upper half.
    pub(super) fn delay(self, streak: u32, chance: u64) -> Duration {
        let Some(doublings) = streak.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let half = self.first.saturating_mul(factor).min(self.ceiling) / 2;
        let thousandths = u32::try_from(chance % 1001).unwrap_or_default();
        half + half * thousandths / 1000
    }
}

/// The next number of a seeded sequence, and the next seed (`SplitMix64`; Steele, Lea and Flood, OOPSLA 2014).
pub(super) fn next(seed: u64) -> (u64, u64) {
    let seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31), seed)
}
