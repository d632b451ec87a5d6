//! Rights that the agent has no use for are given up before it starts a thread: what takes it over gets no more than what it
//! needs for its work, and neither do its children.

use anyhow::Context;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// Of root's rights, these are used: the kernel's log, names in the state files of runtimes, maps of processes, short windows of
/// pressure, priority and locked memory, the probe. The same as in the unit.
const USED: CapabilitySet = CapabilitySet::SYSLOG
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON);
/// To run a command as another user, and to end it.
const FOR_ANOTHER_USER: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::KILL);
/// Kernels before 5.8 have no right of its own for the probe.
const INSTEAD_OF_BPF: CapabilitySet = CapabilitySet::SYS_ADMIN;

/// What is needed beside the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// A command is run as another user.
    pub another_user: bool,
    /// A port below 1024 is served.
    pub low_port: bool,
}

/// Gives up all other rights of this thread and of those it starts, and what needs none of them: no program that is started gets
/// more, and of the kernel's calls those are refused that a recorder never makes. To be called before any thread is started.
///
/// # Errors
/// The kernel refuses to take a right away.
pub fn reduce(needs: Needs) -> anyhow::Result<()> {
    let held = capabilities(None).context("read the capabilities of this process")?;
    let mut kept = USED;
    if needs.another_user {
        kept |= FOR_ANOTHER_USER;
    }
    if needs.low_port {
        kept |= CapabilitySet::NET_BIND_SERVICE;
    }
    if !held.permitted.contains(CapabilitySet::BPF) {
        kept |= INSTEAD_OF_BPF;
    }
    let can_bound = held.effective.contains(CapabilitySet::SETPCAP);
    for capability in CapabilitySet::all().iter().filter(|one| can_bound && !kept.contains(*one)) {
        // One that this kernel does not know is not there.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let _ = clear_ambient_capability_set();
    let sets = CapabilitySets {
        effective: held.effective & kept,
        permitted: held.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).context("give up capabilities")?;
    set_no_new_privs(true).context("give up new privileges")?;
    refuse_calls().context("filter the kernel's calls")
}

/// Calls that change the machine, look into other processes, or are doors that attackers like; all are refused as if the right
/// to them were missing.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const REFUSED: [libc::c_long; 40] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_personality,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Installs the filter for all threads of this process.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn refuse_calls() -> std::io::Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    // Of `linux/audit.h`: the machine in ELF's numbers, 64 bits, little-endian.
    #[cfg(target_arch = "x86_64")]
    const ARCH: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCH: u32 = 0xc000_00b7;
    // Offsets in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const MACHINE: u32 = 4;
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |offset: u32| step(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
    let give = |what: u32| step(BPF_RET | BPF_K, what, 0, 0);
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    // Calls in another machine's numbers are none of ours.
    let mut program = vec![load(MACHINE), step(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0), give(refuse), load(NUMBER)];
    for (at, call) in REFUSED.iter().enumerate() {
        // Over the calls behind it and what lets all others through.
        let to_refusal = (REFUSED.len() - at) as u8;
        program.push(step(BPF_JMP | BPF_JEQ | BPF_K, *call as u32, to_refusal, 0));
    }
    program.extend([give(libc::SECCOMP_RET_ALLOW), give(refuse)]);
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter points to a program that outlives the call; the kernel checks and copies it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const filter,
        )
    };
    match done {
        0 => Ok(()),
        // A kernel without seccomp: what is missing is a second line of defence.
        _ if std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn refuse_calls() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_keeps_the_same_rights() {
        let unit = include_str!("../../dist/sampler.service");
        let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
        let mut named: Vec<String> = line.split(' ').map(|name| name.trim_start_matches("CAP_").to_owned()).collect();
        let mut used: Vec<String> = USED.iter_names().map(|(name, _)| name.to_owned()).collect();
        named.sort();
        used.sort();
        assert_eq!(named, used);
    }
}
