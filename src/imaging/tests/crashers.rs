//! Files that a fuzzer found, named after what they broke, in one folder for each of the [`properties`].

use super::*;
use std::path::Path;

#[test]
fn files_that_once_broke_a_property_no_longer_do() {
    type Property = fn(&[u8]);
    let folders: [(&str, Property); 3] =
        [("header", properties::header), ("picture", properties::picture), ("jpeg", properties::jpeg)];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/imaging/tests/crashers");
    for (folder, property) in folders {
        let files = std::fs::read_dir(root.join(folder)).expect("a folder of files");
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            println!("{}", path.display());
            property(&std::fs::read(&path).expect("its bytes"));
            count += 1;
        }
        assert!(count > 0, "{folder}");
    }
}

#[test]
fn the_properties_hold_for_files_of_every_kind() {
    for file in formats::small_files() {
        properties::header(&file);
        properties::picture(&file);
        properties::jpeg(&file);
        properties::location(&file);
    }
}
