//! Settings with a format of their own: seconds, bytes and heights.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

/// Whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Seconds {
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "must be a whole number of seconds".to_owned())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes: a plain number, or with the unit KiB, MiB or GiB, or the decimal unit KB, MB or GB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

const BYTE_UNITS: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
const DECIMAL_UNITS: [(&str, u64); 3] = [("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut units = BYTE_UNITS.map(|(name, shift)| (name, 1 << shift)).into_iter().chain(DECIMAL_UNITS);
        let unit = units.find_map(|(name, size)| Some((text.strip_suffix(name)?, size)));
        let (number, size) = unit.unwrap_or((text, 1));
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(size));
        bytes.map(Self).ok_or_else(|| "must be a number of bytes, such as 268435456 or 256MiB".to_owned())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = BYTE_UNITS.into_iter().rev().find(|(_, shift)| self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift));
        match unit {
            Some((name, shift)) => write!(f, "{}{name}", self.0 >> shift),
            None => self.0.fmt(f),
        }
    }
}

/// Parses an address to listen on. `localhost` means the IPv4 loopback address, whatever the hosts file says.
///
/// # Errors
/// The rule that `text` breaks.
pub fn read_host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    plain.parse().map_err(|_| "must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::, or localhost".to_owned())
}

/// Parses one of several ports, which may have spaces around it.
///
/// # Errors
/// The rule that `text` breaks.
pub fn read_port(text: &str) -> Result<u16, String> {
    text.trim().parse().map_err(|_| "each port must be from 1 to 65535".to_owned())
}

/// Heights in pixels, separated by commas; or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heights(pub Vec<u32>);

impl FromStr for Heights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        let heights = text.split(',').map(|height| height.trim().parse().ok()).collect::<Option<Vec<_>>>();
        heights.map(Self).ok_or_else(|| "must be heights in pixels, such as 200,400, or none".to_owned())
    }
}

impl fmt::Display for Heights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.iter().map(u32::to_string).collect::<Vec<_>>().join(",").as_str() {
            "" => f.write_str("none"),
            heights => f.write_str(heights),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for (text, address) in
            [("localhost", "127.0.0.1"), ("LocalHost", "127.0.0.1"), ("::1", "::1"), ("[::]", "::"), ("0.0.0.0", "0.0.0.0")]
        {
            assert_eq!(read_host(text), Ok(address.parse().unwrap()), "{text}");
        }
        for bad in ["", "example.org", "127.0.0.1:8000", "[::1"] {
            assert!(read_host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_parsed_as_they_are_displayed() {
        for text in ["1000", "64KiB", "256MiB", "2GiB"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        for text in ["200,400", "16", "none"] {
            assert_eq!(text.parse::<Heights>().unwrap().to_string(), text);
        }
        assert!("".parse::<Heights>().is_err() && "200;400".parse::<Heights>().is_err());
        assert_eq!("200 MB".parse(), Ok(Bytes(200_000_000)));
        assert!("1.5GiB".parse::<Bytes>().is_err() && "99999999999GiB".parse::<Bytes>().is_err());
    }
}
