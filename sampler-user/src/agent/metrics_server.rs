//! Serves the metrics over HTTP.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::agent::live_board::LiveBoard;
use crate::live::metrics;

/// Connections that are served at once.
pub(super) const CONNECTIONS: usize = 8;

/// A connection is ended after this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Answers connections until the task is aborted. One more than are served at once ends the oldest, which is slow: an answer
/// takes milliseconds.
pub(super) async fn serve(board: LiveBoard, listener: TcpListener) {
    let mut served: JoinSet<()> = JoinSet::new();
    let mut order: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: later there may be some.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        while served.try_join_next().is_some() {}
        order.retain(|connection| !connection.is_finished());
        if order.len() >= CONNECTIONS
            && let Some(oldest) = order.pop_front()
        {
            oldest.abort();
        }
        let board = board.clone();
        order.push_back(served.spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| std::future::ready(answer(&board, &request)));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            let _ = tokio::time::timeout(PATIENCE, connection).await;
        }));
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::live::board::Depth;

    #[tokio::test]
    async fn slow_clients_block_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let board = LiveBoard::new(Depth { step_us: 1, points: 1 }, "h".into(), None);
        let server = tokio::spawn(serve(board, listener));
        let mut slow = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HT").await.unwrap();
            slow.push(stream);
        }
        let mut prompt = TcpStream::connect(address).await.unwrap();
        prompt.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), prompt.read_to_end(&mut answer)).await;
        assert!(read.is_ok() && answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
        server.abort();
    }
}
