//! A line that the parser takes.

/// One line of the kernel's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line<'a> {
    /// The text, without what stands before it.
    pub text: &'a str,
    /// Number of the record; 0 where there is none.
    pub seq: u64,
    /// By any clock, microseconds; the kernel's own where there is one.
    pub time_us: Option<u64>,
    /// How exact that is, microseconds.
    pub exact_us: u64,
    /// Whether it goes on where the line before ended.
    pub continues: bool,
    /// The context that wrote it (`T1234`, `C0`), where the kernel prints that.
    pub caller: Option<&'a str>,
}
