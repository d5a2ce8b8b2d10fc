//! The profile `simulation`, from its plan to processes that run: what needs no GPU and no key.

use std::net::TcpListener;

use super::{Machine, until};
use crate::support::{Project, told};

#[test]
fn the_services_of_the_profile_come_up_and_workers_are_started_after_them() {
    let project = Project::shipped();
    // Four ports in a row that nobody has.
    let base = (1..500)
        .map(|it| 20_000 + it * 40)
        .find(|base| (*base..base + 4).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()));
    let machine = Machine::new(&[]);
    let workspace = machine.path("");
    let mut build = project.roster("env-build simulation");
    build.env("SIMULATION_BASE_PORT", base.unwrap().to_string());
    build.env("MACHINE_WORKSPACE", workspace.display().to_string().trim_end_matches('/'));
    let (_, talk, exit) = told(&build.output().unwrap());
    assert_eq!(exit, Some(0), "{talk}");
    std::fs::copy(project.path("ecosystem.json"), machine.path("ecosystem.json")).unwrap();
    let mut up = machine.started("up --json");
    let services = [0, 1, 2, 3].map(|it| format!("simulation-service-{it}"));
    up.wait_all(&services.each_ref().map(String::as_str), "healthy");
    up.wait("simulation-worker-3", "launching");
    for it in &services {
        assert_eq!(machine.state(it), "healthy");
    }
    // A second machine of these ports says who has them.
    let socket = machine.path("second.sock");
    let second = machine.started(&format!("up --json --logs second --socket {}", socket.display()));
    let refused = second.wait("simulation-service-0", "backing off");
    let pid = machine.pid("simulation-service-0");
    let why = refused["why"].as_str().unwrap();
    assert!(why.contains(&format!("is in use by pid {pid} (roster)")), "{why}");
    drop(second);
    until("the services are unharmed", || machine.state("simulation-service-0") == "healthy");
    assert_eq!(machine.pid("simulation-service-0"), pid);
    assert_eq!(up.stop().0, Some(0));
}
