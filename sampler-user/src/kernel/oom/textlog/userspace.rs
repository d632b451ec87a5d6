//! Programs that kill because of memory, by what they log. None of their kills is the kernel's.

/// A kill by a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Killing {
    /// Which program.
    pub by: &'static str,
    /// cgroup, unit or pod that was killed; untrusted.
    pub cgroup: Option<String>,
    /// Pid of the process.
    pub pid: Option<i32>,
    /// Its name; untrusted.
    pub comm: Option<String>,
    /// Why, in the program's words; untrusted.
    pub why: Option<String>,
}

/// Bytes kept of a text.
const MOST: usize = 300;

fn cut(text: &str) -> Option<String> {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text[..end].trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(text: &str) -> Option<i32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(inside, _)| inside)
}

/// Whether a program speaks of an OOM kill that it did not do: the service manager, a runtime, an orchestrator.
pub fn mentions(text: &str) -> bool {
    const WORDS: [&str; 6] =
        ["killed by the OOM killer", "result 'oom-kill'", "OOMKilled", "/tasks/oom", "TaskOOM", "container oom"];
    WORDS.iter().any(|words| text.contains(words))
}

/// What a recorder wrote to the kernel's log when memory was about to end (`record --last-words`).
pub fn last_words(text: &str) -> Option<&str> {
    const BEGIN: [&str; 4] =
        ["memory is about to end: ", "the machine is out of memory: ", "the recorder ends by ", "the recorder died; "];
    let said = text.strip_prefix("sampler: ")?;
    BEGIN.iter().any(|begin| said.starts_with(begin)).then_some(said)
}

/// Bytes of a line that are shown.
pub fn shown(text: &str) -> String {
    cut(text).unwrap_or_default()
}

/// A kill that a line reports, if it is one.
pub fn killing(text: &str) -> Option<Killing> {
    let text = text.trim();
    [systemd, earlyoom, oomd, android, kubelet, nohang].into_iter().find_map(|of| of(text))
}

/// `Killed /a.scope due to memory pressure for /b being …`, `Marked /a.scope for killing due to memory used (…`, and what the
/// service manager says of it.
fn systemd(text: &str) -> Option<Killing> {
    let by = "systemd-oomd";
    if let Some((unit, rest)) = text.split_once(": systemd-oomd killed ") {
        return rest.contains("process").then(|| Killing { by, cgroup: cut(unit), ..Killing::default() });
    }
    let (cgroup, why) = match text.strip_prefix("Killed ") {
        Some(rest) => rest.split_once(" due to ")?,
        None => text.strip_prefix("Marked ")?.split_once(" for killing due to ")?,
    };
    if !cgroup.starts_with('/') || !(why.starts_with("memory ") || why.starts_with("swap ")) {
        return None;
    }
    Some(Killing { by, cgroup: cut(cgroup), why: cut(why), ..Killing::default() })
}

/// `sending SIGTERM to process 12006 uid 1000 "python3": badness 209, VmRSS 2891 MiB`, and the words of older versions.
fn earlyoom(text: &str) -> Option<Killing> {
    let by = "earlyoom";
    let lower = text.to_ascii_lowercase();
    let is_memory = ["badness", "vmrss", "oom_score"].iter().any(|word| lower.contains(word));
    if !is_memory {
        return None;
    }
    if lower.starts_with("sending sig") {
        let (_, rest) = text.split_once(" to process ")?;
        let comm = between(rest, "\"", "\":").or_else(|| between(rest, "\"", "\""));
        return Some(Killing { by, pid: number(rest), comm: comm.and_then(cut), why: cut(text), ..Killing::default() });
    }
    if lower.starts_with("killing process") {
        let rest = &text["killing process".len()..].trim_start();
        let pid = number(rest).or_else(|| number(between(text, "pid: ", ",")?));
        let comm = between(rest, "\"", "\"").or_else(|| between(rest, "'", "'"));
        return Some(Killing { by, pid, comm: comm.and_then(cut), why: cut(text), ..Killing::default() });
    }
    None
}

/// `oomd kill: 10.00 60.00 600.00 system.slice/a.service 1999 ruleset:[…] detectorgroup:[…] killer:…`
fn oomd(text: &str) -> Option<Killing> {
    let (_, rest) = text.split_once("oomd kill: ")?;
    let mut words = rest.split_whitespace();
    let numbers = (0..3).filter(|_| words.next().is_some_and(|word| word.parse::<f64>().is_ok())).count();
    let cgroup = words.next().filter(|_| numbers == 3)?;
    Some(Killing { by: "oomd", cgroup: cut(cgroup), why: cut(rest), ..Killing::default() })
}

/// `lowmemorykiller: Killing 'android.browser' (28649), adj 18, …` of the kernel's driver, `Kill 'com.x' (24017), uid 10123, … to
/// free 4963256kB rss …` of lmkd.
fn android(text: &str) -> Option<Killing> {
    let is_lmk = ["lowmemorykiller: ", "lmkd: "].iter().find_map(|mark| text.split_once(mark)).map(|(_, rest)| rest);
    let rest = is_lmk
        .or_else(|| text.contains("oom_score_adj").then_some(text))
        .or_else(|| text.contains("to free").then_some(text))?;
    let (_, named) = rest.split_once("Kill '").or_else(|| rest.split_once("Killing '"))?;
    let (comm, after) = named.split_once("' (")?;
    let by = if rest.starts_with("Killing") { "lowmemorykiller" } else { "lmkd" };
    Some(Killing { by, pid: number(after), comm: cut(comm), why: cut(rest), ..Killing::default() })
}

/// `The node was low on resource: memory. Threshold quantity: …` of an event, `eviction manager: pods … evicted` of the log.
fn kubelet(text: &str) -> Option<Killing> {
    let by = "kubelet";
    if let Some((before, _)) = text.split_once("The node was low on resource: memory") {
        let pod = before.split_whitespace().find_map(|word| word.strip_prefix("pod/"));
        let why = &text[before.len()..];
        return Some(Killing { by, cgroup: pod.and_then(cut), why: cut(why), ..Killing::default() });
    }
    let (_, rest) = text.split_once("eviction manager: ")?;
    let rest = rest.trim_start_matches('"');
    let is_one = rest.starts_with("pods ") && rest.contains(" evicted")
        || rest.starts_with("pod ") && rest.contains(" is evicted successfully");
    if !is_one {
        return None;
    }
    let pod = between(rest, "pod=\"", "\"").or_else(|| rest.split_whitespace().nth(1));
    Some(Killing { by, cgroup: pod.and_then(cut), why: cut(rest), ..Killing::default() })
}

/// `Sending SIGTERM to the victim`, whose name stands some lines above; `Send SIGKILL to the victim; …` of older versions.
fn nohang(text: &str) -> Option<Killing> {
    let rest = text.strip_prefix("Sending SIG").or_else(|| text.strip_prefix("Send SIG"))?;
    rest.contains(" to the victim").then(|| Killing { by: "nohang", why: cut(text), ..Killing::default() })
}

/// The victim that nohang names before it kills: `PID: 12297, Name: tail, badness: 727`.
pub fn nohang_victim(text: &str) -> Option<(i32, String)> {
    let rest = text.trim().strip_prefix("PID: ")?;
    let (pid, rest) = rest.split_once(", ")?;
    let name = rest.strip_prefix("Name: ").or_else(|| rest.strip_prefix("name: "))?;
    let (name, _) = name.rsplit_once(", badness: ")?;
    Some((pid.parse().ok()?, cut(name)?))
}
