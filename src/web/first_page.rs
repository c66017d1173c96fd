//! The first pictures of a list, as part of the page that shows it: its tiles, so that the scripts need not request them, and links
//! by which browsers request the pictures together with the scripts.

use serde::Serialize;

use super::tiles::{SizeView, TilePageView, TileView};
use crate::service::error::Error;

/// The number of tiles in a page. They fill the first screen.
pub const TILES: u32 = 24;

/// The number of pictures that are requested together with the scripts: those on the first screen of a phone. With half of them, the
/// largest one waits for the scripts, and is painted a second later on a slow connection.
const PRELOADED: usize = 12;

/// The first pictures of a list.
#[derive(Debug, Default)]
pub struct FirstPage {
    /// The tiles as JSON for a `script` element; empty if the page has none.
    pub json: String,
    pub preloaded: Vec<PreloadedPicture>,
}

/// A picture as the attributes of a `link` element describe it.
#[derive(Debug)]
pub struct PreloadedPicture {
    pub srcset: String,
    pub sizes: String,
}

/// What the scripts read.
#[derive(Serialize)]
struct FirstPageView<'a> {
    /// The path of the list, as the scripts would request it.
    source: &'a str,
    page: &'a TilePageView<'a, TileView<'a>>,
    /// The values of `sizes` of the preloaded pictures: with other values, browsers would choose other files.
    sizes: Vec<&'a str>,
}

impl FirstPage {
    /// `up` leads from the directory of the page's URL to the base URL of the service.
    pub fn new(source: &str, up: &str, page: &TilePageView<'_, TileView<'_>>) -> Result<Self, Error> {
        let preloaded: Vec<_> = page.tiles.iter().take(PRELOADED).map(|tile| PreloadedPicture::of(tile, up)).collect();
        let sizes = preloaded.iter().map(|picture| picture.sizes.as_str()).collect();
        let json = serde_json::to_string(&FirstPageView { source, page, sizes }).map_err(Error::internal)?;
        // `<` could end the element. It occurs only in strings.
        Ok(Self { json: json.replace('<', "\\u003c"), preloaded })
    }
}

impl PreloadedPicture {
    fn of(tile: &TileView<'_>, up: &str) -> Self {
        let candidate = |SizeView { width, url, .. }: &SizeView| format!("{up}{url} {width}w");
        let srcset = tile.sizes.iter().map(candidate).collect::<Vec<_>>().join(", ");
        // The height of a row in `gallery/layout.js`, and its limits for narrow and wide pictures.
        let ratio = (f64::from(tile.width) / f64::from(tile.height.max(1))).clamp(0.4, 4.0);
        Self { srcset, sizes: format!("calc({ratio:.3} * clamp(150px, 140px + 5vw, 320px))") }
    }
}
