//! The `image` crate decodes the files that we accept to the same image.

use super::*;

#[test]
fn an_independent_decoder_outputs_the_same_image() {
    let mut compared = 0;
    for file in formats::small_files().into_iter().chain([test_images::interlaced_png(64, 50)]) {
        let header = inspect(&file, &tiny()).expect("a header");
        let agreed = reference_decoder::assert_agrees(&file, &header, &tiny());
        println!("{} {}x{}: {agreed:?}", header.format, header.width, header.height);
        compared += usize::from(agreed.is_some());
    }
    assert!(compared >= 11, "{compared} files compared");
}
