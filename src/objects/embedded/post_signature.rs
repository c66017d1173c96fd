//! The signature of a `PostObject` form: AWS Signature Version 4 of its policy.
//!
//! The signature is verified before the policy is decoded and before any byte of the file is stored. No limit applies to the age
//! of a signature, because the policy has an expiration of its own.
//!
//! Method: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html>.

use chrono::NaiveDateTime;
use s3s::{S3Error, S3Result, s3_error};
use subtle::ConstantTimeEq as _;

use super::credentials::Credentials;
use super::post_form::Fields;
use crate::objects::sigv4::{ALGORITHM, TIME_FORMAT, policy_signature};

/// The fields of a signature. A form with none of them is anonymous.
const SIGNATURE_FIELDS: [&str; 4] = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];

/// Verifies the signature of a form, and returns its policy, which is still in base64.
///
/// # Errors
/// The form is anonymous, lacks a field, or was not signed with the server's key pair.
pub(super) fn verify<'f>(credentials: &Credentials, fields: &'f Fields) -> S3Result<&'f str> {
    if fields.get("awsaccesskeyid").is_some() || fields.get("signature").is_some() {
        return Err(unsupported_version());
    }
    if SIGNATURE_FIELDS.into_iter().all(|name| fields.get(name).is_none()) {
        return Err(s3_error!(AccessDenied, "Access Denied"));
    }
    let policy = fields.required("policy")?;
    let algorithm = fields.required("x-amz-algorithm")?;
    let credential = fields.required("x-amz-credential")?;
    let date = fields.required("x-amz-date")?;
    let signature = fields.required("x-amz-signature")?;

    if algorithm != ALGORITHM {
        return Err(s3_error!(InvalidArgument, "X-Amz-Algorithm must be {ALGORITHM}."));
    }
    let Some(Credential { access_key_id, day, region }) = Credential::parse(credential) else {
        let format = "<access key>/YYYYMMDD/<region>/s3/aws4_request";
        return Err(s3_error!(InvalidArgument, "X-Amz-Credential must have the format {format}."));
    };
    if NaiveDateTime::parse_from_str(date, TIME_FORMAT).is_err() {
        return Err(s3_error!(InvalidArgument, "X-Amz-Date must have the format YYYYMMDDTHHMMSSZ."));
    }
    if access_key_id != credentials.access_key_id {
        return Err(s3_error!(InvalidAccessKeyId, "The access key does not exist."));
    }
    let expected = policy_signature(&credentials.secret_access_key, day, region, policy);
    let same_day = date.get(..8) == Some(day);
    if !same_day || !bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
        return Err(s3_error!(SignatureDoesNotMatch, "The signature does not match. Check the secret key and the policy."));
    }
    Ok(policy)
}

/// The error of a request with Signature Version 2.
pub(super) fn unsupported_version() -> S3Error {
    s3_error!(InvalidRequest, "The signature must use AWS4-HMAC-SHA256.")
}

/// The parts of `x-amz-credential` that depend on the client.
struct Credential<'c> {
    access_key_id: &'c str,
    day: &'c str,
    /// The server accepts every region.
    region: &'c str,
}

impl<'c> Credential<'c> {
    fn parse(credential: &'c str) -> Option<Self> {
        let mut parts = credential.split('/');
        let (access_key_id, day, region) = (parts.next()?, parts.next()?, parts.next()?);
        let well_formed = !access_key_id.is_empty() && !region.is_empty() && parts.eq(["s3", "aws4_request"]);
        well_formed.then_some(Self { access_key_id, day, region })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "e30=";

    fn credentials() -> Credentials {
        Credentials { access_key_id: "EKID".to_owned(), secret_access_key: "secret".to_owned() }
    }

    /// Verifies a form that is signed correctly, after a change to it.
    fn verify_changed(name: &str, value: &str) -> Result<(), String> {
        let signature = policy_signature("secret", "20261130", "eu-north-1", POLICY);
        let mut fields = [
            ("key", "k"),
            ("policy", POLICY),
            ("x-amz-algorithm", ALGORITHM),
            ("x-amz-credential", "EKID/20261130/eu-north-1/s3/aws4_request"),
            ("x-amz-date", "20261130T101500Z"),
            ("x-amz-signature", signature.as_str()),
        ];
        if let Some(field) = fields.iter_mut().find(|(known, _)| *known == name) {
            field.1 = value;
        }
        verify(&credentials(), &Fields::from(fields)).map(drop).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn only_the_signature_of_the_same_policy_key_pair_day_and_region_is_accepted() {
        assert_eq!(verify_changed("", ""), Ok(()));
        for (name, value, code) in [
            ("policy", "e30", "SignatureDoesNotMatch"),
            ("x-amz-signature", "", "SignatureDoesNotMatch"),
            ("x-amz-signature", &"0".repeat(64), "SignatureDoesNotMatch"),
            ("x-amz-credential", "EKID/20261130/us-east-1/s3/aws4_request", "SignatureDoesNotMatch"),
            ("x-amz-credential", "EKID/20261129/eu-north-1/s3/aws4_request", "SignatureDoesNotMatch"),
            ("x-amz-date", "20261129T101500Z", "SignatureDoesNotMatch"),
            ("x-amz-credential", "EKIX/20261130/eu-north-1/s3/aws4_request", "InvalidAccessKeyId"),
            ("x-amz-credential", "EKID/20261130/eu-north-1/sts/aws4_request", "InvalidArgument"),
            ("x-amz-credential", "EKID/20261130/eu-north-1/s3/aws4_request/", "InvalidArgument"),
            ("x-amz-credential", "EKID/20261130//s3/aws4_request", "InvalidArgument"),
            ("x-amz-credential", "", "InvalidArgument"),
            ("x-amz-algorithm", "AWS4-HMAC-SHA1", "InvalidArgument"),
            ("x-amz-date", "2026-11-30T10:15:00Z", "InvalidArgument"),
            ("x-amz-date", "äöü", "InvalidArgument"),
        ] {
            assert_eq!(verify_changed(name, value), Err(code.to_owned()), "{name}: {value}");
        }
    }

    #[test]
    fn an_incomplete_or_old_signature_is_refused() {
        let signed = ("x-amz-signature", "0");
        for (fields, code) in [
            (Fields::from([("key", "k")]), "AccessDenied"),
            (Fields::from([("key", "k"), ("policy", POLICY)]), "AccessDenied"),
            (Fields::from([("key", "k"), signed]), "InvalidArgument"),
            (Fields::from([("key", "k"), ("policy", POLICY), signed]), "InvalidArgument"),
            (Fields::from([("awsaccesskeyid", "EKID"), ("policy", POLICY)]), "InvalidRequest"),
            (Fields::from([("signature", "x"), signed]), "InvalidRequest"),
        ] {
            assert_eq!(verify(&credentials(), &fields).unwrap_err().code().as_str(), code, "{fields:?}");
        }
    }
}
