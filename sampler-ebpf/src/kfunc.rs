//! Functions of the kernel that a walk without a lock calls. Rust has no way to name them to the kernel: the probe calls helpers of
//! numbers that no helper has, and the agent puts the functions' own numbers, by the kernel's types, in their place. A function
//! that the running kernel does not have becomes the number 0.

/// The helper number that stands for the first of [`NAMES`].
pub const FIRST: u32 = 0x5a00_0000;

macro_rules! kfuncs {
    ($($(#[doc = $doc:literal])* $number:ident = $name:literal,)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "an enum only to number constants")]
        #[repr(u32)]
        enum Order { $($number,)* }
        $($(#[doc = $doc])* pub const $number: u32 = FIRST + Order::$number as u32;)*
        /// Their names, in the order of their numbers.
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

kfuncs! {
    /// Kernel 6.2.
    RDONLY_CAST = "bpf_rdonly_cast",
    /// Kernel 6.2.
    RCU_READ_LOCK = "bpf_rcu_read_lock",
    /// Kernel 6.2.
    RCU_READ_UNLOCK = "bpf_rcu_read_unlock",
    /// Kernel 6.2.
    CGROUP_FROM_ID = "bpf_cgroup_from_id",
    /// Kernel 6.1.
    CGROUP_ANCESTOR = "bpf_cgroup_ancestor",
    /// Kernel 6.8.
    TASK_GET_CGROUP1 = "bpf_task_get_cgroup1",
    /// Kernel 6.1.
    CGROUP_RELEASE = "bpf_cgroup_release",
    /// Kernel 6.7.
    ITER_CSS_NEW = "bpf_iter_css_new",
    /// Kernel 6.7.
    ITER_CSS_NEXT = "bpf_iter_css_next",
    /// Kernel 6.7.
    ITER_CSS_DESTROY = "bpf_iter_css_destroy",
    /// Kernel 7.0.
    GET_MEM_CGROUP = "bpf_get_mem_cgroup",
    /// Kernel 7.0.
    PUT_MEM_CGROUP = "bpf_put_mem_cgroup",
    /// Kernel 7.0.
    MEM_CGROUP_FLUSH_STATS = "bpf_mem_cgroup_flush_stats",
    /// Kernel 7.0.
    MEM_CGROUP_PAGE_STATE = "bpf_mem_cgroup_page_state",
    /// Kernel 7.0.
    MEM_CGROUP_VM_EVENTS = "bpf_mem_cgroup_vm_events",
}
