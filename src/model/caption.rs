//! Captions: descriptions of images by a model.

/// The caption of an image and its status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caption {
    pub status: CaptionStatus,
    /// The newest caption. It remains while another one is being created, and if that fails.
    pub text: Option<String>,
    /// The model that created `text`.
    pub model: Option<String>,
    /// Why the last attempt failed, if the status is [`CaptionStatus::Failed`].
    pub error: Option<String>,
}

/// Whether an image has a caption, or why it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptionStatus {
    /// No caption was requested: captions were disabled when the image was uploaded.
    #[default]
    Off,
    /// Waiting to be created.
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

/// Maximum number of characters in a caption.
pub const MAX_CHARS: usize = 1000;

/// Turns a model's output into one line: collapses white space, drops control characters, and truncates to [`MAX_CHARS`]. Returns
/// `None` if nothing remains.
pub fn clean(output: &str) -> Option<String> {
    let words: Vec<String> = output
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
