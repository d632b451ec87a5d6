//! The agent's own death by a signal of a fault: a handler writes a line that was prepared before, and lets the signal do its work.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// Signals of faults. SIGKILL cannot be seen by who gets it, and SIGTERM is an orderly end.
const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGABRT];
/// Room of a line, bytes.
const ROOM: usize = 900;

/// Two lines: one is read by a handler while the other is written.
struct Lines(UnsafeCell<[[u8; ROOM]; 2]>);
// SAFETY: one thread writes, and only to the line that `READY` does not name.
unsafe impl Sync for Lines {}

static LINES: Lines = Lines(UnsafeCell::new([[0; ROOM]; 2]));
/// Which line is ready, and its length: twice the length, plus the line.
static READY: AtomicUsize = AtomicUsize::new(0);
static LOG: AtomicI32 = AtomicI32::new(-1);

/// Makes the signals write the prepared line to a file, which stays open.
pub fn watch(log: &File) -> io::Result<()> {
    LOG.store(log.as_raw_fd(), Ordering::Release);
    for signal in SIGNALS {
        // SAFETY: all zero is a valid value of it: no flags, no mask.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = on_signal as *const () as usize;
        // Once: what comes after the line is the end as the system has it.
        action.sa_flags = libc::SA_RESETHAND | libc::SA_ONSTACK;
        // SAFETY: the handler is a function of the right type that lives as long as the program.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Prepares the line. Called by one thread only.
pub fn prepare(line: &str) {
    let at = READY.load(Ordering::Relaxed) & 1 ^ 1;
    let length = line.len().min(ROOM);
    // SAFETY: nobody reads this one of the lines until it is ready, and nobody else writes.
    let lines = unsafe { &mut *LINES.0.get() };
    lines[at][..length].copy_from_slice(&line.as_bytes()[..length]);
    READY.store(length << 1 | at, Ordering::Release);
}

extern "C" fn on_signal(signal: libc::c_int) {
    let ready = READY.load(Ordering::Acquire);
    let (at, length) = (ready & 1, ready >> 1);
    // SAFETY: the line is ready; write, kill and getpid are safe in a handler. The signal comes again, with its usual effect.
    unsafe {
        let line = (*LINES.0.get())[at].as_ptr();
        libc::write(LOG.load(Ordering::Acquire), line.cast(), length);
        libc::raise(signal);
    }
}
