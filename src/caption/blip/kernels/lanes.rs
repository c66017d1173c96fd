//! Reductions in independent lanes, so that steps do not depend on each other and fill whole vectors.

const LANES: usize = 32;

/// Returns the sum of `function` over the values.
#[inline(always)]
pub(super) fn sum(values: &[f32], function: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += function(*value);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|value| function(*value)).sum::<f32>()
}

#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, value| largest.max(*value))
}
