//! Routes libwebp's allocations through `src/imaging/webp_memory.rs`, which bounds them. libwebp can only be told at compile
//! time what a single allocation may have; a bound that lets a picture of 200 megapixels pass would bound nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Apple's linker cannot do it; there the bound does not hold.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        for function in ["WebPSafeMalloc", "WebPSafeCalloc", "WebPSafeFree"] {
            println!("cargo::rustc-link-arg=-Wl,--wrap={function}");
        }
    }
}
