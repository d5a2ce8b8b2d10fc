//! The way down.

use broker::life::State;

use super::*;

#[tokio::test]
async fn a_machine_that_is_asked_to_stop_finishes_or_hands_back_and_leaves_nothing() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut up = machine.run();
    machine.wait_ready();
    let broker = machine.redis.broker().await;
    let (short, long) = (submit(&broker, 1000).await, submit(&broker, 600_000).await);
    for id in [&short, &long] {
        wait_for(&broker, id, |it| matches!(it.life.state, State::Running { .. })).await;
    }
    up.signal("TERM");
    until("it drains", || {
        let status = machine.status();
        status["machine"]["stage"] == "draining" || status["machine"]["stage"] == "stopping"
    });
    let (_, _, exit) = machine.ask("status --wait");
    assert_eq!(exit, Some(5), "who waits for a machine that goes down is told at once");
    let (exit, talk) = up.end();
    assert_eq!(exit, Some(0), "{talk}");
    assert!(broker.status(&short).await.unwrap().unwrap().result.is_some());
    let life = broker.status(&long).await.unwrap().unwrap().life;
    assert_eq!((life.state, life.attempts, life.crashes), (State::Waiting, 0, 0));
    assert_eq!(processes(&format!("simulate --port {}", machine.base)), 0);
    assert!(!machine.path("runtime/roster/simulation.sock").exists());
    let (_, talk, exit) = machine.ask("status");
    assert_eq!(exit, Some(5));
    assert!(talk.contains("error[RUN020]"), "{talk}");
}

#[tokio::test]
async fn a_second_signal_does_not_wait_and_a_drain_asked_for_over_http_does() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut up = machine.run();
    machine.wait_ready();
    let broker = machine.redis.broker().await;
    let long = submit(&broker, 600_000).await;
    wait_for(&broker, &long, |it| matches!(it.life.state, State::Running { .. })).await;
    up.signal("TERM");
    up.wait("machine", "draining");
    up.signal("TERM");
    assert_eq!(up.end().0, Some(1), "it was not clean");

    let mut up = machine.run();
    machine.wait_ready();
    let mut stream = TcpStream::connect(("127.0.0.1", machine.port)).unwrap();
    write!(
        stream,
        "POST /drain HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        machine.port
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(up.end().0, Some(0));
}
