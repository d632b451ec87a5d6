//! The override: a new file that Compose reads after the user's own (`docker compose -f yours.yml -f this.yml up -d`).

use std::fmt::Write;
use std::time::Duration;

use crate::advise::compose::{File, Placement, Service};

/// What is set for one service, bytes.
#[derive(Clone, Debug)]
pub struct ServiceLimits {
    /// The service.
    pub service: String,
    /// Hard limit.
    pub limit: Option<u64>,
    /// What is usually needed: protected from the reclaim of others.
    pub reservation: Option<u64>,
    /// Memory and swap together.
    pub with_swap: Option<u64>,
    /// New time between two health checks.
    pub interval: Option<Duration>,
    /// Why, a line each.
    pub because: Vec<String>,
}

/// The text of the override. A limit goes where the user's service has it, or has a block for it: Compose refuses `mem_limit` and
/// `deploy.resources.limits.memory` that differ, and takes a block without memory for one with 0. A reservation likewise. `version` is the user's, because older programs refuse to mix two.
pub fn text(file: &File, from: &[&str], limits: &[ServiceLimits]) -> String {
    let files: String = from.iter().map(|from| format!("-f {} ", comment(from))).collect();
    let mut out = format!(
        "# Memory limits from measured use, by `sampler advise`. Your own file is not changed; give both:\n#   docker compose {files}-f THIS up -d\n"
    );
    if let Some(version) = &file.version {
        let _ = writeln!(out, "version: {}", quoted(version));
    }
    out.push_str("services:");
    let mut written = 0;
    for of in limits {
        let Some(service) = file.service(&of.service) else { continue };
        let body = body(service, of);
        if body.is_empty() {
            continue;
        }
        written += 1;
        let _ = write!(out, "\n  {}:\n", quoted(&of.service));
        for line in &of.because {
            let _ = writeln!(out, "    # {}", comment(line));
        }
        out.push_str(&body);
    }
    if written == 0 {
        out.push_str(" {}\n");
    }
    out
}

fn body(service: &Service, of: &ServiceLimits) -> String {
    let mut out = String::new();
    if let Some(limit) = of.limit {
        let (mut limits, mut reservations) = (None, None);
        if service.placement != Placement::Deploy {
            let _ = writeln!(out, "    mem_limit: {}", size(limit));
        }
        if service.placement != Placement::Plain {
            limits = Some(limit);
        }
        // What is there already must not be above the new limit.
        let kept = service.reservation.filter(|kept| *kept > limit).map(|_| limit);
        if let Some(reservation) = of.reservation.map(|reservation| reservation.min(limit)).or(kept) {
            let goes_plain = match service.reserved_in {
                Placement::Plain => service.reservation.is_some() || service.placement != Placement::Deploy,
                place => place == Placement::Both,
            };
            if goes_plain {
                let _ = writeln!(out, "    mem_reservation: {}", size(reservation));
            }
            if !goes_plain || service.reserved_in == Placement::Both {
                reservations = Some(reservation);
            }
        }
        let total = of.with_swap.unwrap_or(limit).max(limit);
        if service.has_swap_limit || of.with_swap.is_some() && service.placement != Placement::Deploy {
            let _ = writeln!(out, "    memswap_limit: {}", size(total));
        }
        if limits.is_some() || reservations.is_some() {
            out.push_str("    deploy:\n      resources:\n");
        }
        for (block, bytes) in [("limits", limits), ("reservations", reservations)] {
            if let Some(bytes) = bytes {
                let _ = write!(out, "        {block}:\n          memory: {}\n", size(bytes));
            }
        }
    }
    if let Some(interval) = of.interval {
        let _ = write!(out, "    healthcheck:\n      interval: {}s\n", interval.as_secs());
    }
    out
}

/// Whole MiB, as Compose writes them.
fn size(bytes: u64) -> String {
    format!("{}m", bytes.div_ceil(1 << 20))
}

/// A text from outside as a YAML string: plain where that is safe, else as JSON, which YAML contains.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    // Words that YAML takes for something else.
    let special = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&&*text.to_ascii_lowercase());
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) && !special;
    if is_plain { text.to_owned() } else { json(text) }
}

/// JSON with what YAML does not take literally escaped too.
fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            c if (c as u32) < 0x1_0000 => drop(write!(out, "\\u{:04x}", c as u32)),
            c => drop(write!(out, "\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

/// A text from outside in a comment: it must not end the line.
fn comment(text: &str) -> String {
    crate::model::units::printable(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn of(service: &str) -> ServiceLimits {
        ServiceLimits {
            service: service.into(),
            limit: Some(128 * MIB),
            reservation: Some(64 * MIB),
            with_swap: Some(192 * MIB),
            interval: None,
            because: Vec::new(),
        }
    }

    #[test]
    fn a_limit_goes_where_the_user_has_it() {
        let user = b"version: '2.4'\nservices:\n  a: {image: x}\n  b: {deploy: {resources: {limits: {memory: 1g}}}}\n  c: {mem_limit: 1g, deploy: {resources: {limits: {memory: 1g}}}}\n  d: {memswap_limit: 3g, deploy: {resources: {limits: {memory: 1g}}}}\n";
        let file = File::read(user).unwrap();
        let mut all: Vec<ServiceLimits> = ["a", "b", "c", "d", "gone"].map(of).into();
        all[0].interval = Some(Duration::from_secs(45));
        let parsed: Value = serde_saphyr::from_str(&text(&file, &["x.yml"], &all)).unwrap();
        assert_eq!(parsed["version"], "2.4");
        let services = &parsed["services"];
        assert_eq!(services["a"]["mem_limit"], "128m");
        assert_eq!(
            (&services["a"]["mem_reservation"], &services["a"]["memswap_limit"]),
            (&"64m".into(), &"192m".into())
        );
        assert_eq!(services["a"]["healthcheck"]["interval"], "45s");
        assert!(services["a"]["deploy"].is_null() && services["b"]["mem_limit"].is_null());
        assert_eq!(services["b"]["deploy"]["resources"]["limits"]["memory"], "128m");
        assert_eq!(services["b"]["deploy"]["resources"]["reservations"]["memory"], "64m");
        assert!(services["b"]["memswap_limit"].is_null());
        assert_eq!(services["c"]["mem_limit"], services["c"]["deploy"]["resources"]["limits"]["memory"]);
        assert_eq!(services["d"]["memswap_limit"], "192m");
        assert!(services["gone"].is_null());
    }

    #[test]
    fn nothing_to_say_is_still_a_compose_file() {
        let file = File::read(b"services: {a: {image: x}}").unwrap();
        let parsed: Value = serde_saphyr::from_str(&text(&file, &["x"], &[])).unwrap();
        assert!(parsed["services"].as_object().unwrap().is_empty() && parsed.get("version").is_none());
    }

    proptest! {
        #[test]
        fn hostile_names_come_back_as_they_are(name in "\\PC{1,12}|[\\x00-\\x7f]{1,8}|(no|1e3|~|- a|a: b|#x)", line in any::<String>()) {
            let user = serde_json::json!({"services": {name.clone(): {"image": "x"}}, "version": line.clone()}).to_string();
            let file = File::read(user.as_bytes());
            prop_assume!(file.is_ok());
            let limits = ServiceLimits { because: vec![line], ..of(&name) };
            let written = text(&file.unwrap(), &["a\nb"], &[limits]);
            let parsed: Value = serde_saphyr::from_str(&written).map_err(|e| TestCaseError::fail(format!("{e}: {written}")))?;
            prop_assert_eq!(&parsed["services"][name.as_str()]["mem_limit"], "128m", "{}", written);
        }
    }
}
