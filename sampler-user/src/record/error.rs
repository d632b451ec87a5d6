//! Why a recording cannot begin.

use std::io;

use crate::kernel::probe;

/// Why a recording cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kernel object could not be made.
    #[error("{operation}")]
    Kernel {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel probe was required, and the kernel refused it.
    #[error("--probe require: the kernel refused the probe; record without --probe require, or see `sampler doctor`")]
    Probe {
        /// Why.
        #[from]
        source: probe::Error,
    },
}

/// Names the operation that an IO error belongs to.
pub(super) fn kernel(operation: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Kernel { operation, source }
}
