//! Rules for resized images, and signed URLs for them.
//!
//! Without a signature the operator's mode applies ([`ResizeMode`]). With a signature exactly the signed variant is served, in
//! every mode. A signature covers all parameters of the variant, its expiry, and whether it grants access to a private image.
//! Only the owner can sign the latter, and only while the image is private. So a URL that was signed while an image was public
//! does not open it once it is private. URLs for the thumbnails of an image in the trash work only there.
//!
//! Pages show the originals of private animated images by URLs that are signed in the same way.
//!
//! All other checks apply to every request, signed or not: whether the image exists, and what its owner's plan includes.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::variant_request::{VariantRequest, default_format};
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::{Format, Image};
use crate::model::rendering::{Fit, Rendering};
use crate::model::resize::{self, Grant, ListedSize, ResizeMode, canonical_query, signed_text};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::store;

/// Settings of resized images.
#[derive(Debug, Clone, Default)]
pub struct ResizeLimits {
    pub mode: ResizeMode,
    /// The sizes of [`ResizeMode::Listed`].
    pub sizes: Vec<ListedSize>,
    /// Keys for signing URLs. The first signs, all verify. If empty, keys are derived from those of access tokens.
    pub signing_keys: Vec<String>,
    /// The most variants per image; the least recently used is evicted.
    pub max_variants: u32,
    /// The total size of an image's variants, as a multiple of the original's.
    pub max_bytes_factor: u32,
}

/// A query that carries a signature, not yet verified.
#[derive(Debug, Clone)]
pub struct SignedQuery {
    /// The given [`resize::SIGNED_PARAMETERS`], decoded, including duplicates.
    pub parameters: Vec<(String, String)>,
    pub signature: String,
}

/// The proof that a signature is valid and has not expired. Only the service creates it.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedSignature {
    grant: Grant,
    pub expires_at: DateTime<Utc>,
}

/// A size to sign a URL for.
#[derive(Debug, Clone, Default)]
pub struct SizeToSign {
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fit: Option<Fit>,
    pub format: Option<Format>,
    pub quality: Option<u8>,
}

/// A signed URL, without the address of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeUrl {
    pub query: String,
    /// The size of the resized image, in pixels.
    pub width: u32,
    pub height: u32,
}

/// Separates keys for URLs from keys for access tokens, from which they may be derived.
const DERIVATION_CONTEXT: &[u8] = b"image-service: URLs of resized images, v1";

type HmacSha256 = Hmac<Sha256>;

fn hmac(key: &[u8], text: &[u8]) -> Result<[u8; 32], Error> {
    Ok(HmacSha256::new_from_slice(key).map_err(Error::internal)?.chain_update(text).finalize().into_bytes().into())
}

/// Derives a key for URLs from a key for access tokens.
fn derive_url_key(token_key: &[u8]) -> Result<[u8; 32], Error> {
    hmac(token_key, DERIVATION_CONTEXT)
}

/// Returns the signature in base64url without padding.
fn sign(key: &[u8], grant: Grant, id: ImageId, query: &str) -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(hmac(key, signed_text(grant, id, query).as_bytes())?))
}

/// Returns the grant of a signature if this key made it. Compares in constant time.
fn verify(key: &[u8], id: ImageId, query: &str, signature: &str) -> Option<Grant> {
    let is_of = |grant: &Grant| {
        let expected = sign(key, *grant, id, query).unwrap_or_default();
        !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(signature.as_bytes()))
    };
    Grant::ALL.into_iter().find(is_of)
}

fn wrong_signature() -> Error {
    Error::forbidden("The signature does not match this URL.")
}

/// Signs the query of a URL of the original. The caller must own the image, which must be private.
pub(super) fn sign_original(key: &[u8], image: &Image, expires_at: DateTime<Utc>) -> Result<String, Error> {
    let query = canonical_query([("expires", expires_at.timestamp().to_string().as_str())]);
    let signature = sign(key, Grant::Original, image.id, &query)?;
    Ok(format!("{query}&signature={signature}"))
}

/// Returns the end of the window that contains `time`.
pub(super) fn round_up(time: DateTime<Utc>, window_seconds: u64) -> DateTime<Utc> {
    let window = i64::try_from(window_seconds).unwrap_or(i64::MAX).max(1);
    let seconds = time.timestamp() + i64::from(time.timestamp_subsec_nanos() > 0);
    let rounded = seconds.checked_add((-seconds).rem_euclid(window)).unwrap_or(seconds);
    DateTime::from_timestamp(rounded, 0).unwrap_or(time)
}

impl Service {
    /// Verifies a signature. Errors do not reveal problems of the parameters to clients that cannot sign.
    ///
    /// # Errors
    /// The signature does not match the parameters, the image and one of the keys, or it has expired.
    pub async fn check_signature(&self, id: ImageId, signed: &SignedQuery) -> Result<VerifiedSignature, Error> {
        let parameters = signed.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query = canonical_query(parameters);
        let find = |key: &[u8]| verify(key, id, &query, &signed.signature);
        let configured = &self.limits.resizing.signing_keys;
        let grant = if configured.is_empty() {
            self.find_in_signing_keys(|key| find(&derive_url_key(&key.secret).ok()?)).await?
        } else {
            configured.iter().find_map(|key| find(key.as_bytes()))
        };
        let grant = grant.ok_or_else(wrong_signature)?;
        // Every signed query has an expiry.
        let expires = signed.parameters.iter().find(|(name, _)| name == "expires").and_then(|(_, value)| value.parse().ok());
        let expires_at = expires.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).ok_or_else(wrong_signature)?;
        if expires_at <= self.clock.now() {
            return Err(Error::forbidden("This URL has expired. Request a new one with POST /images/{image_id}/urls."));
        }
        Ok(VerifiedSignature { grant, expires_at })
    }

    /// Signs URLs of an image, and returns them with their expiry. They stay the same for a while, so that they can be cached.
    /// For callers who are neither the owner nor an administrator, the restrictions of unsigned requests apply.
    ///
    /// # Errors
    /// There is no such image, its owner's plan excludes resized images, or the caller may not use these sizes.
    pub async fn create_resize_urls(
        &self,
        caller: &Caller,
        id: ImageId,
        sizes: &[SizeToSign],
        expires_in_seconds: Option<u32>,
    ) -> Result<(Vec<ResizeUrl>, DateTime<Utc>), Error> {
        let image = self.find_visible(caller, id).await?;
        permissions::require_custom_sizes(&image)?;
        let is_owner_or_admin = caller.user() == Some(&image.user_id) || permissions::as_admin(caller).is_some();
        if !is_owner_or_admin && self.limits.resizing.mode == ResizeMode::Signed {
            caller.user().ok_or(Error::Unauthenticated)?;
            return Err(Error::NotOwner { id });
        }
        let lifetime = expires_in_seconds.map_or_else(
            || TimeDelta::from_std(self.limits.url_lifetime).unwrap_or_default(),
            |seconds| TimeDelta::seconds(seconds.into()),
        );
        let expires_at = round_up(self.clock.now() + lifetime, self.limits.url_window.as_secs());
        let key = self.url_key().await?;
        let sign = |size: &SizeToSign| {
            let size = if is_owner_or_admin { size.clone() } else { size.clone().allowed_by(&self.limits.resizing)? };
            size.signed(&key, &image, expires_at)
        };
        Ok((sizes.iter().map(sign).collect::<Result<_, _>>()?, expires_at))
    }

    /// Returns the key that signs URLs.
    pub(in crate::service) async fn url_key(&self) -> Result<Vec<u8>, Error> {
        match self.limits.resizing.signing_keys.first() {
            Some(key) => Ok(key.as_bytes().to_vec()),
            None => Ok(derive_url_key(&self.signing_key().await?.secret)?.to_vec()),
        }
    }

    /// Applies the operator's mode to a request without a signature.
    pub(in crate::service) fn restrict_unsigned(&self, request: &VariantRequest) -> Result<VariantRequest, Error> {
        let (width, height, quality) = self.limits.resizing.allow((request.width, request.height), request.quality)?;
        Ok(VariantRequest { width, height, quality, ..request.clone() })
    }

    /// Finds the image of a signed request. For a private image the signature replaces the caller's permission.
    pub(in crate::service) async fn find_signed(
        &self,
        caller: &Caller,
        id: ImageId,
        signed: VerifiedSignature,
    ) -> Result<Arc<Image>, Error> {
        let image = match signed.grant {
            Grant::Public => return self.find_visible(caller, id).await,
            Grant::Private => self.find_live(id).await?,
            Grant::Deleted => self.find_trashed(id).await?,
            Grant::Original => return Err(wrong_signature()),
        };
        self.require_active_owner(image).await
    }

    /// Finds the live image of a signed URL of its original. The signature replaces the caller's permission.
    pub(in crate::service) async fn find_signed_original(
        &self,
        id: ImageId,
        signed: VerifiedSignature,
    ) -> Result<Arc<Image>, Error> {
        if signed.grant != Grant::Original {
            return Err(wrong_signature());
        }
        let image = self.find_live(id).await?;
        self.require_active_owner(image).await
    }

    /// Returns an image to which a signature grants access, unless it is private and its owner is disabled.
    async fn require_active_owner(&self, image: Arc<Image>) -> Result<Arc<Image>, Error> {
        let owner = store::identity::accounts::find_by_user(&self.db, &image.user_id).await?;
        let is_disabled = owner.is_some_and(|owner| owner.disabled_at.is_some());
        if is_disabled && !image.is_visible_to(None) { Err(Error::no_such_image()) } else { Ok(image) }
    }
}

/// Width, height and quality.
type ChosenSize = (Option<u32>, Option<u32>, Option<u8>);

impl ResizeLimits {
    /// Returns the size and quality that the mode allows for a request without a signature.
    fn allow(&self, (width, height): (Option<u32>, Option<u32>), quality: Option<u8>) -> Result<ChosenSize, Error> {
        match self.mode {
            ResizeMode::Open => {
                Ok((width.map(resize::round_side), height.map(resize::round_side), quality.map(resize::round_quality)))
            }
            ResizeMode::Listed if !self.sizes.contains(&ListedSize { width, height }) => {
                let sizes = self.sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                Err(Error::forbidden(format!(
                    "Without a signature only these sizes are allowed (width x height): {sizes}. For other sizes, the owner of \
                     the image creates a URL with POST /images/{{image_id}}/urls."
                )))
            }
            ResizeMode::Listed if quality.is_some_and(|quality| quality != Rendering::DEFAULT_QUALITY) => Err(Error::forbidden(
                "quality requires a signed URL. Omit quality, or have the owner of the image create a URL with \
                 POST /images/{image_id}/urls.",
            )),
            ResizeMode::Listed => Ok((width, height, quality)),
            ResizeMode::Signed => Err(Error::forbidden(
                "Resized images require a signed URL. The owner of the image creates one with POST /images/{image_id}/urls.",
            )),
        }
    }
}

impl SizeToSign {
    fn allowed_by(self, limits: &ResizeLimits) -> Result<Self, Error> {
        let (width, height, quality) = limits.allow((self.width, self.height), self.quality)?;
        Ok(Self { width, height, quality, ..self })
    }

    /// Signs a URL with this size. The caller must be allowed to see the image.
    pub(super) fn signed(&self, key: &[u8], image: &Image, expires_at: DateTime<Utc>) -> Result<ResizeUrl, Error> {
        let text = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let parameters = [
            ("expires", expires_at.timestamp().to_string()),
            ("fit", self.fit.map(Fit::name).unwrap_or_default().to_owned()),
            ("format", self.format.map(Format::name).unwrap_or_default().to_owned()),
            ("height", text(self.height)),
            ("quality", text(self.quality.map(u32::from))),
            ("width", text(self.width)),
        ];
        let query = canonical_query(parameters.iter().map(|(name, value)| (*name, value.as_str())));
        let signature = sign(key, Grant::of(image), image.id, &query)?;
        let format = self.format.unwrap_or_else(|| default_format(image));
        let (fit, quality) = (self.fit.unwrap_or_default(), self.quality.unwrap_or(Rendering::DEFAULT_QUALITY));
        let rendering = Rendering::new((image.width, image.height), (self.width, self.height), fit, format, quality);
        let Rendering { width, height, .. } =
            rendering.ok_or_else(|| Error::invalid("fit", "cover requires width and height"))?;
        Ok(ResizeUrl { query: format!("{query}&signature={signature}"), width, height })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// Splits a query as the service does: into the signed parameters and the signature.
    fn read(query: &[u8]) -> (String, Vec<String>) {
        let pairs: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        let signed = pairs.iter().filter(|(name, _)| resize::SIGNED_PARAMETERS.contains(&name.as_str()));
        let query = canonical_query(signed.map(|(name, value)| (name.as_str(), value.as_str())));
        (query, pairs.into_iter().filter(|(name, _)| name == "signature").map(|(_, value)| value).collect())
    }

    fn check(id: ImageId, query: &[u8]) -> Option<Grant> {
        let (query, signatures) = read(query);
        let [signature] = signatures.as_slice() else { return None };
        verify(KEY, id, &query, signature)
    }

    #[test]
    fn changing_any_byte_of_a_query_invalidates_it() {
        let id = ImageId::from(Uuid::from_u128(7));
        let query = "expires=1795939200&fit=cover&format=webp&height=240&quality=71&width=320";
        for grant in Grant::ALL {
            let signed = format!("{query}&signature={}", sign(KEY, grant, id, query).unwrap()).into_bytes();
            assert_eq!(check(id, &signed), Some(grant));
            assert_eq!(check(ImageId::from(Uuid::from_u128(8)), &signed), None);
            for place in 0..signed.len() {
                for byte in 0..=u8::MAX {
                    let mut changed = signed.clone();
                    changed[place] = byte;
                    let same = changed == signed;
                    assert_eq!(check(id, &changed).is_some(), same, "{:?}", String::from_utf8_lossy(&changed));
                }
                let mut shorter = signed.clone();
                shorter.remove(place);
                assert_eq!(check(id, &shorter), None);
            }
        }
    }

    #[test]
    fn url_keys_differ_from_access_token_keys() {
        let (derived, id) = (derive_url_key(KEY).unwrap(), ImageId::from(Uuid::from_u128(7)));
        assert_ne!(derived, KEY);
        let signature = sign(&derived, Grant::Public, id, "width=1").unwrap();
        assert_eq!(signature.len(), 43);
        assert_eq!(verify(&derived, id, "width=1", &signature), Some(Grant::Public));
        assert_eq!(verify(KEY, id, "width=1", &signature), None);
        for wrong in ["", "A", &signature[..42], &format!("{signature}="), &signature.to_lowercase()] {
            assert_eq!(verify(&derived, id, "width=1", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_rounded_up_to_windows() {
        let time = |seconds, nanos| DateTime::from_timestamp(seconds, nanos).unwrap();
        for (seconds, nanos, window, rounded) in
            [(1800, 0, 900, 1800), (1800, 1, 900, 2700), (1801, 0, 900, 2700), (1801, 5, 0, 1802), (1801, 0, 1, 1801)]
        {
            assert_eq!(round_up(time(seconds, nanos), window), time(rounded, 0), "{seconds} {nanos} {window}");
        }
    }
}
