//! Content negotiation for images: the `Accept` header (RFC 9110, 12.5.1).

use super::image::Format;

/// The media ranges that a client accepts, each with its weight in thousandths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accept(Vec<(String, u16)>);

/// Maximum number of ranges that are read; no browser sends as many.
const MAX_RANGES: usize = 32;

impl Accept {
    /// Parses a header. Invalid ranges are skipped: a malformed header is no reason to refuse an image.
    pub fn parse(text: &str) -> Self {
        let ranges = text.split(',').take(MAX_RANGES).filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().filter(|name| name.contains('/'))?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(Some(1.0), |text| text.parse::<f32>().ok())?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 to 1000")]
            Some((name, (weight.clamp(0.0, 1.0) * 1000.0) as u16))
        });
        Self(ranges.collect())
    }

    /// Returns the format to send, by the client's weights: WebP if the client names it, otherwise JPEG, or PNG for an image with
    /// transparency. A client that accepts none of them gets what it would get without the header.
    pub fn choose(&self, transparent: bool) -> Format {
        let plain = if transparent { Format::Png } else { Format::Jpeg };
        let named = self.0.iter().any(|(name, _)| name == Format::Webp.content_type());
        let webp = if named { self.weight(Format::Webp) } else { 0 };
        if webp > 0 && webp >= self.weight(plain) {
            return Format::Webp;
        }
        // The other format is only for clients that accept neither.
        let other = if transparent { Format::Jpeg } else { Format::Png };
        if self.weight(plain) == 0 && self.weight(other) > 0 { other } else { plain }
    }

    /// Returns the weight of the most specific range.
    fn weight(&self, format: Format) -> u16 {
        if self.0.is_empty() {
            return 1000;
        }
        let of = |wanted: &str| self.0.iter().find(|(name, _)| name == wanted).map(|(_, weight)| *weight);
        of(format.content_type()).or_else(|| of("image/*")).or_else(|| of("*/*")).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webp_is_sent_only_to_clients_that_name_it_and_weights_are_respected() {
        for (header, opaque, transparent) in [
            ("", Format::Jpeg, Format::Png),
            ("*/*", Format::Jpeg, Format::Png),
            ("image/*", Format::Jpeg, Format::Png),
            ("image/webp", Format::Webp, Format::Webp),
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", Format::Webp, Format::Webp),
            ("image/webp;q=0.5, image/jpeg", Format::Jpeg, Format::Webp),
            ("image/webp;q=0.5, */*;q=0.8", Format::Jpeg, Format::Png),
            ("image/webp;q=0, */*", Format::Jpeg, Format::Png),
            ("IMAGE/WEBP; Q=0.9,image/png;q=0.2", Format::Webp, Format::Webp),
            ("image/png", Format::Png, Format::Png),
            ("image/jpeg", Format::Jpeg, Format::Jpeg),
            ("image/jpeg;q=0, image/png", Format::Png, Format::Png),
            ("text/html", Format::Jpeg, Format::Png),
            ("image/gif", Format::Jpeg, Format::Png),
            ("image/webp;q=much, nonsense, ;;;", Format::Jpeg, Format::Png),
        ] {
            let accept = Accept::parse(header);
            assert_eq!((accept.choose(false), accept.choose(true)), (opaque, transparent), "{header}");
        }
    }
}
