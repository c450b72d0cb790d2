//! From pixels to a PNG file that is small.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;

use crate::{Result, SCALE};

/// The mean of each square of pixels.
pub fn smaller(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let scale = SCALE as usize;
    let mut small = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0;
                for (down, right) in (0..scale * scale).map(|index| (index / scale, index % scale)) {
                    let at = (y * scale + down) * width * scale + x * scale + right;
                    sum += usize::from(pixels[at * 3 + channel]);
                }
                small.push((sum / (scale * scale)) as u8);
            }
        }
    }
    small
}

/// Writes a PNG file of at most 256 colours, which takes a third of one with all of them: the most frequent, and for a
/// pixel of another colour the nearest of these.
pub fn save(path: &str, width: usize, height: usize, pixels: &[u8]) -> Result<()> {
    let colour = |pixel: &[u8]| [pixel[0], pixel[1], pixel[2]].map(|channel| channel & 0xF8);
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    pixels.chunks_exact(3).for_each(|pixel| *counts.entry(colour(pixel)).or_default() += 1);
    let mut colours: Vec<([u8; 3], usize)> = counts.into_iter().collect();
    colours.sort_by_key(|(colour, count)| (usize::MAX - count, *colour));
    let palette: Vec<[u8; 3]> = colours.iter().take(256).map(|(colour, _)| *colour).collect();
    let distance = |one: &[u8; 3], other: &[u8; 3]| {
        one.iter().zip(other).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum::<i32>()
    };
    let nearest = |wanted: &[u8; 3]| {
        let nearest = palette.iter().enumerate().min_by_key(|(_, known)| distance(known, wanted));
        nearest.map_or(0, |(index, _)| index as u8)
    };
    let indices: HashMap<[u8; 3], u8> = colours.iter().map(|(colour, _)| (*colour, nearest(colour))).collect();
    let data: Vec<u8> = pixels.chunks_exact(3).map(|pixel| indices[&colour(pixel)]).collect();

    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    // The highest bits are white's again.
    encoder.set_palette(palette.iter().flatten().map(|channel| channel | channel >> 5).collect::<Vec<u8>>());
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&data)?;
    Ok(())
}
