//! Settings of the web pages.

use clap::Args;

/// The web pages.
#[derive(Debug, Clone, Args)]
pub struct PageConfig {
    /// Whether to serve web pages for people: the gallery at `/app/`, and the pages of shares and public collections. If `false`,
    /// `/` leads browsers to the documentation of the API.
    #[arg(long, help_heading = "Web pages", env = "PAGES", default_value_t = true, action = clap::ArgAction::Set)]
    pub pages: bool,

    /// Whether the pages of shares and public collections ask search engines not to list them.
    #[arg(long, help_heading = "Web pages", env = "NOINDEX", default_value_t = true, action = clap::ArgAction::Set)]
    pub noindex: bool,
}
