//! Serves the metrics over HTTP.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::agent::live_board::LiveBoard;
use crate::live::metrics;

/// Connections that are served at once.
pub(super) const CONNECTIONS: usize = 8;

/// A connection is ended after this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Answers connections until the task is aborted.
pub(super) async fn serve(board: LiveBoard, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: later there may be some.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| std::future::ready(answer(&board, &request)));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            let _ = tokio::time::timeout(PATIENCE, connection).await;
            drop(permit);
        });
    }
}

fn answer(board: &LiveBoard, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    match request.uri().path() {
        "/metrics" => Response::builder()
            .header("Content-Type", metrics::CONTENT_TYPE)
            .body(Full::new(metrics::render(&board.lock()).into())),
        _ => Response::builder().status(StatusCode::NOT_FOUND).body(Full::new("see /metrics\n".into())),
    }
}
