//! The rows that bursts may add to a recording. Pure, with the clock passed in.

/// Rows that bursts of all cgroups may add to a recording in any hour: six minutes of one cgroup at 1 kHz.
pub const BURST_ROWS: u64 = 360_000;
/// One half may be taken at once, the other comes back over the hour: a row costs this much time.
const ROW_NS: u64 = 2 * HOUR_NS / BURST_ROWS;
const HOUR_NS: u64 = 3_600_000_000_000;
/// What was spent is of use again once a burst's worth of rows has come back.
const ENOUGH_NS: u64 = 10_000 * ROW_NS;

/// The rows that bursts may still add.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// In time that it takes to come back.
    left_ns: u64,
    at_ns: u64,
    is_spent: bool,
}

impl Allowance {
    /// All of it.
    pub fn new(now_ns: u64) -> Allowance {
        Allowance { left_ns: HOUR_NS, at_ns: now_ns, is_spent: false }
    }

    /// Whether there is something left.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Takes rows, or none where there are not so many.
    pub fn take(&mut self, now_ns: u64, rows: u64) -> bool {
        self.left_ns = HOUR_NS.min(self.left_ns + now_ns.saturating_sub(self.at_ns));
        self.at_ns = now_ns;
        let cost = rows.saturating_mul(ROW_NS);
        self.is_spent = if self.is_spent { self.left_ns < ENOUGH_NS.max(cost) } else { self.left_ns < cost };
        if !self.is_spent {
            self.left_ns -= cost;
        }
        !self.is_spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn bursts_of_many_stay_within_the_rows_of_an_hour_and_come_back() {
        let mut allowance = Allowance::new(0);
        let (mut rows, mut changes, mut was) = (Vec::new(), 0, false);
        // Forty cgroups that burst for three hours on end.
        for ms in 0..3 * 3_600_000u64 {
            let taken = allowance.take(ms * MS, 40);
            if taken {
                rows.push(ms);
            }
            changes += u64::from(allowance.is_spent() != was);
            was = allowance.is_spent();
        }
        for (at, ms) in rows.iter().enumerate() {
            let hour = rows[at..].partition_point(|other| *other < ms + 3_600_000) as u64 * 40;
            assert!(hour <= BURST_ROWS, "{hour} rows in the hour from {ms} ms on");
        }
        let all = rows.len() as u64 * 40;
        assert!(all > BURST_ROWS && all <= 2 * BURST_ROWS, "{all}");
        assert!((20..200).contains(&changes), "it is reported when it changes, not with each row: {changes}");
    }
}
