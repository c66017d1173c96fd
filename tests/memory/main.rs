//! No picture takes more memory than is reserved for it by what its header says, whatever its file holds.
//!
//! Each job runs in a process of its own, whose peak of resident memory the kernel tells (`VmHWM`): that counts what the C
//! libraries allocate too. Beside it an allocator counts what Rust allocates, used or not; libwebp's allocations are counted
//! and bounded in the service itself (`src/imaging/webp_memory.rs`).

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::print_stdout, reason = "a process answers the one that started it")]

mod allocator;
mod corpus;
mod job;
mod profiles;
#[path = "../pictures/webp.rs"]
#[expect(dead_code, reason = "the tests of imaging use the rest")]
mod webp_files;

use corpus::Case;
use job::Measured;

/// What no header is asked about: pages of code that are run for the first time, stacks, and the allocator's own.
const PROCESS_BYTES: u64 = 3 << 20;

/// What looking at a header may take. Nothing is reserved for that, and it is not bounded by the picture's size.
const INSPECT_BYTES: u64 = 12 << 20;

#[test]
fn no_picture_takes_more_memory_than_is_reserved_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    for Case { name, file, is_accepted, jobs } in corpus::all() {
        let path = folder.path().join(name.replace(' ', "-"));
        std::fs::write(&path, file).expect("a file");
        for job in jobs {
            let measured = job::in_process_of_its_own(&path, job);
            println!("{name:42} {job:8} {measured}");
            let Measured { reserved, allocated, resident, inspecting, accepted } = measured;
            // A file that is refused may have taken memory until then.
            if allocated.max(resident) > reserved + PROCESS_BYTES || inspecting > INSPECT_BYTES || accepted != is_accepted {
                wrong.push(format!("{name}, {job}: {measured}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "run by the test above, with a file to work on"]
fn one_job() {
    job::run();
}
