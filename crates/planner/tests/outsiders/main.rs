//! What outsiders say about whole generations: Compose, the compose-spec schema, three linters, PM2, and four readers of
//! env files. Beside it, what has to hold of every generation whoever looks.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test's helpers are tests too")]

mod compose;
mod dotenv;
mod invariants;
mod meant;
mod pm2;
mod project;
mod rosters;

use std::io::Write as _;

/// Says something even when the test passes, which the test harness keeps to itself otherwise.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("stderr can be written to");
}
