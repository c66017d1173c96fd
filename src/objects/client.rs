//! How the S3 client reaches its server: which credentials it looks for, which proxy it asks, and whom it trusts.
//!
//! Only with `S3_ENDPOINT_URL=aws` does it ask anything but the environment and the profile files: elsewhere there is no metadata service,
//! and waiting for one takes seconds.

use std::path::{Path, PathBuf};

use aws_config::BehaviorVersion;
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use aws_sdk_s3::config::{Region, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

use super::Endpoint;
use super::error::Error;

/// What `AWS_REGION` and the profile do not name.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// Finds region and credentials for an endpoint, and prepares the way there.
///
/// # Errors
/// `AWS_CA_BUNDLE` names a file that holds no certificates.
pub(super) async fn sdk_config(endpoint: &Endpoint) -> Result<aws_config::SdkConfig, Error> {
    let loader = aws_config::defaults(BehaviorVersion::latest());
    Ok(match endpoint {
        // The SDK's own client does the same, other than reading AWS_CA_BUNDLE.
        Endpoint::Aws => match ca_bundle() {
            Some(path) => loader.http_client(http_client(ProxyConfig::from_env(), Some(&path))?).load().await,
            None => loader.load().await,
        },
        Endpoint::Url(url) => {
            let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new())
                .or_else(Region::from_static(DEFAULT_REGION));
            let profile = ProfileFileCredentialsProvider::builder()
                .with_custom_provider("Ec2InstanceMetadata", NotHere)
                .with_custom_provider("EcsContainer", NotHere)
                .build();
            let credentials = CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("profile", profile);
            let proxy = if is_loopback(url) { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
            let client = http_client(proxy, ca_bundle().as_deref())?;
            loader.endpoint_url(url).region(region).credentials_provider(credentials).http_client(client).load().await
        }
        Endpoint::Embedded { url, credentials, .. } => {
            let client = http_client(ProxyConfig::disabled(), None)?;
            let region = Region::from_static(DEFAULT_REGION);
            loader.endpoint_url(url).region(region).credentials_provider(credentials.clone()).http_client(client).load().await
        }
    })
}

/// Stands in for the sources of credentials that only AWS's own machines have, should a profile name one.
#[derive(Debug)]
struct NotHere;

impl ProvideCredentials for NotHere {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let reason = "the profile names a source of credentials that is asked only with S3_ENDPOINT_URL=aws";
        future::ProvideCredentials::ready(Err::<Credentials, _>(CredentialsError::invalid_configuration(reason)))
    }
}

/// A server on this machine is not behind a proxy, whatever the environment names for other hosts.
fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<http::Uri>().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or_else(
        |_| host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
        |address| address.to_canonical().is_loopback(),
    )
}

/// A file of certificates that replaces the system's for S3 alone, as AWS's own tools read it.
fn ca_bundle() -> Option<PathBuf> {
    std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn http_client(proxy: ProxyConfig, ca_bundle: Option<&Path>) -> Result<SharedHttpClient, Error> {
    let trusted = ca_bundle.map(trust_store).transpose()?.unwrap_or_default();
    let bad = |error: &dyn std::error::Error| Error::BadCaBundle { reason: error.to_string() };
    let tls = TlsContext::builder().with_trust_store(trusted).build().map_err(|error| bad(&error))?;
    // `build_https` is the same without a proxy.
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls.clone()).build()
    }))
}

/// Reads a file of certificates. The client panics over one that it cannot use, so each is tried here.
fn trust_store(path: &Path) -> Result<TrustStore, Error> {
    let bad = |reason: String| Error::BadCaBundle { reason: format!("{}: {reason}", path.display()) };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no PEM certificate in it".to_owned()));
    }
    Ok(TrustStore::empty().with_pem_certificate(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_a_proxy() {
        for here in
            ["http://127.0.0.1:4566", "https://localhost", "http://LOCALHOST:1", "http://[::1]:9000", "http://s3.localhost"]
        {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in
            ["http://10.0.0.1:9000", "https://s3.example.org", "http://localhost.example.org", "http://[2001:db8::1]"]
        {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_ca_bundle_without_certificates_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let refusal = |file: &Path| trust_store(file).map(drop).unwrap_err().to_string();
        assert!(refusal(&file).contains("No such file"), "{}", refusal(&file));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(refusal(&file).ends_with("there is no PEM certificate in it"));
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refusal(&file).starts_with("AWS_CA_BUNDLE cannot be used: "), "{}", refusal(&file));
    }
}
