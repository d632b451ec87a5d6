//! What all requests need.

use crate::serve::documents::Documents;
use crate::serve::gate::Gate;
use crate::serve::recordings::Recordings;

/// What all requests need.
pub struct App {
    /// The recordings.
    pub recordings: Recordings,
    /// Who may ask.
    pub gate: Gate,
    /// What children print.
    pub documents: Documents,
}
