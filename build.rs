//! Routes libwebp's allocations through `src/imaging/webp_memory.rs`, which limits them for each image. libwebp itself has only a
//! compile-time limit for single allocations, and one that allows images of 200 megapixels would be too high for smaller images.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Apple's linker does not support --wrap. Without it, there is no limit.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        for function in ["WebPSafeMalloc", "WebPSafeCalloc", "WebPSafeFree"] {
            println!("cargo::rustc-link-arg=-Wl,--wrap={function}");
        }
    }
}
