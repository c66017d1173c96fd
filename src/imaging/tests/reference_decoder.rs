//! The `image` crate decodes what we accept, and sees the same picture.

use super::*;

#[test]
fn an_independent_decoder_sees_the_same_picture() {
    let mut compared = 0;
    for file in formats::small_files().into_iter().chain([pictures::interlaced_png(64, 50)]) {
        let header = inspect(&file, &tiny()).expect("a header");
        let agreed = reference_decoder::agrees(&file, &header, &tiny());
        println!("{} {}x{}: {agreed:?}", header.format, header.width, header.height);
        compared += usize::from(agreed.is_some());
    }
    assert!(compared >= 11, "{compared} files compared");
}
