//! A client of `sampler serve`, and the server that a test starts.
#![allow(clippy::unwrap_used, dead_code, reason = "a test panics, and not each uses all")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `sampler serve`; it ends with the test.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub link: String,
}

impl Server {
    /// Of a recording, on a port of its own of this machine.
    pub fn start(dir: &Path, more: &[&str]) -> Server {
        Server::listening(dir, "127.0.0.1:0", more)
    }

    pub fn listening(dir: &Path, listen: &str, more: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sampler"));
        command.arg("serve").arg(dir).args(["--listen", listen]).args(more);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let link = lines.find_map(|line| line.unwrap().split_once("dashboard at ").map(|(_, link)| link.to_owned()));
        let link = link.expect("the server starts");
        // It may say more.
        std::thread::spawn(move || lines.count());
        let port: u16 = link.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
        Server { child, address: SocketAddr::from(([127, 0, 0, 1], port)), link }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory at most, KiB.
    pub fn most_resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Status, head and body of what a path answers.
    pub fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address))
    }

    /// A document.
    pub fn json(&self, path: &str) -> serde_json::Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// The plots of a recording whose past was read.
    pub fn plots(&self, query: &str) -> serde_json::Value {
        let begun = Instant::now();
        loop {
            let reply = self.get(&format!("/api/v1/plots?{query}"));
            if reply.status == 200 {
                let plots: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
                if plots["read"] == 1.0 {
                    return plots;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{reply:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What bytes are answered with.
    pub fn ask(&self, request: &str) -> Reply {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A connection that is closed early has answered what it has.
        let _ = stream.read_to_end(&mut answer);
        Reply::parse(&answer)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer; its status is 0 where the connection was closed without one.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    fn parse(answer: &[u8]) -> Reply {
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Reply::default() };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = &answer[end + 4..];
        let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_vec() };
        Reply { status, head, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name)).map(|(_, v)| v)
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&rest[..end]).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(part) = length.filter(|length| *length > 0).and_then(|length| rest.get(end + 2..end + 2 + length))
        else {
            break;
        };
        body.extend(part);
        rest = &rest[end + 2 + part.len() + 2..];
    }
    body
}
