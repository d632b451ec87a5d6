//! As much of S3 as it takes: a list by prefix, and an object by name.
#![allow(clippy::unwrap_used, dead_code, reason = "a test panics, and not each uses all")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Name, and content.
pub type Objects = Vec<(String, Vec<u8>)>;

/// Files below a folder, with names below `prefix`.
pub fn objects(prefix: &str, dir: &Path) -> Objects {
    let mut found = Vec::new();
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            found.extend(objects(&name, &path));
        } else {
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// A server with one bucket, `bucket`. It keeps another, `closed`, to itself, and does not know of others.
pub struct Server {
    pub endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(objects: Objects) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (asked, objects) = (Arc::new(Mutex::new(Vec::new())), Arc::new(objects));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (objects, log) = (objects.clone(), log.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &objects, &log));
            }
        });
        Server { endpoint, asked }
    }

    /// Names of the objects that were asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn serve(stream: TcpStream, objects: &Objects, log: &Mutex<Vec<String>>) {
    let mut answers = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(first)) = lines.next() {
        lines.by_ref().map_while(Result::ok).find(|line| line.is_empty());
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let target = decoded(target);
        let (status, body) = answer(&target, objects);
        if let Some(name) = target.strip_prefix("/bucket/") {
            log.lock().unwrap().push(name.to_owned());
            // Never the whole of it.
            if name.ends_with("stalls.parquet") && method == "GET" {
                answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: x\r\n\r\nPAR1").unwrap();
                continue;
            }
        }
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: x\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
            body.len()
        );
        let body = if method == "HEAD" { Vec::new() } else { body };
        if answers.write_all(&[head.into_bytes(), body].concat()).is_err() {
            return;
        }
    }
}

fn decoded(target: &str) -> String {
    let mut bytes = target.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digits = || char::from(bytes.next().unwrap()).to_digit(16).unwrap() as u8;
        out.push(if byte == b'%' { digits() << 4 | digits() } else { byte });
    }
    String::from_utf8(out).unwrap()
}

fn answer(target: &str, objects: &Objects) -> (&'static str, Vec<u8>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (bucket, name) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    match bucket {
        "bucket" if query.contains("list-type=2") => ("200 OK", list(query, objects)),
        "bucket" => match objects.iter().find(|(known, _)| known == name) {
            Some((_, content)) => ("200 OK", content.clone()),
            None => ("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
        },
        "closed" => ("403 Forbidden", b"<Error><Code>AccessDenied</Code><Message>\x1b[31m</Message></Error>".to_vec()),
        _ => ("404 Not Found", b"<Error><Code>NoSuchBucket</Code></Error>".to_vec()),
    }
}

fn list(query: &str, objects: &Objects) -> Vec<u8> {
    let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).unwrap_or_default();
    let mut list = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
    for (name, content) in objects.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let _ = write!(
            list,
            "<Contents><Key>{name}</Key><Size>{}</Size><ETag>x</ETag>\
             <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
            content.len()
        );
    }
    (list + "</ListBucketResult>").into_bytes()
}
