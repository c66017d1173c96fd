//! Runs the command line. Everything else is in the library: a future that this crate polled would be compiled twice.

use std::process::ExitCode;

/// The allocator of the whole process, including its C libraries. With glibc's allocator, a page of a list, which consists of
/// some thousand small allocations, takes 1.4 times the CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_memory_low();
    image_service::cli::run()
}

/// Returns freed memory to the system after 50 ms. By default this takes a second, in which large images add up to twice the
/// peak, most of which is then kept indefinitely. After 10 ms, small images take an eighth more CPU time, because no upload
/// can use the memory of the one before.
#[expect(unsafe_code, reason = "the allocator's own setting has no safe wrapper")]
fn keep_memory_low() {
    /// `mi_option_purge_delay` of mimalloc.h, in milliseconds; the bindings do not define it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // The call only stores a number in the allocator's options.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 50) }
}
