//! `sampler analyze` as a user has it: from columns collected elsewhere to verdicts.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod journal;
#[path = "support/stack.rs"]
mod stack;

use std::fmt::Write;
use std::process::{Command, Output};

use sampler::model::fields::{FieldId, UNLIMITED};
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;
use serde_json::Value;

fn sampler(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

use stack::MIB;

/// Name, and anonymous memory and files at a second.
type Cgroup<'a> = (&'a str, &'a dyn Fn(u64) -> (u64, u64));

/// A recording at 1 Hz, imported.
fn recording(dir: &std::path::Path, seconds: u64, cgroups: &[Cgroup<'_>]) -> String {
    let mut csv = String::from("cgroup,ts_ns,current,anon,file,max,pgfault\n");
    for (name, at) in cgroups {
        for t in 0..seconds {
            let (anon, file) = at(t);
            let noise = t * 7919 % 101 * 1024;
            let _ = writeln!(
                csv,
                "{name},{},{},{},{file},{},{}",
                1_000_000_000_000_000_000 + t * 1_000_000_000,
                anon + noise + file,
                anon + noise,
                512 * MIB,
                t * 500
            );
        }
    }
    let file = dir.join("in.csv");
    std::fs::write(&file, csv).unwrap();
    let out = dir.join("rec").to_str().unwrap().to_owned();
    let imported = sampler(&["import", file.to_str().unwrap(), "--out", &out]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    out
}

#[test]
fn a_leak_differs_from_cache_garbage_and_rest() {
    let dir = tempfile::tempdir().unwrap();
    let out = recording(
        dir.path(),
        1200,
        &[
            ("/leak", &|t| (100 * MIB + t * 200_000, 10 * MIB)),
            ("/late", &|t| (100 * MIB + t.saturating_sub(500) * 300_000, 10 * MIB)),
            ("/files", &|t| (100 * MIB, 10 * MIB + t * 200_000)),
            ("/rest", &|_| (100 * MIB, 10 * MIB)),
            ("/gc", &|t| (100 * MIB + t % 60 * MIB, 10 * MIB)),
            ("/full", &|t| (100 * MIB + t.min(500) * 200_000, 10 * MIB)),
            ("/step", &|t| (if t < 600 { 100 * MIB } else { 180 * MIB }, 10 * MIB)),
        ],
    );
    let first = sampler(&["analyze", &out, "--json"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert_eq!(first.stdout, sampler(&["analyze", &out, "--json"]).stdout, "the same recording, the same findings");
    let document: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(document["format"], "sampler.analyze.v1");
    let of = |path: &str| document["cgroups"].as_array().unwrap().iter().find(|c| c["path"] == path).unwrap().clone();
    for (path, verdict) in [
        ("/leak", "leak"),
        ("/late", "leak"),
        ("/files", "cache"),
        ("/rest", "steady"),
        ("/gc", "sawtooth"),
        ("/full", "bounded-cache"),
        ("/step", "step"),
    ] {
        assert_eq!(of(path)["verdict"], verdict, "{}", of(path));
    }
    let leak = of("/leak");
    assert_eq!((&leak["component"], &leak["name"]), (&"anon".into(), &"leak".into()));
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert!((number(&leak["rate_bytes_per_s"]) - 200_000.0).abs() < 4000.0, "{leak}");
    // 512 MiB less 100 MiB and what leaked already, at that pace; the files make room.
    let want = (412.0 * MIB as f64 - 1200.0 * 200_000.0) / 200_000.0;
    assert!((number(&leak["time_to_limit_s"]) / want - 1.0).abs() < 0.03, "{leak}");
    assert!(number(&leak["probability"]) > 0.8 && number(&of("/rest")["probability"]) < 0.2);
    let onset = sampler::model::time::parse_time(of("/late")["onset"].as_str().unwrap()).unwrap();
    let late = (onset - 1_000_000_000_000_000) / 1_000_000;
    assert!((430..570).contains(&late), "began after 500 s, said {late}");
    let words = text(&sampler(&["analyze", &out]).stdout);
    assert!(words.starts_with("leak "), "what leaks stands first: {words}");
}

#[test]
fn too_little_is_said_with_how_much_more_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let out = recording(dir.path(), 3, &[("/brief", &|t| (MIB * t, 0))]);
    let document: serde_json::Value = serde_json::from_slice(&sampler(&["analyze", &out, "--json"]).stdout).unwrap();
    let brief = &document["cgroups"][0];
    assert_eq!(brief["verdict"], "undetermined");
    assert!(brief["needs_s"].as_f64().unwrap() > 30.0, "{brief}");
}

#[test]
fn a_leak_that_kills_cut_is_a_leak_with_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = String::from("cgroup,ts_ns,current,anon,file,max,oom_kill\n");
    for t in 0..1200u64 {
        // Filled in 200 s, killed, begun again.
        let anon = 20 * MIB + t % 200 * MIB;
        let _ = writeln!(
            csv,
            "/web,{},{anon},{anon},0,{},{}",
            1_700_000_000_000_000_000 + t * 1_000_000_000,
            220 * MIB,
            t / 200
        );
    }
    let file = dir.path().join("in.csv");
    std::fs::write(&file, csv).unwrap();
    let out = dir.path().join("rec").to_str().unwrap().to_owned();
    assert!(sampler(&["import", file.to_str().unwrap(), "--out", &out]).status.success());
    let document: serde_json::Value = serde_json::from_slice(&sampler(&["analyze", &out, "--json"]).stdout).unwrap();
    let web = &document["cgroups"][0];
    assert_eq!((&web["verdict"], &web["component"]), (&"leak".into(), &"anon".into()), "{web}");
    assert!(web["restarts"].as_u64().unwrap() >= 4, "{web}");
}

#[test]
fn a_leak_without_a_limit_runs_into_that_of_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = String::from("cgroup,ts_ns,current,anon,file,max\n");
    for t in 0..600u64 {
        let (leak, other) = (50 * MIB + t * 100_000 + t * 7919 % 101 * 512, 100 * MIB);
        for (path, size, max) in [
            ("/vm", leak + other, (400 * MIB).to_string()),
            ("/vm/leak", leak, "max".into()),
            ("/vm/db", other, "max".into()),
        ] {
            let _ = writeln!(csv, "{path},{},{size},{size},0,{max}", 1_700_000_000_000_000_000 + t * 1_000_000_000);
        }
    }
    let file = dir.path().join("in.csv");
    std::fs::write(&file, csv).unwrap();
    let out = dir.path().join("rec").to_str().unwrap().to_owned();
    assert!(sampler(&["import", file.to_str().unwrap(), "--out", &out]).status.success());
    let document: serde_json::Value = serde_json::from_slice(&sampler(&["analyze", &out, "--json"]).stdout).unwrap();
    let leak = document["cgroups"].as_array().unwrap().iter().find(|c| c["path"] == "/vm/leak").unwrap();
    assert_eq!((&leak["verdict"], &leak["limit_owner"]), (&"leak".into(), &"/vm".into()), "{leak}");
    let left = (250.0 * MIB as f64 - 600.0 * 100_000.0) / 100_000.0;
    assert!((leak["time_to_limit_s"].as_f64().unwrap() / left - 1.0).abs() < 0.03, "{leak}, want {left}");
}

#[test]
fn a_leak_without_any_limit_runs_into_the_end_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let machine = |with_host: bool| {
        let dir = dir.path().join(with_host.to_string());
        let mut writer = journal::create(&dir);
        writer.subject(0, &Subject::host());
        for (number, path) in [(1, "/free"), (2, "/wide"), (3, "/tight")] {
            writer.subject(number, &Subject { cgroup: path.into(), id: u64::from(number), process: None });
        }
        let begin_ns = sampler::model::time::mono_ns();
        for t in 0..900u64 {
            let anon = 50 * MIB + t * 100_000 + t * 7919 % 101 * 512;
            let mut pass = |kind, rows: &[(u32, &[(FieldId, u64)])]| {
                let head = PassHead { kind, mono_ns: begin_ns + t * 1_000_000_000, rows: rows.len() as u32 };
                writer.pass(head);
                for (number, fields) in rows {
                    let mut row = Row::new(*number);
                    fields.iter().for_each(|(id, value)| row.put(id.field(), *value));
                    writer.row(head, &row);
                }
            };
            let file = 400 * MIB;
            let of = |max| {
                [(FieldId::Current, anon + file), (FieldId::Anon, anon), (FieldId::File, file), (FieldId::Max, max)]
            };
            pass(PassKind::Full, &[(1, &of(UNLIMITED)), (2, &of(4096 * MIB)), (3, &of(600 * MIB))]);
            if with_host {
                let left = 2000 * MIB - 3 * anon;
                let swap = [(FieldId::SwapTotal, 9000 * MIB), (FieldId::SwapFree, 9000 * MIB)];
                pass(
                    PassKind::Host,
                    &[(0, &[(FieldId::MemTotal, 2048 * MIB), (FieldId::MemAvailable, left), swap[0], swap[1]])],
                );
            }
        }
        writer.flush(true);
        let document = document(&[dir.to_str().unwrap()]);
        let words = text(&sampler(&["analyze", dir.to_str().unwrap(), "-v"]).stdout);
        let list = document["cgroups"].as_array().unwrap();
        (["/free", "/wide", "/tight"].map(|path| list.iter().find(|c| c["path"] == path).unwrap().clone()), words)
    };
    let ([free, wide, tight], words) = machine(true);
    let held = 50.0 * MIB as f64 + 900.0 * 100_000.0;
    let available = 2000.0 * MIB as f64 - 3.0 * held;
    for machine in [&free, &wide] {
        assert_eq!((&machine["verdict"], &machine["limit_owner"]), (&"leak".into(), &"".into()), "{machine}");
        let left = machine["time_to_limit_s"].as_f64().unwrap() / (available / 100_000.0);
        assert!((left - 1.0).abs() < 0.03, "neither swap nor page cache is counted: {machine}");
        let [low, high] = [0, 1].map(|end| machine["time_to_limit_ci90"][end].as_f64().unwrap());
        assert!((low..high).contains(&(available / 100_000.0)), "{machine}");
        assert!((machine["limit_bytes"].as_f64().unwrap() / (held + available) - 1.0).abs() < 0.01, "{machine}");
    }
    assert_eq!((&tight["limit_owner"], &tight["limit_bytes"]), (&"/tight".into(), &(600 * MIB).into()), "{tight}");
    let line = words.lines().find(|line| line.contains("/free")).unwrap();
    assert!(line.contains("that the machine leaves it beside page cache, ") && line.contains("limit in "), "{line}");
    let ([free, wide, _], words) = machine(false);
    assert_eq!(
        (&free["limit_owner"], &free["time_to_limit_s"], &free["alarm"]),
        (&Value::Null, &Value::Null, &false.into())
    );
    assert_eq!(wide["limit_owner"], "/wide");
    assert!(words.lines().any(|line| line.contains("/free") && line.contains("no limit")), "{words}");
}

#[test]
fn detectors_are_listed_and_explained_and_names_cannot_write_to_the_terminal() {
    let list = text(&sampler(&["analyze", "--list"]).stdout);
    for name in list.lines() {
        assert!(sampler(&["analyze", "--explain", name]).stdout.len() > 60, "{name}");
    }
    assert!(list.lines().count() >= 9 && list.contains("leak"));
    let wrong = sampler(&["analyze", "--explain", "magic"]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("bounded-cache"));
    let dir = tempfile::tempdir().unwrap();
    let out = recording(dir.path(), 60, &[("/\u{1b}[31mred", &|_| (MIB, 0))]);
    assert!(!text(&sampler(&["analyze", &out, "-v"]).stdout).contains('\u{1b}'));
}

/// Rows of (cgroup, second, bytes), imported as a host.
fn import(dir: &std::path::Path, out: &str, host: &str, rows: impl Iterator<Item = (String, u64, u64)>) {
    let mut csv = String::from("cgroup,ts_ns,current,anon,file\n");
    for (path, t, bytes) in rows {
        let _ = writeln!(csv, "{path},{},{bytes},{bytes},0", 1_700_000_000_000_000_000 + t * 1_000_000_000);
    }
    let file = dir.join(format!("{host}.csv"));
    std::fs::write(&file, csv).unwrap();
    let imported = sampler(&["import", file.to_str().unwrap(), "--host", host, "--out", out]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
}

fn document(args: &[&str]) -> serde_json::Value {
    let output = sampler(&[&["analyze", "--json"], args].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

#[test]
fn what_rises_together_is_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rec").to_str().unwrap().to_owned();
    let noise = |t: u64, n: u64| (t * 7919 + n * 131) % 97 * 2048;
    let rows = (0..1200).flat_map(|t| {
        let storm = if t % 60 < 6 { 40 * MIB } else { 0 };
        ["/a", "/b", "/c"]
            .into_iter()
            .zip(0..)
            .map(move |(path, n)| (path.to_owned(), t, 100 * MIB + storm + noise(t, n)))
            .chain([("/rest".to_owned(), t, 100 * MIB + noise(t, 9))])
    });
    import(dir.path(), &out, "h", rows);
    let document = document(&[&out]);
    let group = &document["groups"][0];
    assert_eq!(document["groups"].as_array().unwrap().len(), 1, "{document}");
    assert_eq!(group["members"], serde_json::json!(["/a", "/b", "/c"]));
    assert!((group["period_s"].as_f64().unwrap() - 60.0).abs() < 0.2, "{group}");
    assert!(group["rise_bytes"].as_u64().unwrap().abs_diff(120 * MIB) < 3 * MIB, "{group}");
    assert!(text(&sampler(&["analyze", &out]).stdout).contains("3 cgroups rise together every 60 s"));
}

#[test]
fn hosts_are_kept_apart_in_one_folder_and_their_restarts_are_one_workload() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("fleet").to_str().unwrap().to_owned();
    let other = dir.path().join("other").to_str().unwrap().to_owned();
    // Three pods on each of two hosts, each alive for 50 minutes, with a leak that is slower than they live.
    for (n, (host, out)) in [("one", &out), ("two", &out), ("three", &other)].into_iter().enumerate() {
        let rows = (0..3u64).flat_map(move |pod| {
            let letter = ["b", "c", "d"][pod as usize];
            (0..3000u64).map(move |t| {
                let path = format!("/prod/web-7d4b9c68f5-x2x9{letter}/app");
                let noise = (t * 7919 + pod * 31 + n as u64) % 101 * 4096;
                (path, pod * 3100 + t, 100 * MIB + t * 2000 + noise)
            })
        });
        import(dir.path(), out, host, rows.chain((0..600).map(|t| ("/db".to_owned(), t, (n as u64 + 1) * 10 * MIB))));
    }
    let document = document(&[&out, &other]);
    let hosts: Vec<_> = document["cgroups"].as_array().unwrap().iter().filter(|c| c["path"] == "/db").collect();
    assert_eq!(hosts.len(), 3, "each host has its own: {hosts:?}");
    for (host, size) in [("one", 10), ("two", 20), ("three", 30)] {
        let db = hosts.iter().find(|c| c["host"] == host).unwrap();
        assert_eq!(db["last_bytes"], size * MIB, "{db}");
    }
    let web = document["workloads"].as_array().unwrap().iter().find(|w| w["workload"] == "/prod/web-*/app").unwrap();
    assert_eq!((&web["lives"], &web["verdict"]), (&9.into(), &"leak".into()), "{web}");
    assert_eq!(web["hosts"], serde_json::json!(["one", "three", "two"]));
    assert!((web["rate_bytes_per_s"].as_f64().unwrap() / 2000.0 - 1.0).abs() < 0.1, "{web}");
    assert!(text(&sampler(&["analyze", &out, &other]).stdout).contains("workload      /prod/web-*/app leak"));
}

#[test]
fn containers_of_a_compose_service_are_one_workload_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    stack::write(dir.path(), &[("web", "web:1", 512, 100), ("web", "web:2", 512, 90), ("db", "db:1", 512, 90)], 0);
    let document = document(&[dir.path().to_str().unwrap()]);
    let workloads = document["workloads"].as_array().unwrap();
    let [web] = &workloads[..] else { panic!("{workloads:?}") };
    assert_eq!(
        (&web["workload"], &web["lives"]),
        (&"shop/web".into(), &2.into()),
        "ids alone would say nothing: {web}"
    );
}

mod foreign {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn write(path: &std::path::Path, cgroup: &str, time: &str, version: &str) {
        let schema = format!("message m {{ required binary {cgroup} (UTF8); required int64 {time}; }}");
        let pair = KeyValue::new("sampler.schema_version".to_owned(), version.to_owned());
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![pair])).build();
        let schema = parse_message_type(&schema).unwrap().into();
        let file = std::fs::File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, properties.into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("/a")], None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[1], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn each_file_that_is_not_ours_or_damaged_gets_a_sentence_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("rec").to_str().unwrap().to_owned();
        import(dir.path(), &out, "h", (0..2000).map(|t| ("/a".to_owned(), t, 7919 * t % 4001 * MIB)));
        let good = std::fs::read_dir(dir.path().join("rec/samples/host=h")).unwrap().next().unwrap().unwrap().path();
        let good = std::fs::read(good.join("h.parquet")).unwrap();
        let file = dir.path().join("x.parquet");
        let say = || {
            let output = sampler(&["analyze", file.to_str().unwrap()]);
            assert!(!output.status.success());
            text(&output.stdout)
        };
        std::fs::write(&file, "cgroup,time\n/a,1\n").unwrap();
        assert!(say().contains("it does not begin as a Parquet file does"), "{}", say());
        std::fs::write(&file, "").unwrap();
        assert!(say().contains("it does not begin as a Parquet file does"), "{}", say());
        std::fs::write(&file, &good[..good.len() / 2]).unwrap();
        assert!(say().contains("its end is missing") && say().contains("copy it again"), "{}", say());
        write(&file, "container", "ts", "1");
        assert!(say().contains("there is no column `cgroup`") && say().contains("sampler import"), "{}", say());
        write(&file, "cgroup", "ts", "1");
        assert!(say().contains("there is no column `time`"), "{}", say());
        write(&file, "cgroup", "time", "99");
        assert!(say().contains("have version 99"), "{}", say());
        // A byte of the file changed: a sentence and no all-clear, or it is nothing that is read; never other numbers.
        let analyze = || sampler(&["analyze", file.to_str().unwrap(), "--json"]);
        std::fs::write(&file, &good).unwrap();
        let whole = text(&analyze().stdout);
        let mut detected = 0;
        for at in (4..good.len() - 8).step_by(good.len() / 40) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&file, &bytes).unwrap();
            let output = analyze();
            match output.status.code() {
                Some(5) => detected += usize::from(text(&output.stdout).contains("x.parquet")),
                code => assert_eq!((code, text(&output.stdout)), (Some(0), whole.clone()), "byte {at}"),
            }
        }
        assert!(detected > 20, "{detected} of 40 were detected");
    }
}
