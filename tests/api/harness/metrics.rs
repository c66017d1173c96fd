//! Values in the output of `GET /metrics`.

use super::Answer;

/// The value of a sample, given by its name and labels as written in the output.
pub fn sample_value(metrics: &Answer, sample: &str) -> f64 {
    let found = metrics.text().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {sample} in\n{}", metrics.text()))
}
