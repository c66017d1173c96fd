//! Processing an image never takes more memory than is reserved for it according to its header, whatever the file
//! contains.
//!
//! Each job runs in a separate process, whose peak of resident memory the kernel reports (`VmHWM`); that includes what
//! the C libraries allocate. In addition, an allocator counts what Rust allocates, whether used or not. The service
//! itself counts and limits the allocations of libwebp (`src/imaging/webp_memory.rs`).

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::print_stdout, reason = "a process reports to the process that started it")]

mod allocator;
mod corpus;
mod job;
mod profiles;
#[path = "../pictures/webp.rs"]
#[expect(dead_code, reason = "the tests of imaging use the rest")]
mod webp_files;

use corpus::Case;
use job::Measured;

/// Memory that does not depend on the header: code pages that are loaded for the first time, stacks, and the
/// allocator's own.
const PROCESS_BYTES: u64 = 3 << 20;

/// The limit for inspecting a header. Nothing is reserved for that, and it does not depend on the size of the image.
const INSPECT_BYTES: u64 = 12 << 20;

#[test]
fn no_image_takes_more_memory_than_is_reserved_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    for Case { name, file, is_accepted, jobs } in corpus::all() {
        let path = folder.path().join(name.replace(' ', "-"));
        std::fs::write(&path, file).expect("a file");
        for job in jobs {
            let measured = job::in_separate_process(&path, job);
            println!("{name:42} {job:8} {measured}");
            let Measured { reserved, allocated, resident, inspecting, accepted } = measured;
            // A rejected file may have used memory before it was rejected.
            if allocated.max(resident) > reserved + PROCESS_BYTES || inspecting > INSPECT_BYTES || accepted != is_accepted {
                wrong.push(format!("{name}, {job}: {measured}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "run by the test above in a separate process, with a file"]
fn one_job() {
    job::run();
}
