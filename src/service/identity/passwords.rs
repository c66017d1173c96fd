//! Passwords: refused where they are easy to guess, by the estimate of Wheeler's zxcvbn (USENIX Security 2016), and hashed by
//! argon2id with the parameters that OWASP names first (m = 19 MiB, t = 2, p = 1;
//! <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>), a few at once, on threads of low priority.

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

/// A password as it may be chosen: 12 to 128 characters, in the normal form NFC. It shows itself to nobody.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub const MIN_CHARS: usize = 12;
    pub const MAX_CHARS: usize = 128;

    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = normalize(text);
        let characters = text.chars().count();
        if !(Self::MIN_CHARS..=Self::MAX_CHARS).contains(&characters) {
            return Err(format!("must have {} to {} characters", Self::MIN_CHARS, Self::MAX_CHARS));
        }
        if text.chars().any(char::is_control) {
            return Err("must not have control characters".to_owned());
        }
        if text.starts_with(API_KEY_PREFIX) {
            return Err(format!("must not begin with {API_KEY_PREFIX}, as API keys do"));
        }
        if zxcvbn::zxcvbn(&text, &[]).score() < MIN_SCORE {
            return Err("is too easy to guess; take several unrelated words".to_owned());
        }
        Ok(Self(text))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

/// Passwords that fall to fewer than a million guesses are refused: names, dates, keyboard rows, repetitions, and the common ones.
const MIN_SCORE: zxcvbn::Score = zxcvbn::Score::Two;

/// The same letters can be typed as different characters.
fn normalize(text: &str) -> String {
    text.nfc().collect()
}

/// Hashes passwords, so many at once.
#[derive(Debug)]
pub(in crate::service) struct Passwords {
    slots: Arc<Semaphore>,
    wait: Duration,
}

/// At most 4 × 19 MiB at once. And on half of the processors, so that whoever guesses leaves the others to everybody else.
const MAX_SLOTS: usize = 4;

/// The hash of no password: it takes the time that another one takes.
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$aW1hZ2Utc2VydmljZS4wMA$Zm9yIHRob3NlIHdobyBhcmUgbm90IHRoZXJlIGF0IGE";

/// For commands, which hash one.
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

    /// Waits for a turn to hash.
    pub async fn slot(&self) -> Result<HashSlot, Error> {
        let overloaded = |_| Error::Overloaded { retry_after: self.wait.max(Duration::from_secs(1)) };
        let slot = tokio::time::timeout(self.wait, Arc::clone(&self.slots).acquire_owned()).await;
        Ok(HashSlot { _permit: slot.map_err(overloaded)?.map_err(Error::internal)? })
    }

    /// A PHC string.
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

/// One of the few that hash at a time.
pub(in crate::service) struct HashSlot {
    _permit: OwnedSemaphorePermit,
}

impl HashSlot {
    /// Whether it is the password of this hash. Without a hash it is not, which takes as long to find.
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
            // Not before: whoever asked may have gone, and the work goes on.
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
    async fn a_password_is_known_in_any_spelling_and_no_other_is() {
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
        assert_eq!(dummy.hash.map(|hash| hash.as_ref().len()), Some(32), "it takes as long as another");
    }

    #[tokio::test]
    async fn a_hash_that_nobody_waits_for_any_more_keeps_its_turn_until_it_is_made() {
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
            assert_eq!(rule.as_deref(), Some("is too easy to guess; take several unrelated words"), "{bad:?}");
        }
    }
}
