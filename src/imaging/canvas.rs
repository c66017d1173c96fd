//! Draws the first frame of an animation on its transparent canvas.

use super::bitmap::{Bitmap, Reducer};

/// A rectangle within the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameRect {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl FrameRect {
    /// Returns the rectangle of the whole canvas.
    pub fn full((width, height): (u32, u32)) -> Self {
        FrameRect { left: 0, top: 0, width, height }
    }

    fn bottom(&self) -> u32 {
        self.top + self.height
    }
}

/// Takes the rows of the frame and passes rows of the canvas to a reducer.
pub(super) struct Canvas {
    reducer: Reducer,
    size: (u32, u32),
    frame: FrameRect,
    /// A row of the canvas as RGBA. Empty if the frame covers the whole canvas and needs no copy.
    row: Vec<u8>,
}

impl Canvas {
    /// Creates a canvas whose reduced longer side keeps `min_longer_side` pixels. `alpha` says whether the frame has alpha.
    pub fn new(size: (u32, u32), frame: FrameRect, alpha: bool, min_longer_side: u32) -> Self {
        let covered = frame == FrameRect::full(size);
        let mut canvas = Canvas {
            reducer: Reducer::new(size.0, size.1, alpha || !covered, min_longer_side),
            size,
            frame,
            row: if covered { Vec::new() } else { vec![0; size.0 as usize * 4] },
        };
        canvas.push_transparent_rows(frame.top);
        canvas
    }

    /// Takes the next row of the frame: grey, grey with alpha, RGB or RGBA, depending on `channels`.
    pub fn push(&mut self, row: &[u8], channels: usize) {
        if self.row.is_empty() {
            return self.reducer.push(row, channels);
        }
        let start = self.frame.left as usize * 4;
        let target = self.row[start..start + self.frame.width as usize * 4].chunks_exact_mut(4);
        for (to, from) in target.zip(row.chunks_exact(channels)) {
            let pixel = match *from {
                [grey] => [grey, grey, grey, 255],
                [grey, alpha] => [grey, grey, grey, alpha],
                [red, green, blue] => [red, green, blue, 255],
                [red, green, blue, alpha, ..] => [red, green, blue, alpha],
                [] => [0; 4],
            };
            to.copy_from_slice(&pixel);
        }
        self.reducer.push(&self.row, 4);
    }

    /// Returns the reduced image, after all rows of the frame were pushed.
    pub fn finish(mut self) -> Bitmap {
        self.row.fill(0);
        self.push_transparent_rows(self.size.1 - self.frame.bottom());
        self.reducer.finish()
    }

    fn push_transparent_rows(&mut self, rows: u32) {
        for _ in 0..rows {
            self.reducer.push(&self.row, 4);
        }
    }
}
