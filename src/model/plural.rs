//! Singular and plural in messages.

/// Returns a number with its noun, such as `1 second` or `2 seconds`. `noun` is a singular whose plural ends in -s.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let texts = [0, 1, 2].map(|number| counted(number, "unknown name"));
        assert_eq!(texts, ["0 unknown names", "1 unknown name", "2 unknown names"]);
    }
}
