//! Recordings in object storage: by addresses with the feature `object-store`, and without it a sentence that says how.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[cfg(feature = "object-store")]
#[path = "support/bucket.rs"]
mod bucket;
#[path = "support/journal.rs"]
mod journal;
#[path = "support/stack.rs"]
mod stack;

use std::process::Command;

fn sampler(arguments: &[&str], more: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampler"));
    let is_of_a_store = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|known| name.starts_with(known));
    for (name, _) in std::env::vars().filter(|(name, _)| is_of_a_store(name)) {
        command.env_remove(name);
    }
    command.args(arguments).envs(more.iter().copied());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
#[cfg(not(feature = "object-store"))]
fn an_address_says_what_it_needs() {
    for address in ["s3://bucket/recordings", "az://container", "file:///var/lib/sampler"] {
        let output = sampler(&["analyze", address], &[]).output().unwrap();
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(shown.contains(address) && shown.contains("--features object-store"), "{shown}");
    }
    let dir = tempfile::tempdir().unwrap();
    for odd in ["s3:", "s3:/bucket", "odd://x"] {
        let odd = dir.path().join(odd);
        stack::write(&odd, &[("web", "web:1", 512, 100)], 0);
        assert!(sampler(&["info", odd.to_str().unwrap()], &[]).output().unwrap().status.success(), "a folder's name");
    }
}

#[cfg(feature = "object-store")]
mod with {
    use std::path::{Path, PathBuf};
    use std::process::Output;
    use std::time::{Duration, Instant};

    use super::bucket::{Objects, Server, objects};
    use super::*;

    fn recorded(story: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings").join(story)
    }

    /// A bucket, and a folder for copies that has to be empty after each command.
    struct Bucket {
        server: Server,
        copies: tempfile::TempDir,
    }

    impl Bucket {
        fn with(objects: Objects) -> Bucket {
            Bucket { server: Server::start(objects), copies: tempfile::tempdir().unwrap() }
        }

        fn command(&self, arguments: &[&str]) -> Command {
            let more = [
                ("AWS_ENDPOINT", self.server.endpoint.as_str()),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_SKIP_SIGNATURE", "true"),
                ("AWS_REGION", "here"),
                ("TMPDIR", self.copies.path().to_str().unwrap()),
            ];
            sampler(arguments, &more)
        }

        fn run(&self, arguments: &[&str]) -> Output {
            let output = self.command(arguments).output().unwrap();
            assert_eq!(self.copies.path().read_dir().unwrap().count(), 0, "the copy goes away: {arguments:?}");
            output
        }

        /// As a command says of folders what it says of their addresses.
        fn same(&self, folders: &[&str], addresses: &[&str]) {
            let here = sampler(folders, &[]).output().unwrap();
            let there = self.run(addresses);
            assert!(there.status.success(), "{addresses:?}: {}", text(&there.stderr));
            assert!(!there.stdout.is_empty());
            assert_eq!(text(&there.stdout), text(&here.stdout), "{addresses:?}");
        }
    }

    #[test]
    fn a_local_address_is_read_in_its_place() {
        let bucket = Bucket::with(Vec::new());
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("a recording");
        stack::write(&dir, &[("web", "web:1", 512, 100)], 0);
        let address = format!("file://{}", dir.to_str().unwrap().replace(' ', "%20"));
        bucket.same(&["analyze", "--json", dir.to_str().unwrap()], &["analyze", "--json", &address]);
    }

    #[test]
    fn addresses_show_what_their_folders_do() {
        let unsealed = tempfile::tempdir().unwrap();
        stack::write(unsealed.path(), &[("web", "web:1", 512, 100), ("db", "db:1", 512, 90)], 0);
        let (unsealed, sibling) = (unsealed.path().to_owned(), recorded("sibling"));
        let mut all = objects("fleet/shop", &unsealed);
        all.extend(objects("fleet/vm", &sibling));
        all.extend(objects("", &sibling).into_iter().map(|(name, content)| (name[1..].to_owned(), content)));
        // What is no part of a recording is not fetched.
        all.extend([("fleet/vm/notes.parquet".into(), vec![0; 10]), ("fleet/vm/samples/README".into(), vec![0; 10])]);
        let bucket = Bucket::with(all);
        let (shop, vm) = (unsealed.to_str().unwrap(), sibling.to_str().unwrap());
        bucket.same(
            &["analyze", "--json", shop, vm],
            &["analyze", "--json", "s3://bucket/fleet/shop", "s3://bucket/fleet/vm/"],
        );
        let asked = bucket.server.asked();
        assert!(asked.iter().any(|name| name.ends_with(".journal")), "{asked:?}");
        assert!(!asked.iter().any(|name| name.contains("notes") || name.contains("README")), "{asked:?}");
        bucket.same(&["analyze", "--json", vm], &["analyze", "--json", "s3://bucket"]);
        for command in ["info", "postmortem", "advise"] {
            bucket.same(&[command, "--json", vm], &[command, "--json", "s3://bucket/fleet/vm"]);
        }
        bucket.same(&["export", vm, "--table", "events"], &["export", "s3://bucket/fleet/vm", "--table", "events"]);
        let samples = objects("", &sibling).into_iter().find(|(name, _)| name.starts_with("/samples")).unwrap().0;
        bucket.same(
            &["info", "--json", &format!("{vm}{samples}")],
            &["info", "--json", &format!("s3://bucket/fleet/vm{samples}")],
        );
        bucket.same(&["top", "--once", "--json", vm], &["top", "--once", "--json", "s3://bucket/fleet/vm"]);
        let report = bucket.copies.path().with_extension("html");
        let output = bucket.run(&["report", "s3://bucket/fleet/vm", "--html", report.to_str().unwrap()]);
        assert!(output.status.success() && std::fs::metadata(&report).unwrap().len() > 10_000);
        std::fs::remove_file(report).unwrap();
    }

    #[test]
    fn rows_of_other_days_are_not_fetched() {
        let dir = recorded("sibling");
        let dir = dir.to_str().unwrap();
        let bucket = Bucket::with(objects("vm", &recorded("sibling")));
        let wide = |asked: &[String]| asked.iter().filter(|name| name.starts_with("vm/samples")).count();
        for (part, copied) in [
            (["--from", "2026-11-25T00:00:00Z"], 1),
            (["--from", "2026-11-26T00:00:00Z"], 0),
            (["--to", "2026-11-25T00:00:00Z"], 1),
            (["--to", "2026-11-24T23:00:00Z"], 0),
        ] {
            bucket.same(
                &["analyze", "--json", dir, part[0], part[1]],
                &["analyze", "--json", "s3://bucket/vm", part[0], part[1]],
            );
            let asked = bucket.server.asked();
            assert_eq!(wide(&asked), copied, "{part:?}: {asked:?}");
            assert!(asked.iter().any(|name| name.starts_with("vm/cgroups")), "names are needed: {asked:?}");
        }
        // With no table but the samples, and none of the time.
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/corpus");
        let bucket = Bucket::with(objects("live", &corpus));
        let later = ["--from", "2026-11-27T00:00:00Z"];
        bucket.same(
            &["analyze", "--json", corpus.to_str().unwrap(), later[0], later[1]],
            &["analyze", "--json", "s3://bucket/live", later[0], later[1]],
        );
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_copy() {
        for name in ["vm/samples/../../../../../escaped.parquet", "vm/samples//escaped.parquet"] {
            let mut all = objects("vm", &recorded("sibling"));
            all.push((name.into(), b"PAR1".to_vec()));
            let bucket = Bucket::with(all);
            let output = bucket.run(&["analyze", "s3://bucket/vm"]);
            let shown = text(&output.stderr);
            assert!(!output.status.success() && shown.contains("s3://bucket/vm"), "{shown}");
            assert!(!bucket.copies.path().parent().unwrap().join("escaped.parquet").exists());
        }
        let bucket = Bucket::with(vec![("vm/samples/h/d/.. %2e%2e\u{202e}\\x.parquet".into(), b"PAR1".to_vec())]);
        let shown = text(&bucket.run(&["analyze", "s3://bucket/vm"]).stdout);
        assert!(shown.contains("s3://bucket/vm/samples/h/d/.. %2e%2e\\u{202e}\\x.parquet"), "{shown}");
    }

    #[test]
    fn each_failure_has_its_sentence_and_code() {
        let bucket = Bucket::with(vec![("vm/samples/h/d/stalls.parquet".into(), vec![0; 10])]);
        for (address, code, sentence) in [
            ("s3://bucket/none", 3, "s3://bucket/none holds no recording"),
            ("s3://bucket/none.parquet", 3, "open s3://bucket/none.parquet: there is no such bucket or object"),
            ("s3://nobody/vm", 3, "open s3://nobody/vm: there is no such bucket or object (NoSuchBucket)"),
            (
                "s3://closed/vm",
                4,
                "open s3://closed/vm: refused (AccessDenied); the key is taken from AWS_ACCESS_KEY_ID",
            ),
            ("s3://", 1, "open s3://; an address is like s3://bucket/folder"),
            ("file://elsewhere/var", 1, "it has a host"),
        ] {
            let output = bucket.run(&["analyze", address]);
            let shown = text(&output.stderr);
            assert!(shown.contains(sentence) && shown.lines().count() == 1, "{address}: {shown}");
            assert_eq!(output.status.code(), Some(code), "{shown}");
            assert!(!shown.contains('\x1b') && shown.len() < 400, "{shown}");
        }
        let begun = Instant::now();
        let mut command = bucket.command(&["analyze", "s3://bucket/vm"]);
        // A port that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let output = command.env("AWS_ENDPOINT", format!("http://{free}")).output().unwrap();
        let shown = text(&output.stderr);
        assert!(shown.contains("open s3://bucket/vm: its server was not reached: Connection refused"), "{shown}");
        assert!(begun.elapsed() < Duration::from_secs(30), "a person waits");
    }

    #[test]
    fn a_damaged_object_is_named_by_its_address() {
        let mut all = objects("vm", &recorded("sibling"));
        all.iter_mut().filter(|(name, _)| name.starts_with("vm/host/")).for_each(|(_, content)| content.truncate(1000));
        let bucket = Bucket::with(all);
        let run = || text(&bucket.run(&["analyze", "--json", "s3://bucket/vm"]).stdout);
        let shown: serde_json::Value = serde_json::from_str(&run()).unwrap();
        let source = shown["problems"][0]["source"].as_str().unwrap();
        assert!(source.starts_with("s3://bucket/vm/host/host=vm/date="), "{source}");
        assert!(!run().contains(bucket.copies.path().to_str().unwrap()));
        assert_eq!(run(), run(), "the same recording, the same findings");
    }

    #[test]
    fn a_signal_leaves_no_copy() {
        let bucket = Bucket::with(vec![("vm/samples/h/d/stalls.parquet".into(), vec![0; 1000])]);
        for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
            let mut child = bucket.command(&["analyze", "s3://bucket/vm"]).spawn().unwrap();
            let begun = Instant::now();
            while bucket.server.asked().is_empty() && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(bucket.copies.path().read_dir().unwrap().count(), 1);
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(1));
            assert_eq!(bucket.copies.path().read_dir().unwrap().count(), 0);
        }
    }
}
