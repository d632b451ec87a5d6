//! What stands before the kernel's own text in a line: times, hosts, tags, priorities, in the order in which programs put them.

use crate::kernel::oom::kmsg::KmsgRecord;
use crate::kernel::oom::textlog::stamp::{Bracket, Wall, bracket, leading, word};

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// The kernel, as the line says.
    Kernel,
    /// A program, as the line says; without a name where it only says that it was none of the kernel's.
    Program(&'a str),
    /// The line does not say.
    Unknown,
}

/// A line, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What was written.
    pub text: &'a str,
    /// By whom.
    pub source: Source<'a>,
    /// The machine's name.
    pub host: Option<&'a str>,
    /// Since boot, microseconds.
    pub uptime_us: Option<u64>,
    /// By a clock on the wall.
    pub wall: Option<Wall>,
    /// Task or processor that wrote it.
    pub caller: Option<&'a str>,
    /// Whether the text is as `/dev/kmsg` has it, with escapes.
    pub escaped: bool,
}

/// Tags of the kernel's own lines.
const KERNEL: [&str; 5] = ["kernel", "klogd", "vmunix", "kern", "dmesg"];
const FACILITIES: [&str; 14] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "console",
    "local0",
];
const LEVELS: [&str; 12] =
    ["emerg", "alert", "crit", "err", "error", "warn", "warning", "notice", "info", "debug", "critical", "emergency"];
/// Things that may stand before the text.
const MOST: usize = 16;

/// Takes a line apart.
pub fn open(line: &str) -> Envelope<'_> {
    let mut all = Envelope {
        text: line,
        source: Source::Unknown,
        host: None,
        uptime_us: None,
        wall: None,
        caller: None,
        escaped: false,
    };
    let mut tagged = false;
    for _ in 0..MOST {
        let rest = all.text.trim_start();
        all.text = rest;
        let next = match rest.as_bytes().first() {
            Some(b'[') => in_brackets(rest, &mut all),
            Some(b'<') => priority(rest, &mut all),
            Some(b'-') if all.wall.is_some() => rest.strip_prefix("- ").filter(|next| next.starts_with(['[', '<'])),
            Some(_) => None,
            None => break,
        };
        let next = next
            .or_else(|| stamp(rest, &mut all))
            .or_else(|| facility(rest, &mut all))
            .or_else(|| guest(rest, &mut all))
            .or_else(|| processor(rest, &mut all))
            .or_else(|| stream(rest, &all))
            .or_else(|| if tagged { None } else { tag(rest, &mut all, &mut tagged) })
            .or_else(|| prefix(rest, &all));
        match next {
            Some(next) => all.text = next,
            None => break,
        }
    }
    if all.uptime_us.is_none() && matches!(all.source, Source::Unknown) {
        find_stamp(&mut all);
        find_kernel(&mut all);
    }
    // BIG-IP writes the tag of the kernel and a colon more.
    if all.source == Source::Kernel {
        all.text = all.text.strip_prefix(": ").unwrap_or(all.text);
    }
    // The end of a time whose beginning was cut off.
    if all.source == Source::Unknown
        && all.text.len() == line.trim_start().len()
        && let Some((before, next)) = all.text.split_once("] ")
        && before.len() < 40
        && !before.contains('[')
    {
        let next = next.trim_start();
        all.text = match bracket(next) {
            Some((Bracket::Caller(_), behind)) => behind.trim_start(),
            _ => next,
        };
    }
    all
}

fn in_brackets<'a>(rest: &'a str, all: &mut Envelope<'a>) -> Option<&'a str> {
    let (inside, next) = bracket(rest)?;
    match inside {
        Bracket::Uptime(us) if all.uptime_us.is_none() => all.uptime_us = Some(us),
        Bracket::Wall(wall) if all.wall.is_none() => all.wall = Some(wall),
        Bracket::Caller(caller) => all.caller = Some(caller),
        Bracket::Task(task) if all.uptime_us.is_some() && all.caller.is_none() => all.caller = Some(task),
        Bracket::Nothing => {}
        // Names of logs behind a time, but no head of a table and no row of one.
        Bracket::Other if all.wall.is_some() && all.uptime_us.is_none() && is_name(rest) => {}
        _ => return None,
    }
    Some(next.strip_prefix(": ").unwrap_or(next))
}

/// `[init.log]`, `[kmsg]`, `[vm]`
fn is_name(rest: &str) -> bool {
    let inside = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(inside, _)| inside);
    inside.starts_with(|c: char| c.is_ascii_alphabetic())
        && inside.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// `<4>`, `<30>`, and `<6>1 ` of RFC 5424: a facility above 0 is no line of the kernel.
fn priority<'a>(rest: &'a str, all: &mut Envelope<'a>) -> Option<&'a str> {
    let (number, next) = rest.strip_prefix('<')?.split_once('>')?;
    let number: u32 = number.parse().ok().filter(|_| number.len() <= 3)?;
    all.source = if number >> 3 == 0 { Source::Kernel } else { Source::Program("") };
    let Some(header) = next.strip_prefix("1 ").filter(|header| leading(header).is_some()) else { return Some(next) };
    let (wall, header) = leading(header)?;
    all.wall = Some(wall);
    let (host, header) = word(header)?;
    let (app, header) = word(header)?;
    let (_, header) = word(header)?;
    let (_, header) = word(header)?;
    all.host = Some(host);
    all.source = if KERNEL.contains(&app) { Source::Kernel } else { Source::Program(app) };
    let text = header.strip_prefix("- ").unwrap_or_else(|| header.split_once("] ").map_or(header, |(_, text)| text));
    Some(text.trim_start_matches('\u{feff}'))
}

/// The length of the kernel's release and its comma in front of a record: netconsole can be told to write it.
fn release(head: &str) -> usize {
    head.split_once(',').filter(|(first, _)| first.contains('.')).map_or(0, |(first, _)| first.len() + 1)
}

fn stamp<'a>(rest: &'a str, all: &mut Envelope<'a>) -> Option<&'a str> {
    if all.uptime_us.is_some() {
        return None;
    }
    // `6,339,5140900,-;text`, as /dev/kmsg and netconsole write it.
    if all.wall.is_none()
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && let Some((head, text)) = rest.split_once(';')
        && head.len() < 64
        && let Some(record) = KmsgRecord::parse(&rest.as_bytes()[release(head)..=head.len()])
    {
        (all.uptime_us, all.escaped) = (Some(record.time_us), true);
        all.source = if record.facility == 0 { Source::Kernel } else { Source::Program("") };
        return Some(text);
    }
    let (wall, next) = leading(rest)?;
    // Its bracket was cut off.
    let next = next.strip_prefix("] ").unwrap_or(next);
    if all.wall.is_none() {
        all.wall = Some(wall);
    }
    let next = next.strip_prefix(':').filter(|next| next.starts_with(' ')).unwrap_or(next);
    // What a container runtime adds.
    let next = ["stdout F ", "stderr F ", "stdout P ", "stderr P "]
        .iter()
        .find_map(|mark| next.strip_prefix(mark))
        .unwrap_or(next);
    Some(next)
}

/// `kern  :warn  : [ 12.3] text` of `dmesg -x`, `192.0.2.9: kern:    info: [2025-…]: text` of talosctl.
fn facility<'a>(rest: &'a str, all: &mut Envelope<'a>) -> Option<&'a str> {
    let (name, next) = rest.split_once(':')?;
    let name = name.trim_end();
    if FACILITIES.contains(&name) || name.starts_with("local") {
        let (level, next) = next.split_once(':')?;
        if LEVELS.contains(&level.trim()) {
            all.source = if name == "kern" { Source::Kernel } else { Source::Program("") };
            return Some(next);
        }
    }
    None
}

/// `In(05) vcpu-5 - Guest: <4>[…` and `| vcpu-0| I125: Guest: …` of vmware.log.
fn guest<'a>(rest: &'a str, all: &mut Envelope<'a>) -> Option<&'a str> {
    let wall = all.wall?;
    let (before, next) = rest.split_once("Guest: ")?;
    if before.len() > 60 || !before.contains("vcpu") {
        return None;
    }
    all.wall = Some(wall);
    Some(next)
}

/// `(3)[512:kswapd0]` behind the time: processor, pid and task of kernels of MediaTek.
fn processor<'a>(rest: &'a str, all: &mut Envelope<'a>) -> Option<&'a str> {
    all.uptime_us?;
    let rest = rest.strip_prefix(['.', '-']).unwrap_or(rest);
    let (number, next) = rest.strip_prefix('(')?.split_once(")[")?;
    let (task, next) = next.split_once(']')?;
    let (pid, _) = task.split_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (number.len() <= 4 && is_number(number) && is_number(pid)).then(|| all.caller = Some(task))?;
    Some(next)
}

/// `{host="n1", job="journal"} ` behind the time: the labels of a stream of Loki.
fn stream<'a>(rest: &'a str, all: &Envelope<'a>) -> Option<&'a str> {
    all.wall?;
    let (labels, next) = rest.strip_prefix('{')?.split_once('}')?;
    (labels.is_empty() || labels.contains("=\"")).then_some(next)
}

/// `host kernel: `, `host dockerd[881]: `, `host kern.warn kernel: `, `kernel: `: a host and who wrote it.
fn tag<'a>(rest: &'a str, all: &mut Envelope<'a>, tagged: &mut bool) -> Option<&'a str> {
    let (head, next) = rest.split_once(':')?;
    let is_apart = next.is_empty() || next.starts_with(' ');
    if !(is_apart || next.starts_with('[') && head.ends_with("kernel")) {
        return None;
    }
    let mut words = head.split(' ').filter(|word| !word.is_empty());
    let (last, second, third, none) = (words.next_back()?, words.next_back(), words.next_back(), words.next_back());
    if none.is_some() {
        return None;
    }
    // `kern.warn`, or the level alone.
    let is_level = |word: &str| {
        word.split_once('.').is_some_and(|(facility, _)| FACILITIES.contains(&facility))
            || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
    };
    let (level, host) = match (second, third) {
        (Some(second), host) if is_level(second) => (Some(second), host),
        (host, None) => (None, host),
        _ => return None,
    };
    let (name, has_pid) = match last.split_once('[') {
        Some((name, pid)) => {
            let pid = pid.strip_suffix(']')?;
            (name, pid.bytes().all(|b| b.is_ascii_digit()) && !pid.is_empty())
        }
        None => (last, false),
    };
    let is_kernel = KERNEL.contains(&name) && (name != "kern" || all.wall.is_some());
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./()@+-#".contains(&b)) && !name.is_empty();
    // Without a time and a host, only what can be no text of the kernel's own.
    let is_tag = is_kernel || (is_name && (has_pid || level.is_some() || (all.wall.is_some() && host.is_some())));
    // The name of the task that asked may be two words and a colon.
    let asks = !is_kernel && !has_pid && next.contains(" invoked oom-killer:");
    if !is_tag || asks || (all.uptime_us.is_some() && !is_kernel && !has_pid) || is_of_kernel(head) {
        return None;
    }
    all.source = if is_kernel { Source::Kernel } else { Source::Program(name) };
    all.host = all.host.or(host);
    *tagged = true;
    Some(next)
}

/// Texts of the kernel that look like a host and a tag.
fn is_of_kernel(head: &str) -> bool {
    ["Call Trace", "Hardware name", "Node 0", "Mem abort", "Free swap", "Total swap"].contains(&head)
}

/// What other programs put before a whole line: `/var/log/syslog:`, `12:` (grep), `dmesg-1  | `.
fn prefix<'a>(rest: &'a str, all: &Envelope<'a>) -> Option<&'a str> {
    if all.wall.is_some() || all.uptime_us.is_some() || !matches!(all.source, Source::Unknown) {
        return None;
    }
    let begins = |next: &str| {
        leading(next).is_some()
            || bracket(next).is_some_and(|(inside, _)| !matches!(inside, Bracket::Other))
            || next.starts_with("kern:")
    };
    let end = rest.bytes().take(160).position(|b| b == b':' || b == b' ' || b == b'|' || b == b'-')?;
    for (at, mark) in rest.bytes().enumerate().take(160) {
        if at >= end && matches!(mark, b':' | b'|' | b'-') {
            let next = rest.get(at + 1..)?.trim_start();
            if begins(next) {
                return Some(next);
            }
        }
    }
    None
}

/// Of a form that is not known, the kernel's tag is.
fn find_kernel(all: &mut Envelope<'_>) {
    let text = all.text;
    // Of RFC 5424 without its beginning.
    if let Some((before, next)) = text.split_once(" kernel - - ").filter(|(before, _)| !before.contains(' ')) {
        let text = next.strip_prefix("- ").or_else(|| Some(next.split_once("] ")?.1)).unwrap_or(next);
        (all.source, all.host, all.text) = (Source::Kernel, Some(before), text);
        return;
    }
    if let Some((before, next)) = text.split_once(" kernel: ").filter(|(before, _)| before.len() < 120)
        && !before.contains(" invoked ")
    {
        (all.source, all.text) = (Source::Kernel, next.trim_start());
    }
}

/// Of a form that is not known, the kernel's own time is.
fn find_stamp(all: &mut Envelope<'_>) {
    let text = all.text;
    for (at, _) in text.match_indices('[').take(8) {
        if at > 0
            && at < 240
            && let Some((Bracket::Uptime(us), next)) = bracket(&text[at..])
            && next.starts_with([' ', '['])
        {
            (all.uptime_us, all.text) = (Some(us), next.trim_start());
            return;
        }
    }
}
