//! Last words: one line to the kernel's log when the machine is about to die, because that log may outlive it. A serial console shows it,
//! pstore keeps it, and WSL hands it to Windows.

mod crash;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::Context;

use crate::analysis::account::{Member, holders};
use crate::containers::runtimes::identify;
use crate::model::event::{Event, EventKind};
use crate::model::evidence::{Constraint, OomKill};
use crate::model::fields::FieldId;
use crate::model::identity::{Identity, Names};
use crate::model::recording::Subject;
use crate::model::sample::{HOST, PassHead, Row, SubjectRef, slots};
use crate::model::sink::Sink;
use crate::model::units::{bytes, micros, printable};

/// Memory is about to end when less than this part of it is available, but no more than this.
const PART: u64 = 25;
const MOST: u64 = 512 << 20;
/// The same is not repeated within this time, unless half of what was left is gone.
const REPEAT_NS: u64 = 30_000_000_000;
/// Growth is measured over this time at least.
const GROWTH_NS: u64 = 30_000_000_000;
/// Growth that is worth a word, bytes.
const GROWTH: u64 = 8 << 20;
/// Holders that are named.
const NAMED: usize = 3;
/// A line of the kernel's log has room for some 1000 bytes; names are cut to this.
const NAME: usize = 64;

/// What is known of a cgroup.
struct Known {
    path: String,
    row: Row,
}

/// A sink before the journal that speaks when memory ends. It runs on the relay's thread.
pub struct LastWords {
    journal: Box<dyn Sink>,
    words: Words,
    log: File,
    is_kernel_log: bool,
}

impl LastWords {
    /// Speaks to a file, `/dev/kmsg` as a rule.
    pub fn new(journal: Box<dyn Sink>, path: &Path) -> anyhow::Result<LastWords> {
        let mut options = OpenOptions::new();
        options.append(true);
        let is_kernel_log = path.metadata().is_ok_and(|meta| meta.file_type().is_char_device());
        // A file of the user's own is made; the kernel's log is there, or it is none.
        options.create(!is_kernel_log && !path.starts_with("/dev"));
        let log = options.open(path).with_context(|| {
            format!("open {} for --last-words; it takes root, or CAP_SYSLOG and the right to write", path.display())
        })?;
        crash::watch(&log).context("watch for signals that end the agent")?;
        Ok(LastWords { journal, words: Words::default(), log, is_kernel_log })
    }

    fn say(&mut self, text: &str) {
        // Critical, so that a quiet console shows it too. A line that cannot be written harms nothing else.
        let _ = self.log.write_all(self.line(text).as_bytes());
    }

    fn line(&self, text: &str) -> String {
        format!("{}sampler: {text}\n", if self.is_kernel_log { "<2>" } else { "" })
    }
}

impl Sink for LastWords {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        if subject.process.is_none() && number != HOST {
            self.words.known.insert(number, Known { path: subject.cgroup.clone(), row: Row::new(number) });
        }
        self.journal.subject(number, subject);
    }

    fn forget(&mut self, number: SubjectRef) {
        self.words.known.remove(&number);
        self.journal.forget(number);
    }

    fn pass(&mut self, head: PassHead) {
        self.journal.pass(head);
    }

    fn row(&mut self, head: PassHead, row: &Row) {
        if let Some(text) = self.words.row(head.mono_ns, row) {
            self.say(&text);
        }
        if row.subject == HOST {
            crash::prepare(&self.line(&format!("the recorder died; {}", self.words.figures(head.mono_ns))));
        }
        self.journal.row(head, row);
    }

    fn event(&mut self, event: &Event) {
        if let Some(text) = self.words.event(event) {
            self.say(&text);
        }
        self.journal.event(event);
    }

    fn flush(&mut self, sync: bool) {
        self.journal.flush(sync);
    }
}

/// What is there to say. Pure.
#[derive(Default)]
struct Words {
    known: HashMap<SubjectRef, Known>,
    names: Names,
    host: Option<Row>,
    /// What each holder held at a time, to know its growth: the last such look, and the one before it.
    before: Option<(u64, HashMap<String, u64>)>,
    older: Option<(u64, HashMap<String, u64>)>,
    /// When it spoke of low memory, and what was available then.
    said: Option<(u64, u64)>,
}

impl Words {
    fn row(&mut self, mono_ns: u64, row: &Row) -> Option<String> {
        if row.subject != HOST {
            if let Some(known) = self.known.get_mut(&row.subject) {
                slots(row.mask).for_each(|slot| known.row.set(slot, row.values[slot]));
            }
            return None;
        }
        self.host = Some(row.clone());
        let available = row.get(FieldId::MemAvailable.field())?;
        let total = row.get(FieldId::MemTotal.field())?;
        if self.before.as_ref().is_none_or(|(at_ns, _)| mono_ns.saturating_sub(*at_ns) >= GROWTH_NS) {
            let now = self.holders().into_iter().map(|(path, _, held)| (path, held)).collect();
            self.older = self.before.replace((mono_ns, now));
        }
        if available >= (total / PART).min(MOST) {
            return None;
        }
        if let Some((at_ns, left)) = self.said
            && mono_ns.saturating_sub(at_ns) < REPEAT_NS
            && available > left / 2
        {
            return None;
        }
        self.said = Some((mono_ns, available));
        Some(format!("memory is about to end: {}", self.figures(mono_ns)))
    }

    fn event(&mut self, event: &Event) -> Option<String> {
        match &event.what {
            EventKind::Named(identity) => {
                self.names.learn(event.cgroup.as_deref()?, identity);
                None
            }
            EventKind::OomKill(kill) if is_of_machine(kill) => {
                let victim = kill.victim.as_ref().map_or_else(|| "a process".into(), |victim| cut(&victim.comm));
                let of = event.cgroup.as_deref().map_or_else(String::new, |path| format!(" of {}", self.name(path)));
                Some(format!("the machine is out of memory: {victim}{of} was killed; {}", self.figures(event.mono_ns)))
            }
            EventKind::AgentStop { reason } if reason.starts_with("SIG") => {
                Some(format!("the recorder ends by {}; {}", cut(reason), self.figures(event.mono_ns)))
            }
            _ => None,
        }
    }

    /// What is left, and who holds the rest.
    fn figures(&self, mono_ns: u64) -> String {
        let get = |field: FieldId| self.host.as_ref()?.get(field.field());
        let left = match (get(FieldId::MemAvailable), get(FieldId::MemTotal)) {
            (Some(available), Some(total)) => format!("{} of {} available", bytes(available), bytes(total)),
            _ => "the machine was not read".into(),
        };
        let then = [&self.older, &self.before].into_iter().flatten().next();
        let one = |(path, name, held): &(String, String, u64)| {
            let grew = then.and_then(|(at_ns, then)| {
                let grew = held.saturating_sub(then.get(path).copied().unwrap_or(0));
                let since = micros(mono_ns.saturating_sub(*at_ns) / 1000);
                (grew >= GROWTH).then(|| format!(" (+{} in {since})", bytes(grew)))
            });
            format!("{name} holds {}{}", bytes(*held), grew.unwrap_or_default())
        };
        let named: Vec<String> = self.holders().iter().take(NAMED).map(one).collect();
        if named.is_empty() { left } else { format!("{left}; {}", named.join(", ")) }
    }

    /// Path, name and held bytes of each holder, the largest first.
    fn holders(&self) -> Vec<(String, String, u64)> {
        let member =
            |known: &Known| Member { path: known.path.clone(), who: self.who(&known.path), row: known.row.clone() };
        let members: Vec<Member> = self.known.values().map(member).collect();
        let mut list: Vec<(String, String, u64)> = holders(&members, None)
            .list
            .into_iter()
            .map(|holder| (holder.path, cut(&holder.name), holder.held))
            .collect();
        list.sort_by(|a, b| (b.2, &a.0).cmp(&(a.2, &b.0)));
        list
    }

    fn who(&self, path: &str) -> Option<Identity> {
        self.names.of(path, identify)
    }

    fn name(&self, path: &str) -> String {
        cut(&self.who(path).as_ref().and_then(Identity::title).unwrap_or_else(|| path.to_owned()))
    }
}

/// Whether the whole machine was out of memory. On WSL that is the limit of all distributions together.
fn is_of_machine(kill: &OomKill) -> bool {
    kill.constraint == Constraint::None || kill.limit_cgroup.as_deref() == Some("/wsl-user")
}

/// A name from outside, safe and short.
fn cut(text: &str) -> String {
    crate::ui::text::style::shorten(&printable(text), NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::Victim;

    const S: u64 = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    fn row(number: SubjectRef, values: &[(FieldId, u64)]) -> Row {
        let mut row = Row::new(number);
        values.iter().for_each(|(field, value)| row.put(field.field(), *value));
        row
    }

    /// A machine of 1000 MiB at a second: `/web\x1b` takes 10 MiB a second, `/db` rests, and the rest is available.
    fn second(words: &mut Words, at: u64) -> Option<String> {
        let web = 10 * MIB * at;
        for (number, anon) in [(1, web), (2, 50 * MIB)] {
            let values = [(FieldId::Anon, anon), (FieldId::File, 0), (FieldId::Shmem, 0)];
            assert_eq!(words.row(at * S, &row(number, &values)), None);
        }
        let left = (1000 * MIB).saturating_sub(50 * MIB + web);
        words.row(at * S, &row(HOST, &[(FieldId::MemTotal, 1000 * MIB), (FieldId::MemAvailable, left)]))
    }

    fn words() -> Words {
        let mut words = Words::default();
        for (number, path) in [(1, "/web\u{1b}[2J"), (2, "/db")] {
            words.known.insert(number, Known { path: path.into(), row: Row::new(number) });
        }
        words
    }

    #[test]
    fn it_speaks_once_before_the_end_and_again_when_half_of_the_rest_is_gone() {
        let mut words = words();
        let said: Vec<(u64, String)> = (0..95).filter_map(|at| Some((at, second(&mut words, at)?))).collect();
        let times: Vec<u64> = said.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [92, 94], "30 MiB and 10 MiB are left: {said:?}");
        assert_eq!(
            said[0].1,
            "memory is about to end: 30 MiB of 1000 MiB available; /web\\u{1b}[2J holds 920 MiB (+320 MiB in 32 s), /db holds 50 MiB"
        );
    }

    #[test]
    fn it_speaks_of_the_end_of_the_machine_and_not_of_a_containers() {
        let mut words = words();
        second(&mut words, 10);
        let kill = |constraint, limit: Option<&str>| {
            let kill = OomKill {
                time_ns: 0,
                constraint,
                victim_cgroup: Some("/db".into()),
                limit_cgroup: limit.map(str::to_owned),
                victim: Some(Victim { comm: "java".into(), ..Victim::default() }),
                witnesses: Vec::new(),
                report: None,
                probe: None,
                hit: None,
            };
            Event { mono_ns: 11 * S, cgroup: Some("/db".into()), what: EventKind::OomKill(Box::new(kill)) }
        };
        assert_eq!(words.event(&kill(Constraint::Memcg, Some("/db"))), None);
        assert!(words.event(&kill(Constraint::Memcg, Some("/wsl-user"))).is_some(), "all distributions together");
        let said = words.event(&kill(Constraint::None, None)).unwrap();
        assert!(
            said.starts_with("the machine is out of memory: java of /db was killed; 850 MiB of 1000 MiB"),
            "{said}"
        );
        let stop = |reason: &str| Event::now(EventKind::AgentStop { reason: reason.into() });
        assert_eq!(words.event(&stop("the time of --for")), None);
        assert!(words.event(&stop("SIGTERM")).unwrap().starts_with("the recorder ends by SIGTERM; "));
    }
}
