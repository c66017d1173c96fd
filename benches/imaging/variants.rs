//! Resized images: from a stored thumbnail that is large enough, and from the original. The latter is compared with libjpeg,
//! which only decodes at the same scale.

use std::path::PathBuf;

use image_service::imaging::{self, Limits};
use image_service::model::image::Format;
use image_service::model::rendering::{Fit, Rendering};
use mozjpeg::Decompress;

use crate::report::median;
use crate::{Result, cpu, process};

/// The thumbnail of height 400 is large enough for the first width. No thumbnail is large enough for the second.
const WIDTHS: (u32, u32) = (200, 800);

pub fn compare(paths: &[PathBuf]) -> Result<()> {
    let limits = Limits::default();
    for path in paths {
        let bytes = std::fs::read(path)?;
        let header = imaging::inspect(&bytes, &limits)?;
        let size = (header.width, header.height);
        if header.format != Format::Jpeg || size.0 * size.1 < 11_000_000 {
            continue;
        }
        let thumbnails = process(&bytes).ok_or("rejected")?;
        let largest = thumbnails.iter().max_by_key(|thumbnail| thumbnail.info.height).ok_or("no thumbnail")?;
        let rendering = |width| Rendering::new(size, (Some(width), None), Fit::Contain, Format::Jpeg, 80).ok_or("no size");
        let (small, large) = (rendering(WIDTHS.0)?, rendering(WIDTHS.1)?);
        let eighths = [1, 2, 4].into_iter().find(|eighths| size.0.max(size.1) * eighths / 8 >= large.width.max(large.height));
        let (mut from_thumbnail, mut from_original, mut libjpeg) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..9 {
            from_thumbnail.push(timed(|| render(&largest.bytes, &small))?);
            from_original.push(timed(|| render(&bytes, &large))?);
            libjpeg.push(timed(|| decode(&bytes, eighths.unwrap_or(8) as u8))?);
        }
        let [from_thumbnail, from_original, libjpeg] =
            [from_thumbnail, from_original, libjpeg].map(|mut times| median(&mut times));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!(
            "{name:36} {} px from a thumbnail {from_thumbnail:5.1} ms; {} px from the original {from_original:5.1} ms, {:.2} of libjpeg's {libjpeg:5.1} ms",
            small.width,
            large.width,
            from_original / libjpeg
        );
    }
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = cpu();
    work()?;
    Ok((cpu() - before).as_secs_f64() * 1e3)
}

fn render(bytes: &[u8], rendering: &Rendering) -> Result<()> {
    let limits = Limits::default();
    let header = imaging::inspect_stored(bytes, &limits, rendering)?;
    imaging::render(bytes, &header, &limits, rendering)?;
    Ok(())
}

fn decode(bytes: &[u8], eighths: u8) -> Result<()> {
    let mut decoder = Decompress::new_mem(bytes)?;
    decoder.scale(eighths);
    decoder.rgb()?.read_scanlines::<[u8; 3]>()?;
    Ok(())
}
