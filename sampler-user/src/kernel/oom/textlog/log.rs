//! What a log says.

use crate::kernel::oom::kmsg::End;
use crate::kernel::oom::textlog::stamp::Wall;
use crate::kernel::oom::textlog::userspace::Killing;
use crate::model::evidence::OomReport;

/// When something was, as far as the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Microseconds since boot.
    pub uptime_us: Option<u64>,
    /// By a clock on the wall.
    pub wall: Option<Wall>,
    /// Boots that the log shows before it.
    pub boot: u32,
}

/// A kill by the kernel.
#[derive(Clone, Debug)]
pub struct Kill {
    /// When.
    pub when: When,
    /// The kernel's report. Without one of its own it has the victim and what the line of the kill says; `seq` is the number of that
    /// line.
    pub report: Box<OomReport>,
    /// The place of the kill whose report this one shares: the first victim of its group.
    pub head: Option<usize>,
    /// How often the log has it.
    pub copies: u32,
    /// Whether only the kubelet reports it (`SystemOOM`), and no line of the kernel's.
    pub by_kubelet: bool,
}

/// A report that names no victim.
#[derive(Clone, Debug)]
pub struct NoVictim {
    /// When it began, or ended.
    pub when: When,
    /// How it ends.
    pub end: End,
    /// What it says.
    pub report: Box<OomReport>,
}

/// A kill by a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByProgram {
    /// When.
    pub when: When,
    /// Who killed what.
    pub killing: Killing,
}

/// A line by which a program speaks of an OOM kill without the kernel's words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// When.
    pub when: When,
    /// The line; untrusted.
    pub text: String,
}

/// What of a log was read.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Bytes.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// The first time.
    pub first: Option<When>,
    /// The last.
    pub last: Option<When>,
    /// Boots that begin in it, beside the one it begins in.
    pub boots: u32,
    /// Whether the last line has no end.
    pub open_end: bool,
    /// Whether it is compressed and its end is missing or damaged.
    pub cut: bool,
    /// Whether it is no text.
    pub binary: bool,
    /// The machine; untrusted.
    pub host: Option<String>,
    /// Release of the kernel; untrusted.
    pub kernel: Option<String>,
    /// Whether any line is the kernel's for sure.
    pub has_kernel: bool,
    /// Reports that the kernel says it left out.
    pub suppressed: u64,
}

/// What a log says.
#[derive(Clone, Debug, Default)]
pub struct TextLog {
    /// The kernel's kills, in the order of the log, each once.
    pub kills: Vec<Kill>,
    /// Kills beyond these.
    pub more: u64,
    /// Reports without a victim.
    pub no_victim: Vec<NoVictim>,
    /// Kills by programs.
    pub by_program: Vec<ByProgram>,
    /// Lines of programs that speak of OOM kills, the first ones.
    pub mentions: Vec<Mention>,
    /// What a recorder said before the end, in order.
    pub last_words: Vec<Mention>,
    /// What was read.
    pub coverage: Coverage,
}

impl TextLog {
    /// Whether it says nothing of any kill.
    pub fn is_empty(&self) -> bool {
        let said = self.by_program.is_empty() && self.mentions.is_empty() && self.last_words.is_empty();
        self.kills.is_empty() && self.no_victim.is_empty() && said
    }
}
