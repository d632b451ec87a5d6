//! The commands of `bpf(2)` that aya has no way to make.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

pub const PROG_TEST_RUN: libc::c_int = 10;
pub const PROG_LOAD: libc::c_int = 5;
pub const LINK_CREATE: libc::c_int = 28;
pub const ITER_CREATE: libc::c_int = 33;
pub const TRACE_ITER: u32 = 28;
/// Parents before children.
pub const DESCENDANTS_PRE: u32 = 2;

/// `union bpf_iter_link_info`, as far as a cgroup needs it.
#[repr(C)]
pub struct CgroupWalk {
    pub order: u32,
    pub cgroup_fd: u32,
    pub cgroup_id: u64,
}

/// `union bpf_attr` of BPF_LINK_CREATE.
#[repr(C)]
pub struct LinkCreate {
    pub prog_fd: u32,
    pub target_fd: u32,
    pub attach_type: u32,
    pub flags: u32,
    pub iter_info: u64,
    pub iter_info_len: u32,
    pub reserved: [u32; 9],
}

/// `union bpf_attr` of BPF_PROG_TEST_RUN.
#[derive(Default)]
#[repr(C)]
pub struct TestRun {
    pub prog_fd: u32,
    pub retval: u32,
    pub rest: [u64; 9],
}

/// `union bpf_attr` of BPF_ITER_CREATE.
#[repr(C)]
pub struct IterCreate {
    pub link_fd: u32,
    pub flags: u32,
}

/// `union bpf_attr` of BPF_PROG_LOAD, as far as it is needed.
#[repr(C)]
pub struct ProgLoad {
    pub prog_type: u32,
    pub insn_cnt: u32,
    pub insns: u64,
    pub license: u64,
    pub log_level: u32,
    pub log_size: u32,
    pub log_buf: u64,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub prog_name: [u8; 16],
}

/// Makes a command.
pub fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes live until the call returns, and their size is given.
    let given = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if given < 0 { Err(io::Error::last_os_error()) } else { Ok(given) }
}

/// Makes a command that gives a descriptor.
pub fn descriptor<T>(command: libc::c_int, mut attributes: T) -> io::Result<OwnedFd> {
    let fd = bpf(command, &mut attributes)?;
    // SAFETY: the kernel gave a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
