//! Presigned URLs in image objects. They stay the same for a while, so that browsers and CDNs can cache the files.

use std::time::Duration;

use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::model::image::{Image, ThumbnailSize};
use crate::objects::layout;
use crate::objects::presign::{PresignedGet, Signer};
use crate::service::Service;
use crate::service::error::Error;

/// RFC 8187's attr-char: the characters that an extended parameter value may contain unescaped.
const EXTENDED_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Presigned URLs of an image, for the files that its owner's plan includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    pub original: Option<String>,
    /// The thumbnails that every image has.
    pub thumbnails: Vec<(ThumbnailSize, String)>,
}

impl Links {
    pub fn thumbnail(&self, size: ThumbnailSize) -> Option<&str> {
        self.thumbnails.iter().find(|(known, _)| *known == size).map(|(_, url)| url.as_str())
    }
}

/// Creates the links of images. They are all valid for the same time.
pub struct LinkSigner<'a> {
    signer: Signer<'a>,
    validity: LinkValidity,
}

/// What links depend on besides the image. Links of equal images with equal validity are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkValidity {
    signed_at: DateTime<Utc>,
    /// In seconds.
    expires_in: u32,
    credentials: Credentials,
}

impl LinkSigner<'_> {
    pub fn validity(&self) -> &LinkValidity {
        &self.validity
    }

    /// Returns the links of an image.
    pub fn links(&mut self, image: &Image) -> Links {
        links(&mut self.signer, image, self.validity.signed_at, self.validity.expires_in)
    }
}

/// How a browser handles the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    Inline,
    Attachment,
}

impl Service {
    /// Returns the signer. Call it before changing anything: a completed change must not be reported as a failure.
    ///
    /// # Errors
    /// There are no credentials to sign with.
    pub(in crate::service) async fn signer(&self) -> Result<Signer<'_>, Error> {
        Ok(self.objects.signer().await?)
    }

    /// Returns a signer for the links of several images. Call it after reading the images: they get the links of this moment.
    ///
    /// # Errors
    /// There are no credentials to sign with.
    pub async fn link_signer(&self) -> Result<LinkSigner<'_>, Error> {
        let signer = self.signer().await?;
        let (signed_at, expires_in) = self.link_times();
        let credentials = signer.credentials().clone();
        Ok(LinkSigner { signer, validity: LinkValidity { signed_at, expires_in, credentials } })
    }

    /// Returns the links of an image.
    pub(in crate::service) fn links(&self, signer: &mut Signer<'_>, image: &Image) -> Links {
        let (signed_at, expires_in) = self.link_times();
        links(signer, image, signed_at, expires_in)
    }

    /// Returns when links that are created now are signed, and for how many seconds from then they are valid.
    fn link_times(&self) -> (DateTime<Utc>, u32) {
        let window = self.limits.url_window;
        // A link taken at the end of the window must still live for the promised time.
        (round_down(self.clock.now(), window), seconds(self.limits.url_lifetime + window))
    }

    /// Returns a link to the original that is valid for exactly `expires_in_seconds` from now.
    pub(in crate::service) async fn download_link(
        &self,
        image: &Image,
        expires_in_seconds: u32,
        how: Disposition,
    ) -> Result<String, Error> {
        let mut signer = self.signer().await?;
        Ok(original_link(&mut signer, image, self.clock.now(), expires_in_seconds, how))
    }
}

fn links(signer: &mut Signer<'_>, image: &Image, signed_at: DateTime<Utc>, expires_in: u32) -> Links {
    let original =
        image.plan_includes_original().then(|| original_link(signer, image, signed_at, expires_in, Disposition::Inline));
    let mut thumbnail_link = |size: ThumbnailSize| {
        let key = layout::stored_key(image, &size.name());
        signer.get_url(&PresignedGet { key: &key, signed_at, expires_in, content_type: None, content_disposition: None })
    };
    // Signing dominates the cost of a list, so only the links that an image object shows are signed.
    let shown = image.thumbnails.iter().map(|thumbnail| thumbnail.size);
    let shown = shown.filter(|size| ThumbnailSize::STANDARD.contains(size) && image.plan_includes_thumbnail(*size));
    let thumbnails = shown.map(|size| (size, thumbnail_link(size))).collect();
    Links { original, thumbnails }
}

fn original_link(signer: &mut Signer<'_>, image: &Image, signed_at: DateTime<Utc>, expires_in: u32, how: Disposition) -> String {
    signer.get_url(&PresignedGet {
        key: &layout::stored_key(image, layout::ORIGINAL),
        signed_at,
        expires_in,
        content_type: Some(image.format.content_type()),
        content_disposition: Some(&content_disposition(image, how)),
    })
}

/// Returns a `Content-Disposition` value (RFC 6266, 4.3) with the file name twice: in ASCII for clients without `filename*`, and
/// in the encoding of RFC 8187, which supports every character.
pub fn content_disposition(image: &Image, how: Disposition) -> String {
    let kind = match how {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let name = image.file_name.for_download(image.format);
    format!("{kind}; filename=\"{}\"; filename*=UTF-8''{}", ascii_name(&name), utf8_percent_encode(&name, EXTENDED_VALUE))
}

/// Returns the name without accents. Underscores replace other non-ASCII characters, characters that parsers interpret
/// differently (quotes, backslashes and percent signs; RFC 6266, appendix D), and path separators and the like, to which
/// full-width letters decompose.
fn ascii_name(name: &str) -> String {
    let plain = |c: char| if (' '..='~').contains(&c) && !"\"\\%/:*?<>|".contains(c) { c } else { '_' };
    if name.is_ascii() {
        return name.chars().map(plain).collect();
    }
    let name = if name.starts_with('.') { name.to_owned() } else { name.replace(['．', '․', '…', '‥'], "_") };
    name.nfkd().filter(|c| !is_combining_mark(*c)).map(plain).collect()
}

fn round_down(time: DateTime<Utc>, window: Duration) -> DateTime<Utc> {
    let window = i64::from(seconds(window).max(1));
    let start = time.timestamp() - time.timestamp().rem_euclid(window);
    DateTime::from_timestamp(start, 0).unwrap_or(time)
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_name_is_plain_ascii() {
        for (name, plain) in [
            ("holiday.png", "holiday.png"),
            ("été à Zürich.jpg", "ete a Zurich.jpg"),
            ("日本🌅.jpg", "___.jpg"),
            (r#"a"b\c%41;d.jpg"#, "a_b_c_41;d.jpg"),
            ("Straße ﬁ.jpg", "Stra_e fi.jpg"),
            ("．．／x：y.jpg", "___x_y.jpg"),
            (".a／b", ".a_b"),
        ] {
            assert_eq!(ascii_name(name), plain);
        }
    }

    #[test]
    fn a_window_begins_at_a_multiple_of_its_length() {
        let time = DateTime::from_timestamp(1_000_799, 999).unwrap();
        assert_eq!(round_down(time, Duration::from_secs(900)).timestamp(), 999_900);
        assert_eq!(round_down(time, Duration::from_secs(0)).timestamp(), 1_000_799);
    }
}
