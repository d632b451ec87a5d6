//! Limits that were raised and that nobody needs any more: of containers that ended, of an earlier guard that was killed, of a machine that
//! went down. Each is set back in the kernel and in Docker, and struck out of the ledger once it is seen to be back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::agent::guard::apply::Applier;
use crate::agent::guard::docker::{Answer, Order, Settled};
use crate::agent::guard::ledger::{Debt, Standing};
use crate::agent::guard::observe::{Observer, Present};
use crate::agent::guard::record::event;
use crate::guard::policy::FITS;
use crate::guard::{Action, ActionKind, Guard, Reading};
use crate::kernel::cgroupfs::limits::set_both;
use crate::model::units::bytes;

/// A debt is looked at this often.
const PAUSE: Duration = Duration::from_millis(500);
/// What could not be done is tried again after this time.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// When a debt is looked at again, and what was recorded of it.
#[derive(Debug)]
struct Due {
    at: Instant,
    /// Nothing more can be done for now: it failed, or would kill.
    is_stuck: bool,
    is_recorded: bool,
}

/// Pays what is owed.
pub struct Settler {
    answers: UnboundedReceiver<Answer>,
    due: HashMap<String, Due>,
}

impl Settler {
    /// Nothing was looked at yet.
    pub fn new(answers: UnboundedReceiver<Answer>) -> Settler {
        Settler { answers, due: HashMap::new() }
    }

    /// Whether nothing is left that could be done before the guard ends.
    pub fn is_done(&self, hands: &Applier) -> bool {
        let waits = |debt: &Debt| self.due.get(&debt.path).is_none_or(|due| !due.is_stuck);
        !hands.ledger.debts().iter().any(waits)
    }

    /// Looks at each debt that the guard does not hold as a raise of its own.
    pub fn look(&mut self, hands: &mut Applier, eyes: &mut Observer, guard: &mut Guard, readings: &[Reading]) {
        while let Ok(Answer { path, given, settled }) = self.answers.try_recv() {
            // It may have been raised again while Docker was asked.
            let is_same = hands.ledger.debts().iter().any(|debt| debt.path == path && debt.given.len() == given);
            match settled {
                Settled::Yes if is_same => self.strike(hands, &path),
                Settled::Yes => {}
                Settled::Asked => self.wait(&path, PAUSE),
                Settled::Unknown => self.fail(&path),
            }
        }
        let now = Instant::now();
        let mut open: Vec<Debt> = hands.ledger.debts().to_vec();
        open.retain(|debt| !guard.holds(&debt.path) && !hands.settling.has(&debt.path));
        open.retain(|debt| self.due.get(&debt.path).is_none_or(|due| due.at <= now));
        for debt in open {
            self.wait(&debt.path, PAUSE);
            let present = eyes.present(&debt.path);
            if !hands.apply {
                self.record(hands, &debt, "an earlier guard has raised its limit; with --apply it is set back".into());
                continue;
            }
            match present.map(|now| (now, debt.standing(now.id, now.limits, now.both, hands.ledger.boot()))) {
                Some((_, Standing::Foreign)) => self.strike(hands, &debt.path),
                Some((now, _)) if now.limits != debt.original && !fits(&debt, &now) => {
                    self.leave(hands, guard, readings, &debt, &now)
                }
                Some((now, Standing::Raised)) => self.set_back(hands, &debt, &now),
                Some((_, Standing::Settled)) | None => self.ask(hands, &debt),
            }
        }
    }

    /// The kernel has the old limits.
    fn ask(&mut self, hands: &mut Applier, debt: &Debt) {
        let Some(id) = debt.docker.clone() else { return self.strike(hands, &debt.path) };
        let given = debt.given.iter().map(|limits| limits.max).collect();
        hands.settling.begin(&debt.path);
        let order = Order::Settle { path: debt.path.clone(), id, original: debt.original.max, given };
        if hands.docker.send(order).is_err() {
            self.fail(&debt.path);
        }
    }

    fn set_back(&mut self, hands: &mut Applier, debt: &Debt, now: &Present) {
        let done = match now.limits == debt.original {
            true => true,
            false => {
                let kind = ActionKind::Restore { from: now.limits, to: debt.original };
                let reason = format!(
                    "its limit was raised, and nobody has set it back: {} cannot be reclaimed",
                    bytes(now.unreclaimable)
                );
                hands.act(&Action { path: debt.path.clone(), kind, reason }, now.id)
            }
        };
        // What a raise has moved along, and its end did not come to.
        let is_back = || debt.both.is_none_or(|before| set_both(&hands.layout, &debt.path, before).is_ok());
        if !(done && is_back()) {
            self.fail(&debt.path);
        }
    }

    /// The old limits would kill it: the guard that runs takes the raise over, and sets it back when it is calm.
    fn leave(&mut self, hands: &mut Applier, guard: &mut Guard, readings: &[Reading], debt: &Debt, now: &Present) {
        let reason = format!(
            "its limit stays at {} for now: {} of it cannot be reclaimed, so the old limit of {} would kill it",
            bytes(now.limits.first()),
            bytes(now.unreclaimable),
            bytes(debt.original.first())
        );
        self.record(hands, debt, reason);
        self.due.entry(debt.path.clone()).and_modify(|due| due.is_stuck = true);
        if let Some(reading) = readings.iter().find(|reading| reading.path == debt.path && reading.id == now.id) {
            guard.adopt(reading, debt.original, &debt.given);
        }
    }

    /// The guard ends, and has recorded that this one keeps its raised limit.
    pub fn stays(&mut self, path: &str) {
        self.fail(path);
        self.due.entry(path.to_owned()).and_modify(|due| due.is_recorded = true);
    }

    fn record(&mut self, hands: &Applier, debt: &Debt, reason: String) {
        let Some(due) = self.due.get_mut(&debt.path) else { return };
        if !std::mem::replace(&mut due.is_recorded, true) {
            hands.record(event(&debt.path, "hold", false, reason, None));
        }
    }

    fn strike(&mut self, hands: &mut Applier, path: &str) {
        hands.ledger.strike(path);
        self.due.remove(path);
    }

    fn wait(&mut self, path: &str, pause: Duration) {
        let at = Instant::now() + pause;
        let due = self.due.entry(path.to_owned()).or_insert(Due { at, is_stuck: false, is_recorded: false });
        (due.at, due.is_stuck) = (at, false);
    }

    fn fail(&mut self, path: &str) {
        self.wait(path, AFTER_FAILURE);
        self.due.entry(path.to_owned()).and_modify(|due| due.is_stuck = true);
    }
}

/// Whether the old limits would not kill it.
fn fits(debt: &Debt, now: &Present) -> bool {
    now.unreclaimable as f64 <= debt.original.first() as f64 * FITS
}
