//! When the machine had nearly nothing left.

use crate::analysis::pressure::episode::{CALM_US, Episode, EpisodeKind, MOST};
use crate::model::fields::FieldId;
use crate::model::recording::Series;

/// Columns of the machine that are read.
pub const HOST_FIELDS: [FieldId; 2] = [FieldId::MemTotal, FieldId::MemAvailable];

/// The machine has nearly nothing left below this part of its memory, and has again above twice of it.
pub(super) const LEAST_AVAILABLE: f64 = 0.05;

/// Follows the machine.
#[derive(Clone, Debug, Default)]
pub struct HostWatch {
    total: Option<f64>,
    available: Option<u64>,
    open: Option<Episode>,
    done: Vec<Episode>,
}

impl HostWatch {
    /// Takes rows, which follow those taken before.
    pub fn feed(&mut self, series: &Series) {
        let [total, available] = HOST_FIELDS.map(|id| series.column(id.field()));
        for (row, &time_us) in series.time_us.iter().enumerate() {
            self.total = total.and_then(|column| column.get(row)).map(|v| v as f64).or(self.total);
            let left = available.and_then(|column| column.get(row));
            self.available = left.or(self.available);
            let (Some(total), Some(left)) = (self.total, left) else { continue };
            if self
                .open
                .as_ref()
                .is_some_and(|open| left as f64 > 2.0 * LEAST_AVAILABLE * total || time_us - open.time_us.1 > CALM_US)
            {
                self.close();
            }
            if self.open.is_none() && (left as f64) < LEAST_AVAILABLE * total {
                self.open = Some(Episode::new("", EpisodeKind::HostExhausted, (time_us, time_us)));
            }
            if let Some(episode) = &mut self.open {
                episode.time_us.1 = time_us;
                episode.least_available = Some(episode.least_available.map_or(left, |least| least.min(left)));
            }
        }
    }

    /// What was available last, bytes.
    pub fn available(&self) -> Option<u64> {
        self.available
    }

    fn close(&mut self) {
        if let Some(mut episode) = self.open.take().filter(|_| self.done.len() < MOST) {
            episode.duration_s = (episode.time_us.1 - episode.time_us.0) as f64 / 1e6;
            self.done.push(episode);
        }
    }

    /// The episodes, in the order of time.
    pub fn end(mut self) -> Vec<Episode> {
        self.close();
        self.done
    }
}
