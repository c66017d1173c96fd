#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| image_service_fuzz::imaging::properties::picture(file));
