//! The commands of the documentation, typed as they stand.

use super::*;

#[test]
fn the_commands_of_the_pages_can_be_typed() {
    let mut machine = Machine::new();
    machine.redis.start();
    let command = machine.command("");
    let environment: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
    for page in ["machine", "supervisor", "worker", "profiles", "environment"] {
        type_page(&machine.project, &format!("docs/{page}.md"), &environment);
    }
    let folder = machine.path("").display().to_string();
    until("nothing of them is left", || processes(&folder) == 0);
}
