//! Functions of the kernel that are no helpers, see [`sampler_ebpf::kfunc`].

use core::ffi::c_void;

use sampler_ebpf::kfunc;

macro_rules! kfuncs {
    ($($(#[doc = $doc:literal])* $name:ident = $number:ident($($argument:ident: $of:ty),*) $(-> $gives:ty)?;)*) => {$(
        $(#[doc = $doc])*
        ///
        /// # Safety
        /// The verifier checks what the arguments must be.
        #[inline(always)]
        pub unsafe fn $name($($argument: $of),*) $(-> $gives)? {
            // SAFETY: calls of this number are made calls of the function before the program is loaded.
            unsafe {
                let function: unsafe extern "C" fn($($of),*) $(-> $gives)? = core::mem::transmute(kfunc::$number as usize);
                function($($argument),*)
            }
        }
    )*};
}

/// `struct bpf_iter_css`.
pub type CssIter = [u64; 3];

/// Parents before children.
pub const DESCENDANTS_PRE: u32 = 2;

kfuncs! {
    /// Memory of the kernel that may be read at any offset: where nothing is, 0 is read.
    rdonly_cast = RDONLY_CAST(object: u64, of: u32) -> *const u8;
    rcu_read_lock = RCU_READ_LOCK();
    rcu_read_unlock = RCU_READ_UNLOCK();
    /// Of the unified hierarchy; to be released.
    cgroup_from_id = CGROUP_FROM_ID(id: u64) -> *mut c_void;
    /// To be released.
    cgroup_ancestor = CGROUP_ANCESTOR(cgroup: *mut c_void, level: i32) -> *mut c_void;
    /// Of a version 1 hierarchy; to be released.
    task_get_cgroup1 = TASK_GET_CGROUP1(task: *mut c_void, hierarchy: i32) -> *mut c_void;
    cgroup_release = CGROUP_RELEASE(cgroup: *mut c_void);
    iter_css_new = ITER_CSS_NEW(iter: *mut CssIter, start: *mut c_void, flags: u32) -> i32;
    iter_css_next = ITER_CSS_NEXT(iter: *mut CssIter) -> *mut c_void;
    iter_css_destroy = ITER_CSS_DESTROY(iter: *mut CssIter);
    /// Of a cgroup's own state; to be put.
    get_mem_cgroup = GET_MEM_CGROUP(css: *mut c_void) -> *mut c_void;
    put_mem_cgroup = PUT_MEM_CGROUP(memcg: *mut c_void);
    /// Sleeps.
    mem_cgroup_flush_stats = MEM_CGROUP_FLUSH_STATS(memcg: *mut c_void);
    mem_cgroup_page_state = MEM_CGROUP_PAGE_STATE(memcg: *mut c_void, item: u32) -> u64;
    mem_cgroup_vm_events = MEM_CGROUP_VM_EVENTS(memcg: *mut c_void, event: u32) -> u64;
}
