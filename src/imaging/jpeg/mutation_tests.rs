//! Many small files with seeded damage, on which both decoders must agree: what a fuzzer would try, in the time of a test. The
//! environment variable `MUTATIONS` sets the number of files, such as 1000000, and `MUTATION_SEEDS` names a folder with further
//! seed files.

use super::tests::{kinds_of, progressive_noise};
use crate::imaging::properties;
use crate::imaging::tests::test_images::*;
use mozjpeg::ColorSpace;

const SIZE: (u32, u32) = (45, 35);

fn seeds() -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> = kinds_of(SIZE).into_iter().map(|(_, file)| file).collect();
    files.push(jpeg_with_restarts(SIZE));
    files.push(progressive_noise(SIZE));
    let samples = noise(45 * 35 * 4);
    for space in [ColorSpace::JCS_CMYK, ColorSpace::JCS_YCCK] {
        files.push(jpeg(SIZE, ColorSpace::JCS_CMYK, &samples, None, |c| c.set_color_space(space)));
    }
    files.push(jpeg(SIZE, ColorSpace::JCS_RGB, &samples[..45 * 35 * 3], None, |c| c.set_color_space(ColorSpace::JCS_RGB)));
    for factors in [[(2, 2), (1, 1), (2, 1)], [(1, 1), (2, 2), (2, 2)], [(4, 1), (1, 1), (2, 1)]] {
        files.extend([sampled_jpeg(SIZE, factors, false), sampled_jpeg(SIZE, factors, true)]);
    }
    if let Some(folder) = std::env::var_os("MUTATION_SEEDS") {
        let entries = std::fs::read_dir(folder).expect("a folder of files");
        files.extend(entries.map(|entry| std::fs::read(entry.expect("a file").path()).expect("its bytes")));
    }
    files
}

/// Returns the positions of markers.
fn markers(file: &[u8]) -> Vec<usize> {
    (0..file.len() - 1).filter(|&at| file[at] == 0xff && file[at + 1] >= 0xc0 && file[at + 1] != 0xff).collect()
}

fn mutate(file: &mut Vec<u8>, other: &[u8], random: &mut XorShift) {
    let at = 2 + random.below(file.len().max(8) - 4);
    let at = at.min(file.len());
    let end = (at + 1 + random.below(16)).min(file.len());
    match random.below(12) {
        0 => file[at.min(end - 1)] ^= 1 << random.below(8),
        1 => file[at.min(end - 1)] = random.next() as u8,
        2 => file.truncate(at),
        3 => drop(file.drain(at..end)),
        4 => drop(file.splice(at..at, noise(1 + random.below(12)))),
        5 => file.truncate(file.len() - random.below(6)),
        6 => file[at..end].fill([0, 0xff][random.below(2)]),
        7 => {
            let code = [0x00, 0x01, 0xd0, 0xd1, 0xd7, 0xd8, 0xd9, 0xda, 0xc4, 0xdb, 0xdd, 0xe1, 0xfe, 0xf1][random.below(14)];
            file.splice(at..at, [0xff, code]);
        }
        kind => {
            // At a marker: insert bytes before it, remove, repeat or move its segment, or change one byte of its header.
            let markers = markers(file);
            let place = random.below(markers.len().max(1));
            let Some(&from) = markers.get(place) else { return };
            let to = markers.get(place + 1).copied().unwrap_or(file.len());
            let segment = file[from..to].to_vec();
            match kind {
                8 => drop(file.splice(from..from, noise(1 + random.below(9)))),
                9 => drop(file.drain(from..to)),
                10 => {
                    let elsewhere = markers[random.below(markers.len())];
                    file.splice(elsewhere..elsewhere, segment);
                }
                _ if random.below(4) == 0 => drop(file.splice(from.., other[from.min(other.len())..].to_vec())),
                _ => {
                    let at = (from + 1 + random.below(24)).min(file.len() - 1);
                    file[at] = [random.next() as u8, file[at].wrapping_add(1), file[at] ^ 0x10, 0][random.below(4)];
                }
            }
        }
    }
}

#[test]
fn the_decoders_agree_on_files_with_seeded_damage() {
    let rounds = std::env::var("MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(1500);
    let seed = std::env::var("MUTATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x000a_11ce);
    let mut random = XorShift(seed);
    let seeds = seeds();
    for file in &seeds {
        properties::jpeg(file);
    }
    for round in 0..rounds {
        let mut file = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())];
        for _ in 0..1 + random.below(3) {
            if file.len() > 16 {
                mutate(&mut file, other, &mut random);
            }
        }
        let agreed = std::panic::catch_unwind(|| properties::jpeg(&file));
        if agreed.is_err() {
            let path = std::env::temp_dir().join("jpeg_that_the_decoders_disagree_on");
            std::fs::write(&path, &file).expect("a file");
            unreachable!("round {round}: the file is {}", path.display());
        }
    }
}
