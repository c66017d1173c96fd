//! Image ids: UUIDv7 (RFC 9562, 5.7), whose first 48 bits are the creation time in milliseconds.
//!
//! Order by id is order by time, so one column serves sorting, paging and date ranges. Two ids of the same millisecond are
//! ordered by their random bits: the order is total and stable, but not the order of arrival.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::clock::Clock;

/// The id of an image, which contains the time at which its upload was accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(Uuid);

impl ImageId {
    /// Creates an id for an image created now.
    pub fn new(clock: &dyn Clock) -> Self {
        Self(new_uuid(clock))
    }

    /// Parses the hyphenated form, in either case; returns `None` for every other form (`{…}`, `urn:uuid:…`, 32 digits).
    pub fn parse(text: &str) -> Option<Self> {
        parse_uuid(text).map(Self)
    }

    /// Returns the smallest id that can have been created at or after `time`.
    pub fn first_at(time: DateTime<Utc>) -> Self {
        let exact = time.timestamp_subsec_nanos().is_multiple_of(1_000_000);
        let millis = unix_millis(time) + u64::from(!exact);
        Self::from_parts(millis, [0; 10])
    }

    /// Returns the largest id that can have been created at or before `time`.
    pub fn last_at(time: DateTime<Utc>) -> Self {
        Self::from_parts(unix_millis(time), [0xff; 10])
    }

    /// Returns the creation time, to the millisecond. For an id that is not a version 7 the result is arbitrary.
    pub fn created_at(self) -> DateTime<Utc> {
        uuid_time(self.0)
    }

    /// Returns the last byte, which is random and spreads object keys and counter slots evenly.
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

/// Ids of other entities: UUIDv7s too, each with a type of its own.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Uuid);

            impl $name {
                /// Creates an id for an entity created now.
                pub fn new(clock: &dyn Clock) -> Self {
                    Self(new_uuid(clock))
                }

                /// Parses the hyphenated form, in either case.
                pub fn parse(text: &str) -> Option<Self> {
                    parse_uuid(text).map(Self)
                }

                /// Returns the creation time, to the millisecond.
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
    /// An import job; contains the time at which it was created.
    JobId;
    /// An upload in several requests; contains the time at which it was created.
    UploadId;
    /// A collection.
    CollectionId;
    /// An account.
    AccountId;
    /// A session, from login to log-out or expiry.
    SessionId;
    /// An API key. The id is not secret.
    KeyId;
    /// An expiring link. The id does not grant access.
    LinkId;
    /// A share. The id does not grant access.
    ShareId;
    /// An entry of the audit trail.
    EntryId;
    /// One claim of a caption job.
    CaptionClaimId;
}

/// Creates a UUIDv7 for the current time.
fn new_uuid(clock: &dyn Clock) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_millis(clock.now()), &clock.random()).into_uuid()
}

/// Parses only the hyphenated form.
fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok())?
}

/// Returns the creation time of a UUIDv7, to the millisecond.
fn uuid_time(uuid: Uuid) -> DateTime<Utc> {
    let millis = i64::try_from(uuid.as_u128() >> 80).unwrap_or_default();
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

fn unix_millis(time: DateTime<Utc>) -> u64 {
    // Times before 1970 have no UUIDv7: they sort before every image.
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
    fn an_id_contains_its_creation_time() {
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
