//! Limits of systemd units: drop-ins, and a command for what has no file.

use serde::Serialize;

use crate::model::identity::Identity;

/// Part of the hard limit at which the kernel begins to take memory back and slows the unit down.
const HIGH: f64 = 0.9;

/// The file that limits a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DropIn {
    /// Its place below `/etc/systemd/system`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The unit that a cgroup is, when systemd would read a drop-in for it.
pub fn unit(who: Option<&Identity>, path: &str) -> Option<String> {
    if who.is_some_and(|who| who.runtime != "systemd" || who.inner.is_some()) {
        return None;
    }
    let last = path.rsplit('/').next()?;
    // What `systemd.unit(5)` allows in a name; nothing else becomes part of a path.
    let is_plain = last.len() < 256 && last.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b));
    let is_unit = [".service", ".slice"].iter().any(|suffix| last.len() > suffix.len() && last.ends_with(suffix));
    (is_plain && is_unit && !last.starts_with('.')).then(|| last.to_owned())
}

/// The drop-in of a unit for a limit in bytes.
pub fn drop_in(unit: &str, limit: u64) -> DropIn {
    let section = if unit.ends_with(".slice") { "Slice" } else { "Service" };
    let high = ((limit as f64 * HIGH) as u64) >> 20;
    let text = format!(
        "# By `sampler advise`, from measured use. Take it: systemctl daemon-reload\n[{section}]\nMemoryHigh={}M\nMemoryMax={}M\n",
        high.max(1),
        limit.div_ceil(1 << 20)
    );
    DropIn { path: format!("{unit}.d/50-sampler.conf"), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_drop_ins_and_nothing_else_has() {
        let of = |path: &str| unit(None, path);
        assert_eq!(of("/system.slice/nginx.service").as_deref(), Some("nginx.service"));
        assert_eq!(of("/system.slice").as_deref(), Some("system.slice"));
        for path in ["/docker/x", "/a/b.scope", "/.service", "/a/é.service", "/a/b c.service", "/a/$(x).service", ""] {
            assert_eq!(of(path), None, "{path}");
        }
        let inside = Identity { inner: Some("x.service".into()), ..Identity::of("systemd") };
        assert_eq!(unit(Some(&inside), "/a/x.service"), None);
        assert_eq!(unit(Some(&Identity::of("docker")), "/a/x.service"), None);
    }

    #[test]
    fn a_drop_in_slows_down_before_it_kills() {
        let made = drop_in("nginx.service", 200 << 20);
        assert_eq!(made.path, "nginx.service.d/50-sampler.conf");
        assert!(made.text.ends_with("[Service]\nMemoryHigh=180M\nMemoryMax=200M\n"), "{}", made.text);
        assert!(drop_in("user.slice", 1 << 30).text.contains("[Slice]\nMemoryHigh=921M\nMemoryMax=1024M"));
    }
}
