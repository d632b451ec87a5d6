//! Takes connections, as many as there is room for.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::serve::app::App;
use crate::serve::patient::Patient;
use crate::serve::routes::answer;

/// Connections at once.
const CONNECTIONS: usize = 64;
/// A request has to come within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// A write may wait for so long for who asked.
const STALL: Duration = Duration::from_secs(20);
/// Bytes of a request.
const LONGEST: usize = 16 << 10;
/// Its headers.
const HEADERS: usize = 64;

/// A connection, and whether its request has come.
struct Served(AbortHandle, Arc<AtomicBool>);

/// Answers connections until it is aborted. When there is no room, the oldest that has not asked yet makes some; where all have, a
/// new one is closed. Each connection is of one request.
pub async fn listen(app: Arc<App>, listener: TcpListener) {
    let mut builder = Builder::new();
    builder.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.max_buf_size(LONGEST).max_headers(HEADERS);
    let mut served: JoinSet<()> = JoinSet::new();
    let mut order: VecDeque<Served> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: later there may be some.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        while served.try_join_next().is_some() {}
        order.retain(|Served(connection, _)| !connection.is_finished());
        if order.len() >= CONNECTIONS {
            let waits = order.iter().position(|Served(_, has_asked)| !has_asked.load(Ordering::Relaxed));
            match waits.and_then(|at| order.remove(at)) {
                Some(Served(connection, _)) => connection.abort(),
                None => continue,
            }
        }
        let (app, has_asked) = (app.clone(), Arc::new(AtomicBool::new(false)));
        let asks = has_asked.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            asks.store(true, Ordering::Relaxed);
            let app = app.clone();
            async move { Ok::<_, Infallible>(answer(app, request).await) }
        });
        let connection = builder.serve_connection(TokioIo::new(Patient::new(stream, STALL)), service);
        let task = served.spawn(async move {
            let _ = connection.await;
        });
        order.push_back(Served(task, has_asked));
    }
}
