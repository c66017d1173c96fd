//! Passwords. Guessable ones are refused, as estimated by Wheeler's zxcvbn (USENIX Security 2016). They are hashed with argon2id
//! and the first parameters that OWASP recommends (m = 19 MiB, t = 2, p = 1;
//! <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>), a few concurrently, on low-priority
//! threads.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization;

use super::secrets::API_KEY_PREFIX;
use crate::service::admission::threads;
use crate::service::admission::threads::Priority;
use crate::service::error::Error;

/// A valid new password: 12 to 128 characters, in Unicode normalization form C. `Debug` does not show it.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub const MIN_CHARS: usize = 12;
    pub const MAX_CHARS: usize = 128;

    pub const MIN_SHARE_CHARS: usize = 6;

    /// # Errors
    /// The rule that `text` breaks, worded for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Self(text) = Self::of_length(text, Self::MIN_CHARS)?;
        if text.starts_with(API_KEY_PREFIX) {
            return Err(format!("must not start with {API_KEY_PREFIX}, the prefix of API keys"));
        }
        if zxcvbn::zxcvbn(&text, &[]).score() < MIN_SCORE {
            return Err("is too easy to guess; use several unrelated words".to_owned());
        }
        Ok(Self(text))
    }

    /// Parses the password of a share. It can be short: people tell it to each other, and few attempts to guess it are allowed.
    ///
    /// # Errors
    /// The rule that `text` breaks, worded for the client.
    pub fn parse_for_share(text: &str) -> Result<Self, String> {
        Self::of_length(text, Self::MIN_SHARE_CHARS)
    }

    fn of_length(text: &str, min_chars: usize) -> Result<Self, String> {
        let text = normalize(text);
        if !(min_chars..=Self::MAX_CHARS).contains(&text.chars().count()) {
            return Err(format!("must be {min_chars} to {} characters long", Self::MAX_CHARS));
        }
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        Ok(Self(text))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

/// Refuses passwords that need fewer than a million guesses: names, dates, keyboard rows, repetitions, and common ones.
const MIN_SCORE: zxcvbn::Score = zxcvbn::Score::Two;

/// The same text can be entered as different code points.
fn normalize(text: &str) -> String {
    text.nfc().collect()
}

/// Hashes passwords, with limited concurrency.
#[derive(Debug)]
pub(in crate::service) struct Passwords {
    slots: Arc<Semaphore>,
    wait: Duration,
}

/// At most 4 × 19 MiB, on at most half of the processors, so that password guessing leaves the others to other requests.
const MAX_SLOTS: usize = 4;

/// The hash that is checked for unknown accounts, so that they take the same time.
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$aW1hZ2Utc2VydmljZS4wMA$Zm9yIHRob3NlIHdobyBhcmUgbm90IHRoZXJlIGF0IGE";

/// For commands, which hash one password.
impl Default for Passwords {
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

impl Passwords {
    pub fn new(wait: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { slots: Arc::new(Semaphore::new((cores / 2).clamp(1, MAX_SLOTS))), wait }
    }

    /// Waits for a slot to hash.
    pub async fn slot(&self) -> Result<HashSlot, Error> {
        let overloaded = |_| Error::Overloaded { retry_after: self.wait.max(Duration::from_secs(1)) };
        let slot = tokio::time::timeout(self.wait, Arc::clone(&self.slots).acquire_owned()).await;
        Ok(HashSlot { _permit: slot.map_err(overloaded)?.map_err(Error::internal)? })
    }

    /// Returns the hash as a PHC string.
    pub async fn hash(&self, password: &Password) -> Result<String, Error> {
        let password = password.clone();
        self.slot()
            .await?
            .run(move || {
                let hash = Argon2::default().hash_password(password.0.as_bytes());
                hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
            })
            .await
    }
}

/// One of the few concurrent hash operations.
pub(in crate::service) struct HashSlot {
    _permit: OwnedSemaphorePermit,
}

impl HashSlot {
    /// Returns whether the password matches the hash. Without a hash it does not, after the same time.
    pub async fn verify(self, password: &str, hash: Option<String>) -> Result<bool, Error> {
        let password = normalize(password);
        self.run(move || {
            let kept = hash.as_deref().unwrap_or(DUMMY_HASH);
            let kept = PasswordHash::new(kept).map_err(|error| Error::internal(error.to_string()))?;
            let fits = Argon2::default().verify_password(password.as_bytes(), &kept).is_ok();
            Ok(fits && hash.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
        let work = move || {
            let done = work();
            // Released after the work only: it continues even if the request was dropped.
            drop(self);
            done
        };
        threads::run(Priority::Low, work).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_in_any_normalization_form() {
        let passwords = Passwords::new(Duration::from_secs(60));
        let hash = passwords.hash(&Password::parse("Stra\u{df}enbahn f\u{fc}r 5").unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        for (text, fits) in
            [("Stra\u{df}enbahn f\u{fc}r 5", true), ("Stra\u{df}enbahn fu\u{308}r 5", true), ("Strassenbahn fuer 5", false)]
        {
            assert_eq!(passwords.slot().await.unwrap().verify(text, Some(hash.clone())).await.unwrap(), fits, "{text}");
        }
        assert!(!passwords.slot().await.unwrap().verify("anything", None).await.unwrap());
        assert!(passwords.slot().await.unwrap().verify("anything", Some("not a hash".to_owned())).await.is_err());
        let dummy = PasswordHash::new(DUMMY_HASH).unwrap();
        assert_eq!(dummy.hash.map(|hash| hash.as_ref().len()), Some(32), "it takes the same time");
    }

    #[tokio::test]
    async fn an_abandoned_hash_keeps_its_slot_until_it_completes() {
        let passwords = Passwords::new(Duration::from_secs(60));
        let free = passwords.slots.available_permits();
        let slot = passwords.slot().await.unwrap();
        let mut verifying = Box::pin(slot.verify("anything", None));
        assert!(futures::poll!(verifying.as_mut()).is_pending());
        drop(verifying);
        assert_eq!(passwords.slots.available_permits(), free - 1);
        while passwords.slots.available_permits() < free {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn a_password_has_12_to_128_characters() {
        for good in ["q7#Zm2!xW9rT", "correct horse battery", &"öäü ßéà çñ ø æ å ".repeat(8)[..128]] {
            assert!(Password::parse(good).is_ok(), "{good}");
        }
        for bad in ["q7#Zm2!xW9r", &"q7#Zm2!xW9rT".repeat(11), "tab\there we go", "isk_q7#Zm2!xW9r"] {
            assert!(Password::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_that_is_easy_to_guess_is_refused() {
        for bad in [
            "123456789012",
            "aaaaaaaaaaaa",
            "passwordpassword",
            "qwertyuiopas",
            "            ",
            "Password1234",
            "abcabcabcabcabc",
        ] {
            let rule = Password::parse(bad).err();
            assert_eq!(rule.as_deref(), Some("is too easy to guess; use several unrelated words"), "{bad:?}");
        }
    }
}
