//! Image ids: UUIDv7 (RFC 9562, 5.7), whose first 48 bits are the moment of creation in milliseconds.
//!
//! Order by id is order by time, so one column carries order, paging and date ranges. Two ids of the same
//! millisecond are ordered by their random bits: an order that is total and stable, but not the order of arrival.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::clock::Clock;

/// The identity of an image, and the moment at which its upload was accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(Uuid);

impl ImageId {
    /// A new id for an image that is created now.
    pub fn new(clock: &dyn Clock) -> Self {
        Self(new_uuid(clock))
    }

    /// Reads the hyphenated form, in either case; `None` for every other spelling (`{…}`, `urn:uuid:…`, 32 digits).
    pub fn parse(text: &str) -> Option<Self> {
        parse_uuid(text).map(Self)
    }

    /// The smallest id that can have been created at or after `time`.
    pub fn first_at(time: DateTime<Utc>) -> Self {
        let exact = time.timestamp_subsec_nanos().is_multiple_of(1_000_000);
        let millis = unix_millis(time) + u64::from(!exact);
        Self::from_parts(millis, [0; 10])
    }

    /// The largest id that can have been created at or before `time`.
    pub fn last_at(time: DateTime<Utc>) -> Self {
        Self::from_parts(unix_millis(time), [0xff; 10])
    }

    /// The moment of creation, to the millisecond. An id that is not a version 7 gives an arbitrary time.
    pub fn created_at(self) -> DateTime<Utc> {
        uuid_time(self.0)
    }

    /// The last byte, which is random: it spreads object keys and counter slots evenly.
    pub fn spread(self) -> u8 {
        self.0.as_bytes()[15]
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }

    fn from_parts(millis: u64, rest: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.min((1 << 48) - 1).to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&rest);
        Self(Uuid::from_bytes(bytes))
    }
}

/// Identities of other things than images: UUIDv7s, too, each a type of its own.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Uuid);

            impl $name {
                /// A new id for what comes to be now.
                pub fn new(clock: &dyn Clock) -> Self {
                    Self(new_uuid(clock))
                }

                /// Reads the hyphenated form, in either case.
                pub fn parse(text: &str) -> Option<Self> {
                    parse_uuid(text).map(Self)
                }

                /// To the millisecond.
                pub fn created_at(self) -> DateTime<Utc> {
                    uuid_time(self.0)
                }

                pub fn uuid(self) -> Uuid {
                    self.0
                }
            }

            impl From<Uuid> for $name {
                fn from(uuid: Uuid) -> Self {
                    Self(uuid)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.hyphenated().fmt(f)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }
        )*
    };
}
ids! {
    /// A job that imports pictures, and the moment at which it was ordered.
    JobId;
    /// A collection.
    CollectionId;
    /// An account.
    AccountId;
    /// A login that lasts.
    SessionId;
    /// An API key; its id is no secret.
    KeyId;
    /// A link that expires; its id is not what opens it.
    LinkId;
    /// An entry of the audit trail.
    EntryId;
    /// One taking of a job that captions an image.
    CaptionClaimId;
}

/// A UUIDv7 of now.
fn new_uuid(clock: &dyn Clock) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_millis(clock.now()), &clock.random()).into_uuid()
}

/// Reads the hyphenated form alone.
fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok())?
}

/// The moment of creation of a UUIDv7, to the millisecond.
fn uuid_time(uuid: Uuid) -> DateTime<Utc> {
    let millis = i64::try_from(uuid.as_u128() >> 80).unwrap_or_default();
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

fn unix_millis(time: DateTime<Utc>) -> u64 {
    // Times before 1970 have no UUIDv7: they are all "before every image".
    u64::try_from(time.timestamp_millis()).unwrap_or_default()
}

impl From<Uuid> for ImageId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::SystemClock;

    #[test]
    fn an_id_tells_its_own_millisecond() {
        let before = SystemClock.now().timestamp_millis();
        let id = ImageId::new(&SystemClock);
        assert!((before..=SystemClock.now().timestamp_millis()).contains(&id.created_at().timestamp_millis()));
        assert_eq!(id.uuid().get_version_num(), 7);
    }

    #[test]
    fn bounds_are_inclusive_to_the_millisecond() {
        let id = ImageId::new(&SystemClock);
        let time = id.created_at();
        assert!(ImageId::first_at(time) <= id && id <= ImageId::last_at(time));
        let nanosecond = chrono::TimeDelta::nanoseconds(1);
        assert!(ImageId::first_at(time + nanosecond) > id);
        assert!(ImageId::last_at(time - nanosecond) < id);
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id = ImageId::new(&SystemClock);
        assert_eq!(ImageId::parse(&id.to_string()), Some(id));
        assert_eq!(ImageId::parse(&id.to_string().to_uppercase()), Some(id));
        for other in ["", "x", &id.uuid().simple().to_string(), &id.uuid().braced().to_string(), &id.uuid().urn().to_string()] {
            assert_eq!(ImageId::parse(other), None, "{other}");
        }
    }
}
