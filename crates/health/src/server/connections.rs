//! Connections: each has little time to say what it wants, and there are never too many.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::{Limits, page, routes};
use crate::guard::Guard;

/// The longest head of a request, in bytes, and the most headers in it. hyper has no smaller buffer than 8 KiB.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// How long connections have to end when the server does.
const GRACE: Duration = Duration::from_secs(1);
/// The pause after an accept that failed, as a rule for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections that are open, oldest first.
#[derive(Default)]
struct Open {
    next: u64,
    live: BTreeMap<u64, (AbortHandle, Arc<AtomicBool>)>,
}

type Shelf = Arc<Mutex<Open>>;

fn locked(shelf: &Shelf) -> MutexGuard<'_, Open> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    guard: Arc<Guard>,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let shelf = Shelf::default();
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
            _ = stop.wait_for(|it| *it) => break,
        };
        let Ok((socket, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let mut open = locked(&shelf);
        if open.live.len() >= limits.connections {
            // Whoever comes is let in, and has time to ask. A flood drives out its own.
            let oldest = open.live.iter().find(|(_, (_, stream))| !stream.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(id, _)| *id)
                && let Some((task, _)) = open.live.remove(&oldest)
            {
                task.abort();
            }
        }
        let id = open.next;
        open.next += 1;
        let stream = Arc::new(AtomicBool::new(false));
        let (guard, router) = (guard.clone(), router.clone());
        let talk = talk(socket, guard, router, limits, stream.clone(), stop.clone());
        let gone = shelf.clone();
        let task = tasks.spawn(async move {
            talk.await;
            locked(&gone).live.remove(&id);
        });
        open.live.insert(id, (task, stream));
    }
    drop(listener);
    let _ = timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
}

/// One connection.
async fn talk(
    socket: TcpStream,
    guard: Arc<Guard>,
    router: Router,
    limits: Limits,
    stream: Arc<AtomicBool>,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are small and whole: nothing is gained by waiting for more of them.
    let _ = socket.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let answer = service_fn(move |request: Request<Incoming>| {
        let allowed = allowed(&guard, &request);
        stream.store(routes::streams(request.uri()), Ordering::Relaxed);
        let answered = allowed.map(|()| router.call(request.map(Body::new)));
        async move {
            Ok::<Response<Body>, Infallible>(match answered {
                Ok(answer) => match answer.await {
                    Ok(answer) => answer,
                },
                Err(refused) => *refused,
            })
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    server.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let connection = server.serve_connection(TokioIo::new(socket), answer);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|it| *it) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

fn allowed(guard: &Guard, request: &Request<Incoming>) -> Result<(), Box<Response<Body>>> {
    let open = page::is_page(request.uri().path());
    guard.check(request.method(), request.uri(), request.headers(), open).map_err(|denied| {
        let status = denied.status();
        let mut answer = routes::problem(status, &denied.to_string(), None);
        if status == axum::http::StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Box::new(answer)
    })
}
