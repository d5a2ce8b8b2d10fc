//! Answers at the socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::handle::Order;
use super::protocol::{Answer, Message, REQUEST_BYTES, Request, VERSION};
use super::service::Service;
use super::socket::Socket;
use crate::refusal::Refusal;

/// Askers at a time. The next one waits.
const ASKERS: usize = 64;
/// Until the request has to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two answers to a `ps` that is followed, if nothing happens.
const PERIOD: Duration = Duration::from_secs(1);
/// Between something that happens and the answer that shows it.
const TOGETHER: Duration = Duration::from_millis(100);
/// For the last answers when the supervisor has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Answers everybody who asks at `socket`, until the supervisor has ended and everybody has heard so.
pub async fn serve(socket: &Socket, service: Service) {
    let askers = Arc::new(Semaphore::new(ASKERS));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let seat = askers.clone().acquire_owned();
        let asker = async { (seat.await, socket.listener.accept().await) };
        let (seat, asker) = tokio::select! {
            it = asker => it,
            () = service.control.ended() => break,
        };
        match asker {
            Ok((stream, _)) => {
                let service = service.clone();
                tasks.spawn(async move {
                    // Whoever goes away before the end is no fault.
                    let _ = converse(stream, &service).await;
                    drop(seat);
                });
            }
            // Too many open files, say: it passes.
            Err(_) => sleep(TOGETHER).await,
        }
    }
    // Who does not listen is not waited for.
    let _ = timeout(LAST_WORDS, async { while tasks.join_next().await.is_some() {} }).await;
}

async fn converse(stream: UnixStream, service: &Service) -> io::Result<()> {
    let (own, other) = (rustix::process::geteuid().as_raw(), stream.peer_cred()?.uid());
    let (mut reader, writer) = stream.into_split();
    let mut talk = Talk { service, writer };
    let request = match timeout(PATIENCE, receive(&mut reader)).await {
        Ok(it) => it?,
        Err(_) => Err("it did not come in time".into()),
    };
    if other != own && other != 0 {
        return talk.refuse(vec![Refusal::OtherUser { own, other }]).await;
    }
    match request {
        // An asker who goes away needs no answer: what is not waited for any more is dropped.
        Ok(request) => tokio::select! {
            it = talk.answer(request) => it,
            () = gone(reader) => Ok(()),
        },
        Err(why) => talk.refuse(vec![Refusal::NotUnderstood { why }]).await,
    }
}

async fn receive(reader: &mut OwnedReadHalf) -> io::Result<Result<Request, String>> {
    let mut line = Vec::new();
    BufReader::new(reader.take(REQUEST_BYTES)).read_until(b'\n', &mut line).await?;
    if !line.ends_with(b"\n") {
        return Ok(Err(format!("it is no line of at most {} MiB", REQUEST_BYTES >> 20)));
    }
    // The version first: another one may have other requests.
    let version = serde_json::from_slice::<serde_json::Value>(&line).ok();
    let version = version.and_then(|it| it.get("version")?.as_u64());
    if version.is_some_and(|it| it != u64::from(VERSION)) {
        return Ok(Err(format!("it is of version {}, not {VERSION}", version.unwrap_or_default())));
    }
    Ok(serde_json::from_slice::<Message>(&line).map(|it| it.request).map_err(|it| it.to_string()))
}

/// Ready when the other side has closed. What it says beyond its request is not heard.
async fn gone(mut reader: OwnedReadHalf) {
    let mut rest = [0; 256];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
}

struct Talk<'a> {
    service: &'a Service,
    writer: OwnedWriteHalf,
}

impl Talk<'_> {
    async fn say(&mut self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        self.writer.write_all(&line).await
    }

    async fn refuse(&mut self, refusals: Vec<Refusal>) -> io::Result<()> {
        self.say(&Answer::Refused(refusals.iter().map(Refusal::to_wire).collect())).await?;
        self.say(&Answer::End).await
    }

    async fn answer(&mut self, request: Request) -> io::Result<()> {
        let done = match request {
            Request::Ps { follow } => self.ps(follow).await?,
            Request::Events { follow } => self.events(follow).await?,
            Request::Logs { of, lines, follow } => match self.service.logs(of, lines, follow).await {
                Ok(mut lines) => {
                    while let Some(it) = lines.next().await {
                        self.say(&Answer::Log(it)).await?;
                    }
                    Ok(())
                }
                Err(refused) => Err(refused),
            },
            Request::Start { which, wait } => self.order(Order::Start(which), wait).await?,
            Request::Stop { which, wait } => self.order(Order::Stop(which), wait).await?,
            Request::Restart { which, wait } => self.order(Order::Restart(which), wait).await?,
            Request::Signal { name, signal } => self.order(Order::Signal(name, signal), true).await?,
            Request::Scale { group, count, wait } => self.order(Order::Scale { group, count }, wait).await?,
            Request::Shutdown { force } => self.order(Order::Shutdown { force }, false).await?,
            Request::Reload { document, wait } => match (self.service.reader)(document.as_ref()) {
                Ok(ecosystem) => self.order(Order::Reload(Box::new(ecosystem)), wait).await?,
                Err(refused) => Err(refused),
            },
        };
        match done {
            Ok(()) => self.say(&Answer::End).await,
            Err(refused) => self.refuse(refused).await,
        }
    }

    async fn order(&mut self, order: Order, wait: bool) -> io::Result<Result<(), Vec<Refusal>>> {
        match self.service.control.order(order, wait).await {
            Ok(report) => self.say(&Answer::Report(report)).await.map(Ok),
            Err(refused) => Ok(Err(refused)),
        }
    }

    async fn ps(&mut self, follow: bool) -> io::Result<Result<(), Vec<Refusal>>> {
        let (_, mut events) = match self.service.control.events().await {
            Ok(it) => it,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            match self.service.fleet().await {
                Ok(fleet) => self.say(&Answer::Fleet(fleet)).await?,
                // The supervisor has ended: so has what was followed.
                Err(refused) => return Ok(if follow { Ok(()) } else { Err(refused) }),
            }
            if !follow {
                return Ok(Ok(()));
            }
            tokio::select! {
                _ = tick.tick() => {}
                it = events.recv() => if it == Err(RecvError::Closed) { return Ok(Ok(())) },
            }
            // What happens together is shown together: to look at every process has its price.
            sleep(TOGETHER).await;
            while events.try_recv().is_ok() {}
        }
    }

    async fn events(&mut self, follow: bool) -> io::Result<Result<(), Vec<Refusal>>> {
        let (happened, mut events) = match self.service.control.events().await {
            Ok(it) => it,
            Err(refused) => return Ok(Err(refused)),
        };
        for it in happened {
            self.say(&Answer::Event(it)).await?;
        }
        if !follow {
            return Ok(Ok(()));
        }
        loop {
            match events.recv().await {
                Ok(it) => self.say(&Answer::Event(it)).await?,
                Err(RecvError::Lagged(lost)) => self.say(&Answer::Lost(lost)).await?,
                Err(RecvError::Closed) => return Ok(Ok(())),
            }
        }
    }
}
