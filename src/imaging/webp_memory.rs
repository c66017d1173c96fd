//! Bounds the memory that libwebp allocates while it decodes. How much a lossless image needs beside its pixels depends on its
//! bitstream (`webp_lossless.rs`), and libwebp itself limits only single allocations, to 16 GiB.
//!
//! The linker replaces libwebp's allocation functions by these (`build.rs`). On systems other than Linux it cannot, and there
//! is no bound. A decode runs on one thread, so the budget is thread-local.

#![expect(unsafe_code, reason = "the functions replace functions of C")]

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;

/// How much of the budget was used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// Peak of the allocated bytes; 0 if there is no bound.
    pub peak_bytes: u64,
    /// Whether an allocation was rejected, which libwebp reports like other failures.
    pub refused: bool,
}

#[derive(Clone, Copy)]
struct Budget {
    bytes: u64,
    in_use_bytes: u64,
    usage: Usage,
}

thread_local! {
    static BUDGET: Cell<Option<Budget>> = const { Cell::new(None) };
}

/// Runs `work`, during which libwebp may allocate up to `bytes` on this thread.
pub(super) fn within<T>(bytes: u64, work: impl FnOnce() -> T) -> (T, Usage) {
    /// Also resets the budget if `work` unwinds.
    struct ResetBudget;
    impl Drop for ResetBudget {
        fn drop(&mut self) {
            BUDGET.set(None);
        }
    }
    let reset = ResetBudget;
    BUDGET.set(Some(Budget { bytes, in_use_bytes: 0, usage: Usage::default() }));
    let result = work();
    let usage = BUDGET.get().map(|budget| budget.usage).unwrap_or_default();
    drop(reset);
    (result, usage)
}

impl Budget {
    fn fits(&mut self, bytes: u64) -> bool {
        let fits = self.in_use_bytes.saturating_add(bytes) <= self.bytes;
        self.usage.refused |= !fits;
        fits
    }

    fn add(&mut self, bytes: u64) {
        self.in_use_bytes = self.in_use_bytes.saturating_add(bytes);
        self.usage.peak_bytes = self.usage.peak_bytes.max(self.in_use_bytes);
    }

    fn release(&mut self, bytes: u64) {
        self.in_use_bytes = self.in_use_bytes.saturating_sub(bytes);
    }
}

/// Calls `malloc` or `calloc`, if the budget allows it.
fn allocate(count: u64, size: usize, allocator: impl FnOnce(usize) -> *mut c_void) -> *mut c_void {
    let Some(length) = usize::try_from(count).ok().and_then(|count| count.checked_mul(size)) else { return null_mut() };
    let mut budget = BUDGET.get();
    if budget.as_mut().is_some_and(|budget| !budget.fits(length as u64)) {
        BUDGET.set(budget);
        return null_mut();
    }
    let memory = allocator(length);
    if let Some(budget) = &mut budget {
        budget.add(usable(memory));
        BUDGET.set(Some(*budget));
    }
    memory
}

/// Returns the size of an allocation: the requested size, rounded up by the allocator.
fn usable(memory: *mut c_void) -> u64 {
    #[cfg(target_os = "linux")]
    // SAFETY: `memory` is null or a live allocation of the C allocator.
    let bytes = unsafe { libc::malloc_usable_size(memory) };
    #[cfg(not(target_os = "linux"))]
    let bytes = {
        let _ = memory;
        0
    };
    bytes as u64
}

// SAFETY: no other symbol has this name. Called in place of libwebp's `WebPSafeMalloc(uint64_t nmemb, size_t size)`.
#[unsafe(no_mangle)]
extern "C" fn __wrap_WebPSafeMalloc(count: u64, size: usize) -> *mut c_void {
    // SAFETY: any length is valid.
    allocate(count, size, |length| unsafe { libc::malloc(length) })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn __wrap_WebPSafeCalloc(count: u64, size: usize) -> *mut c_void {
    // SAFETY: any length is valid.
    allocate(count, size, |length| unsafe { libc::calloc(length, 1) })
}

/// # Safety
/// `memory` must be null or come from one of the two functions above, or from libwebp's own, which use the same allocator.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_WebPSafeFree(memory: *mut c_void) {
    if let Some(mut budget) = BUDGET.get() {
        budget.release(usable(memory));
        BUDGET.set(Some(budget));
    }
    // SAFETY: required of the caller.
    unsafe { libc::free(memory) }
}
