//! Projects of several files, with what Compose makes of them. The facts were compared with `docker compose config` 2.40.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::advise::compose::error::Error;
use crate::advise::compose::overriding::{ServiceLimits, text};
use crate::advise::compose::project::*;
use crate::advise::compose::{File, Placement};

/// Files by path, the last being given first with `-f` where it is called so.
fn project(files: &[(&str, &str)], given: &[&str], env: &[(&str, &str)]) -> Result<File, Error> {
    let files: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let read = |path: &Path| {
        // As a file system does it: `a/../b` is b.
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    clean.pop();
                }
                part => clean.push(part),
            }
        }
        files.get(&clean).map(|text| text.clone().into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    File::load(&Sources {
        files: given.iter().map(PathBuf::from).collect(),
        directory: None,
        env_files: Vec::new(),
        variables: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        read: &read,
    })
}

/// `limit@place` of each service, `-` without one.
fn limits(file: &File) -> BTreeMap<&str, String> {
    let shown = |limit: Option<u64>| limit.map_or("-".to_owned(), |limit| format!("{}m", limit >> 20));
    let place = |place| match place {
        Placement::Plain => "plain",
        Placement::Deploy => "deploy",
        Placement::Both => "both",
    };
    file.services.iter().map(|s| (s.name.as_str(), format!("{}@{}", shown(s.limit), place(s.placement)))).collect()
}

/// Name, files (the first is given), `service=limit@place` of all services.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CASES: &[Case] = &[
    (
        "extends in one file",
        &[(
            "c.yml",
            "services:\n  a: {image: x, mem_limit: 1g}\n  b: {extends: a}\n  c: {extends: {service: b}, mem_limit: 2g}\n",
        )],
        "a=1024m@plain b=1024m@plain c=2048m@plain",
    ),
    (
        "extends from files, a chain",
        &[
            ("p/c.yml", "services:\n  a: {extends: {file: base/b.yml, service: mid}}\n"),
            (
                "p/base/b.yml",
                "services:\n  mid: {extends: {file: ../root.yml, service: top}, deploy: {resources: {limits: {cpus: '1'}}}}\n",
            ),
            ("p/root.yml", "services: {top: {image: x, deploy: {resources: {limits: {memory: 300M}}}}}\n"),
        ],
        "a=300m@deploy",
    ),
    (
        "extends a file of format 1",
        &[
            ("c.yml", "version: '2'\nservices:\n  a: {extends: {file: common.yml, service: app}}\n"),
            ("common.yml", "app: {image: x, mem_limit: 64m}\n"),
        ],
        "a=64m@plain",
    ),
    (
        "reset takes away what is extended",
        &[(
            "c.yml",
            "services:\n  base: {image: x, mem_limit: 1g, deploy: {resources: {limits: {memory: 1g}}}}\n  a: {extends: base, mem_limit: !reset null}\n",
        )],
        "a=1024m@deploy base=1024m@both",
    ),
    (
        "override replaces what is extended",
        &[(
            "c.yml",
            "services:\n  base: {image: x, deploy: {resources: {limits: {memory: 1g, cpus: '1'}}}}\n  a: {extends: base, deploy: !override {replicas: 2}}\n",
        )],
        "a=-@plain base=1024m@deploy",
    ),
    (
        "a reset beside what is merged in",
        &[(
            "c.yml",
            "x-c: &c {mem_limit: 99m}\nservices:\n  base: {image: x, mem_limit: 1g}\n  a: {extends: base, mem_limit: !reset null, <<: *c}\n",
        )],
        "a=99m@plain base=1024m@plain",
    ),
    (
        "variables with defaults",
        &[
            (
                "c.yml",
                "services:\n  a: {image: x, mem_limit: \"${A:-${B:-128m}}\"}\n  b: {image: x, mem_limit: \"${C-64m}\"}\n  c: {image: x, mem_limit: \"${D:+1g}\"}\n  d: {image: x, mem_limit: \"${E}m\"}\n",
            ),
            (".env", "E=32\nC=\n"),
        ],
        "a=128m@plain b=-@plain c=-@plain d=32m@plain",
    ),
    (
        "include, short and long",
        &[
            (
                "c.yml",
                "include:\n  - a/compose.yml\n  - path: [b/x.yml, b/y.yml]\n    project_directory: .\n    env_file: b/vars\nservices: {web: {image: x}}\n",
            ),
            ("a/compose.yml", "services: {one: {image: x, mem_limit: \"${M}\"}}\n"),
            ("a/.env", "M=96m\n"),
            ("b/x.yml", "services: {two: {image: x, mem_limit: 1g}}\n"),
            ("b/y.yml", "services: {two: {mem_limit: \"${M:-1m}\"}}\n"),
            ("b/vars", "M=48m\n"),
        ],
        "one=96m@plain two=48m@plain web=-@plain",
    ),
    (
        "include of an include",
        &[
            ("c.yml", "include: [a/c.yml]\n"),
            ("a/c.yml", "include: [../b/c.yml]\nservices: {one: {image: x}}\n"),
            ("b/c.yml", "services: {two: {image: x, mem_limit: 5m}}\n"),
        ],
        "one=-@plain two=5m@plain",
    ),
    (
        "anchors, merge keys, a list of them",
        &[(
            "c.yml",
            "x-a: &a {mem_limit: 1g, image: x}\nx-b: &b\n  deploy: &d\n    resources: &r {limits: {memory: 2g}}\nservices:\n  a: {<<: *a}\n  b: {<<: [*b, *a], mem_limit: 2g}\n  c:\n    <<: *a\n    mem_limit: 3g\n  d: {image: x, deploy: {<<: *d, replicas: 2}}\n",
        )],
        "a=1024m@plain b=2048m@both c=3072m@plain d=2048m@deploy",
    ),
    (
        "units and plain bytes",
        &[(
            "c.yml",
            "services:\n  a: {image: x, mem_limit: 104857600}\n  b: {image: x, mem_limit: '1.5GiB'}\n  c: {image: x, mem_limit: 512 MB}\n  d: {image: x, mem_limit: 65536kb}\n  e: {image: x, mem_limit: 0}\n",
        )],
        "a=100m@plain b=1536m@plain c=512m@plain d=64m@plain e=-@plain",
    ),
    ("JSON", &[("c.json", "{\"services\": {\"a\": {\"image\": \"x\",\t\"mem_limit\": \"1g\"}}}")], "a=1024m@plain"),
    (
        "several documents",
        &[("c.yml", "services: {a: {image: x, mem_limit: 1g}}\n---\nservices: {a: {mem_limit: 2g}}\n")],
        "a=2048m@plain",
    ),
    (
        "cpus only, devices, an empty block",
        &[(
            "c.yml",
            "services:\n  a: {image: x, deploy: {resources: {limits: {cpus: '0.5'}}}}\n  b: {image: x, deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}}\n  c: {image: x, deploy: {resources: {limits: {}}}}\n  d: {image: x, deploy: {resources: {}}}\n  e: {image: x, deploy: }\n",
        )],
        "a=-@deploy b=-@plain c=-@deploy d=-@plain e=-@plain",
    ),
    (
        "format 3 with swarm's keys",
        &[(
            "c.yml",
            "version: \"3.8\"\nservices:\n  a: {image: x, deploy: {mode: global, placement: {constraints: [node.role == manager]}, resources: {limits: {memory: 50M}, reservations: {memory: 20M}}}}\n",
        )],
        "a=50m@deploy",
    ),
];

#[test]
fn a_project_is_what_compose_makes_of_it() {
    for (name, files, wanted) in CASES {
        let file = project(files, &[files[0].0], &[]).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let found: Vec<String> =
            limits(&file).into_iter().map(|(service, limit)| format!("{service}={limit}")).collect();
        assert_eq!(found.join(" "), *wanted, "{name}");
    }
}

#[test]
fn hundreds_of_aliases_are_read() {
    let mut text = String::from(
        "x-log: &log {driver: json-file, options: &o {max-size: 10m}}\nx-app: &app {image: x, mem_limit: 1g, logging: *log}\nservices:\n",
    );
    (0..300).for_each(|n| text.push_str(&format!("  s{n}: {{<<: *app, labels: *o, mem_limit: {}m}}\n", n + 1)));
    let file = project(&[("c.yml", &text)], &["c.yml"], &[]).unwrap();
    assert_eq!(file.services.len(), 300);
    assert!(file.services.iter().all(|service| service.limit.is_some_and(|limit| limit < 1 << 30)));
}

#[test]
fn several_files_and_the_variables_of_the_shell() {
    let files = [
        (
            "c.yml",
            "name: shop\nservices:\n  a: {image: x, mem_limit: 1g, profiles: [debug], environment: [A=1, B=2], command: [x, y], scale: 2}\n  b: {image: x, mem_limit: \"${M}\"}\n",
        ),
        (
            "prod.yml",
            "services:\n  a: {mem_limit: 2g, environment: {B: 3}, command: [z], deploy: {replicas: 3}}\n  b: {mem_limit: !reset null}\n  c: {image: y}\n",
        ),
        (".env", "M=1g\nCOMPOSE_PROJECT_NAME=other\n"),
    ];
    let file = project(&files, &["c.yml", "prod.yml"], &[("M", "3g")]).unwrap();
    assert_eq!(limits(&file).into_values().collect::<Vec<_>>(), ["2048m@plain", "-@plain", "-@plain"]);
    let a = file.service("a").unwrap();
    assert_eq!((a.environment["A"].as_str(), a.environment["B"].as_str(), a.command.join(" ")), ("1", "3", "z".into()));
    assert_eq!((a.replicas, a.profiles.join(" ")), (Some(3), "debug".into()));
    assert_eq!(file.name.as_deref(), Some("other"));
    let one = project(&files, &["c.yml"], &[("M", "3g")]).unwrap();
    assert_eq!(one.service("b").unwrap().limit, Some(3 << 30), "the shell's variables win");
}

#[test]
fn what_is_wrong_or_elsewhere_is_said() {
    let fault = |files: &[(&str, &str)]| project(files, &[files[0].0], &[]).unwrap_err();
    let old = fault(&[("c.yml", "web: {image: x, mem_limit: 1g}\ndb: {extends: {file: b.yml, service: d}}\n")]);
    let Error::FormatOne(names) = old.cause() else { panic!("{old:?}") };
    assert_eq!(names.join(" "), "db web");
    assert!(old.cause().to_string().contains("Put `services:` above them"), "{old:?}");
    let lost = fault(&[("c.yml", "include: [gone/compose.yml]\n")]);
    assert!(lost.to_string().contains("gone/compose.yml"), "{lost}");
    let cycle = fault(&[("c.yml", "services: {a: {extends: b}, b: {extends: a}}\n")]);
    assert!(matches!(cycle.cause(), Error::Cycle(_)), "{cycle:?}");
    let cycle = fault(&[("c.yml", "include: [c.yml]\n")]);
    assert!(matches!(cycle.cause(), Error::Cycle(_) | Error::Many), "{cycle:?}");
    let twice =
        fault(&[("c.yml", "include: [a.yml]\nservices: {a: {image: x}}\n"), ("a.yml", "services: {a: {image: y}}\n")]);
    assert!(matches!(twice.cause(), Error::Conflict(_)), "{twice:?}");
    let base = fault(&[("c.yml", "services: {a: {extends: b}}\n")]);
    assert!(matches!(base.cause(), Error::NoBase { .. }), "{base:?}");
    let twice = fault(&[("c.yml", "services:\n  a: {image: x, image: y}\n")]);
    assert!(matches!(twice.cause(), Error::Yaml(_)), "{twice:?}");
    // What the user has to do elsewhere stops nobody from reading.
    let text =
        "name: ${NAME:?say it}\ninclude: ['https://host/x.git']\nservices: {a: {image: '$IMAGE', mem_limit: 1g}}\n";
    let file = project(&[("c.yml", text)], &["c.yml"], &[]).unwrap();
    assert_eq!((limits(&file)["a"].as_str(), file.missing.required["NAME"].as_str()), ("1024m@plain", "say it"));
    assert!(file.missing.unset.contains("IMAGE") && file.unread.contains("https://host/x.git") && file.name.is_none());
}

/// Files that each have a block, in all ways that Compose distinguishes.
fn kinds() -> String {
    let limits =
        ["", "mem_limit: 900m, ", "mem_limit: 900m, memswap_limit: 2g, ", "memswap_limit: -1, mem_limit: 900m, "];
    let blocks = ["", "limits: {cpus: '1'}", "limits: {memory: 900m}", "limits: {}"];
    let reservations =
        ["", "reservations: {memory: 700m}", "reservations: {devices: [{capabilities: [gpu], count: 1}]}"];
    let mut out = String::from("services:\n");
    let mut count = 0;
    for limit in limits {
        for block in blocks {
            for reserved in reservations {
                for plain in ["", "mem_reservation: 700m, "] {
                    // What Compose refuses by itself is nobody's project.
                    let is_refused = limit.contains("mem_limit") && !block.is_empty() && !block.contains("memory")
                        || !plain.is_empty() && !reserved.is_empty() && !reserved.contains("memory");
                    if is_refused {
                        continue;
                    }
                    count += 1;
                    let comma = if block.is_empty() || reserved.is_empty() { "" } else { ", " };
                    let deploy = format!("{block}{comma}{reserved}");
                    let deploy =
                        if deploy.is_empty() { deploy } else { format!(", deploy: {{resources: {{{deploy}}}}}") };
                    out.push_str(&format!("  s{count}: {{{limit}{plain}image: x{deploy}}}\n"));
                }
            }
        }
    }
    out
}

fn wanted(service: &str, limit: u64, with_swap: Option<u64>) -> ServiceLimits {
    ServiceLimits {
        service: service.to_owned(),
        limit: Some(limit),
        reservation: Some(limit / 2).filter(|_| with_swap.is_some()),
        with_swap,
        interval: None,
        because: Vec::new(),
    }
}

/// The rules by which compose-go accepts a merged service (`loader/validate.go`), and Docker a container.
fn check(root: &Map, name: &str, limit: u64) {
    let service = root["services"].map().unwrap()[name].value();
    let block = |name: &str| &service["deploy"]["resources"][name];
    let bytes = |value: &Value| value.as_str().and_then(crate::advise::compose::size::size);
    for (plain, name) in [("mem_limit", "limits"), ("mem_reservation", "reservations")] {
        if let (Some(plain), true) = (bytes(&service[plain]), block(name).is_object()) {
            assert_eq!(bytes(&block(name)["memory"]).unwrap_or(0), plain, "{name}: {service}");
        }
    }
    let effective = |plain: &str, name: &str| bytes(&block(name)["memory"]).or_else(|| bytes(&service[plain]));
    assert_eq!(effective("mem_limit", "limits"), Some(limit), "{service}");
    assert!(effective("mem_reservation", "reservations").is_none_or(|reserved| reserved <= limit), "{service}");
    assert!(bytes(&service["memswap_limit"]).is_none_or(|swap| swap >= limit), "{service}");
}

#[test]
fn an_override_of_each_kind_of_service_is_accepted() {
    let user = kinds();
    let file = project(&[("c.yml", &user)], &["c.yml"], &[]).unwrap();
    assert!(file.services.len() > 40, "{}", file.services.len());
    for with_swap in [None, Some(300u64 << 20)] {
        let list: Vec<ServiceLimits> = file.services.iter().map(|s| wanted(&s.name, 200 << 20, with_swap)).collect();
        let over = text(&file, &["c.yml"], &list);
        assert!(!over.contains("container_name"), "{over}");
        let files: BTreeMap<&str, &str> = [("c.yml", user.as_str()), ("o.yml", &over)].into();
        let read = |path: &Path| {
            let text = files.get(path.to_str().unwrap()).ok_or(io::ErrorKind::NotFound)?;
            Ok(text.as_bytes().to_vec())
        };
        let sources = Sources {
            files: vec!["c.yml".into(), "o.yml".into()],
            directory: None,
            env_files: Vec::new(),
            variables: Variables::new(),
            read: &read,
        };
        let merged = load(&sources).unwrap();
        file.services.iter().for_each(|service| check(&merged.root, &service.name, 200 << 20));
    }
}

/// By hand: `SAMPLER_CASES=DIR [SAMPLER_COMPOSE=docker-compose] cargo test --lib compose::project::tests::cases -- --ignored`,
/// where DIR has projects and a `truth.json` of `[{file, services: {name: {limit_bytes}}, accepted_by_compose}]`. With a Compose of
/// version 2 the overrides are given to it.
#[test]
#[ignore = "needs a folder of cases: SAMPLER_CASES"]
fn cases() {
    let folder = PathBuf::from(std::env::var("SAMPLER_CASES").unwrap());
    let compose = std::env::var("SAMPLER_COMPOSE").ok();
    let truth: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in &truth {
        let path = folder.join(case["file"].as_str().unwrap());
        let read = |path: &Path| std::fs::read(path);
        let sources = |files: Vec<PathBuf>| Sources {
            files,
            directory: None,
            env_files: Vec::new(),
            variables: Variables::new(),
            read: &read,
        };
        let name = case["file"].as_str().unwrap();
        let file = match (File::load(&sources(vec![path.clone()])), case["accepted_by_compose"].as_bool()) {
            (Ok(file), Some(true)) => file,
            (Err(_), Some(false)) => continue,
            (Ok(_), _) => {
                wrong.push(format!("{name}: should be refused"));
                continue;
            }
            (Err(error), _) => {
                wrong.push(format!("{name}: {error:?}"));
                continue;
            }
        };
        for (service, of) in case["services"].as_object().unwrap() {
            let found = file.service(service).and_then(|service| service.limit);
            if found != of["limit_bytes"].as_u64() {
                wrong.push(format!("{name}: {service}: {found:?} for {}", of["limit_bytes"]));
            }
        }
        let list: Vec<ServiceLimits> =
            file.services.iter().map(|s| wanted(&s.name, 200 << 20, Some(300 << 20))).collect();
        let target = std::env::temp_dir().join(format!("sampler-override-{}.yml", std::process::id()));
        std::fs::write(&target, text(&file, &[name], &list)).unwrap();
        let merged = load(&sources(vec![path.clone(), target.clone()])).unwrap();
        file.services.iter().for_each(|service| check(&merged.root, &service.name, 200 << 20));
        if let Some(compose) = &compose {
            let mut command = Command::new(compose);
            command.arg("-f").arg(&path).arg("-f").arg(&target).arg("config");
            let missing = file.missing.required.keys().chain(&file.missing.unset);
            command.envs(missing.map(|name| (name, "11")));
            let output = command.output().unwrap();
            if !output.status.success() {
                wrong.push(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
        std::fs::remove_file(&target).unwrap();
    }
    assert!(wrong.is_empty() && !truth.is_empty(), "{}", wrong.join("\n"));
}
