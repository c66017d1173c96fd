//! Programs that fetch links for previews: no user views the response. They run no scripts.

use http::{HeaderMap, header};

/// Returns whether the request is from such a program: chats, mail programs and search engines check where a link leads.
pub fn is_from_previewer(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    PREVIEWERS.iter().any(|name| memchr::memmem::find(&agent, name.as_bytes()).is_some())
}

/// Parts of the user agents that fetch links for previews, in lower case.
const PREVIEWERS: [&str; 26] = [
    "applebot",
    "bingbot",
    "bingpreview",
    "bitlybot",
    "bluesky cardyb",
    "discordbot",
    "embedly",
    "facebookbot",
    "facebookexternalhit",
    "google-safety",
    "googlebot",
    "iframely",
    "linkedinbot",
    "mastodon/",
    "mattermost-bot",
    "meta-externalagent",
    "microsoftpreview",
    "pinterestbot",
    "redditbot",
    "skypeuripreview",
    "slack-imgproxy",
    "slackbot",
    "synapse",
    "telegrambot",
    "twitterbot",
    "whatsapp/",
];
