//! The figures of each image, and summaries by class of images.

use std::fmt;
use std::path::Path;

use crate::peer::{Peer, Score};

/// Images of similar cost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    JpegLarge,
    JpegLargeProgressive,
    JpegMedium,
    JpegSmall,
    Png,
    Gif,
    Webp,
}

impl Class {
    pub fn of(bytes: &[u8]) -> Class {
        let header = image_service::imaging::inspect(bytes, &image_service::imaging::Limits::default());
        let megapixels = header.as_ref().map_or(0.0, |header| f64::from(header.width) * f64::from(header.height) / 1e6);
        // The frame header of a progressive JPEG (SOF2) with 8 bits per sample.
        let progressive = bytes.windows(5).take(1 << 17).any(|w| w[..4] == [0xff, 0xc2, 0, 17] && w[4] == 8);
        match &bytes[..4] {
            [0x89, b'P', ..] => Class::Png,
            [b'G', b'I', ..] => Class::Gif,
            [b'R', b'I', ..] => Class::Webp,
            _ if megapixels >= 11.0 && progressive => Class::JpegLargeProgressive,
            _ if megapixels >= 11.0 => Class::JpegLarge,
            _ if megapixels >= 2.0 => Class::JpegMedium,
            _ => Class::JpegSmall,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Class::JpegLarge => "JPEG 12-16 MP, baseline",
            Class::JpegLargeProgressive => "JPEG 12-16 MP, progressive",
            Class::JpegMedium => "JPEG 2-10 MP",
            Class::JpegSmall => "JPEG small",
            Class::Png => "PNG",
            Class::Gif => "GIF",
            Class::Webp => "WebP",
        }
    }
}

/// The figures of one image: CPU milliseconds, and the scores of ours and the peers' thumbnails in the same order.
pub struct Row {
    name: String,
    class: Class,
    ours: f64,
    theirs: Vec<Option<f64>>,
    scores: Vec<Score>,
}

impl Row {
    pub fn new(path: &Path, class: Class, mut ours: Vec<f64>, theirs: Vec<Vec<f64>>, scores: Vec<Score>) -> Row {
        let theirs = theirs.into_iter().map(|mut times| (!times.is_empty()).then(|| median(&mut times))).collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Row { name, class, ours: median(&mut ours), theirs, scores }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:36} {:7.1} ms", self.name, self.ours)?;
        for theirs in &self.theirs {
            match theirs {
                Some(theirs) => write!(f, "  {:7.1} ms ({:.2})", theirs, theirs / self.ours)?,
                None => write!(f, "  rejected")?,
            }
        }
        for score in &self.scores {
            write!(f, "  {:.2} dB {:.4}", score.psnr, score.ssim)?;
        }
        Ok(())
    }
}

/// Prints for each class the ratio of each peer's CPU to ours, summed over the images that both accept, and the mean scores.
pub fn summarise(rows: &[Row], peers: &[Peer]) {
    let mut classes: Vec<Class> = rows.iter().map(|row| row.class).collect();
    classes.sort();
    classes.dedup();
    println!();
    for class in classes {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.class == class).collect();
        print!("{:28} {:2}", class.name(), rows.len());
        for (index, peer) in peers.iter().enumerate() {
            let both = rows.iter().filter_map(|row| Some((row.ours, row.theirs.get(index).copied().flatten()?)));
            let (ours, theirs) = both.fold((0.0, 0.0), |sums, times| (sums.0 + times.0, sums.1 + times.1));
            print!("  {} / ours {:.2}", peer.name, theirs / ours);
        }
        for index in 0..=peers.len() {
            let scores: Vec<Score> = rows.iter().filter_map(|row| row.scores.get(index).copied()).collect();
            let mean = |of: fn(&Score) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
            print!("  {:.2} dB {:.4}", mean(|score| score.psnr), mean(|score| score.ssim));
        }
        println!();
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
