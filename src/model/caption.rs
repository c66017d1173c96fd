//! Captions: what a model says is to be seen in a picture.

/// What there is of an image's caption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caption {
    pub status: CaptionStatus,
    /// The newest that was made; it stays while another is made, and when that fails.
    pub text: Option<String>,
    /// Which model made `text`.
    pub model: Option<String>,
    /// Why none could be made the last time, where the status is [`CaptionStatus::Failed`].
    pub error: Option<String>,
}

/// Whether there is a caption, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptionStatus {
    /// Nobody has asked for one: no captions were made when the image was uploaded.
    #[default]
    Off,
    /// It is to be made.
    Pending,
    Ready,
    Failed,
}

impl CaptionStatus {
    pub const ALL: [Self; 4] = [Self::Off, Self::Pending, Self::Ready, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Characters that a caption has at most.
pub const MAX_CHARS: usize = 1000;

/// What a model said as one line: white space is a single blank, control characters are dropped, and what is longer than
/// [`MAX_CHARS`] is cut. `None` if nothing is left.
pub fn clean(said: &str) -> Option<String> {
    let words: Vec<String> = said
        .split_whitespace()
        .map(|word| word.chars().filter(|character| !character.is_control()).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    let text: String = words.join(" ").chars().take(MAX_CHARS).collect();
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_is_one_bounded_line() {
        assert_eq!(clean(" a red\n\tcircle \u{0}\u{7}on  blue \n").as_deref(), Some("a red circle on blue"));
        assert_eq!(clean(" \n\u{0}\t"), None);
        assert_eq!(clean(&"é".repeat(2000)).map(|text| text.chars().count()), Some(MAX_CHARS));
        assert_eq!(clean(&format!("{} b", "a".repeat(999))).as_deref(), Some("a".repeat(999).as_str()));
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in CaptionStatus::ALL {
            assert_eq!(CaptionStatus::parse(status.name()), Some(status));
        }
        assert_eq!(CaptionStatus::parse("done"), None);
    }
}
