//! The contract over the broker in memory, in tokio's paused time.

use broker::{Memory, Settings};

use crate::contract;

#[expect(clippy::unused_async, reason = "other brokers connect")]
async fn memory(settings: Settings) -> Option<(Memory, ())> {
    Some((Memory::new(settings), ()))
}

contract!(tokio::test(start_paused = true), memory);
