//! Recordings in object storage: by addresses with the feature `object-store`, and without it a sentence that says how.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod journal;
#[path = "support/stack.rs"]
mod stack;

use std::path::Path;
use std::process::{Command, Output};

fn analyze(address: &str, more: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampler"));
    command.args(["analyze", "--json", address]).env_remove("AWS_PROFILE").envs(more.iter().map(|(k, v)| (*k, v)));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn recording(dir: &Path) {
    stack::write(dir, &[("web", "web:1", 512, 100), ("db", "db:1", 512, 90)], 0);
}

#[test]
#[cfg(not(feature = "object-store"))]
fn an_address_says_what_it_needs() {
    for address in ["s3://bucket/recordings", "file:///var/lib/sampler"] {
        let output = analyze(address, &[]);
        let told = text(&output.stderr);
        assert!(!output.status.success());
        assert!(told.contains(address) && told.contains("--features object-store"), "{told}");
    }
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("s3:");
    recording(&odd);
    assert!(analyze(odd.to_str().unwrap(), &[]).status.success(), "a folder may be called so");
}

#[cfg(feature = "object-store")]
mod with {
    use super::*;
    use std::fmt::Write as _;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    #[test]
    fn a_recording_is_read_by_the_address_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        recording(dir.path());
        let plain = analyze(dir.path().to_str().unwrap(), &[]);
        let copies = tempfile::tempdir().unwrap();
        let more = [("TMPDIR", copies.path().to_str().unwrap().to_owned())];
        let output = analyze(&format!("file://{}", dir.path().display()), &more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), text(&plain.stdout));
        assert_eq!(copies.path().read_dir().unwrap().count(), 0, "the copy goes away");
        let none = analyze(&format!("file://{}", copies.path().display()), &more);
        assert!(!none.status.success() && text(&none.stderr).contains("holds no recording"), "{}", text(&none.stderr));
        assert_eq!(copies.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_bucket_is_read_by_the_protocol_of_s3() {
        let dir = tempfile::tempdir().unwrap();
        recording(dir.path());
        let mut objects = Vec::new();
        find(dir.path(), dir.path(), &mut objects);
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", server.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let objects = objects.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &objects));
            }
        });
        let more = [
            ("AWS_ENDPOINT", endpoint),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_SKIP_SIGNATURE", "true".into()),
            ("AWS_REGION", "here".into()),
        ];
        let output = analyze("s3://bucket/fleet/one", &more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), text(&analyze(dir.path().to_str().unwrap(), &[]).stdout));
        let none = analyze("s3://bucket/none", &more);
        assert!(text(&none.stderr).contains("holds no recording"), "{}", text(&none.stderr));
    }

    /// Name below the root, and content, of each file.
    fn find(root: &Path, at: &Path, objects: &mut Vec<(String, Vec<u8>)>) {
        for entry in at.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                find(root, &path, objects);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                objects.push((format!("fleet/one/{name}"), std::fs::read(&path).unwrap()));
            }
        }
    }

    /// As much of S3 as it takes: a list by prefix, and an object by name.
    fn serve(stream: std::net::TcpStream, objects: &[(String, Vec<u8>)]) {
        let mut answers = stream.try_clone().unwrap();
        let mut lines = BufReader::new(stream).lines();
        while let Some(Ok(first)) = lines.next() {
            lines.by_ref().map_while(Result::ok).find(|line| line.is_empty());
            let target = first.split(' ').nth(1).unwrap().replace("%2F", "/").replace("%3D", "=");
            let (status, body) = if target.contains("list-type=2") {
                let prefix = target.split("prefix=").nth(1).unwrap().split('&').next().unwrap();
                let mut list = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
                for (name, content) in objects.iter().filter(|(name, _)| name.starts_with(prefix)) {
                    let _ = write!(
                        list,
                        "<Contents><Key>{name}</Key><Size>{}</Size><ETag>x</ETag>\
                         <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                        content.len()
                    );
                }
                ("200 OK", (list + "</ListBucketResult>").into_bytes())
            } else {
                match objects.iter().find(|(name, _)| target == format!("/bucket/{name}")) {
                    Some((_, content)) => ("200 OK", content.clone()),
                    None => ("404 Not Found", Vec::new()),
                }
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: x\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
                body.len()
            );
            answers.write_all(&[head.into_bytes(), body].concat()).unwrap();
        }
    }
}
