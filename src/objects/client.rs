//! Connection settings of the S3 client: credential providers, proxy and trusted certificates.
//!
//! Credentials come only from the environment and the profile files, except with `S3_ENDPOINT_URL=aws`: other servers have no
//! metadata service, and waiting for one takes seconds.

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

/// The region if neither `AWS_REGION` nor the profile names one.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// The URL in requests to the embedded S3 server, which are not sent to a host.
const EMBEDDED_URL: &str = "http://s3.embedded";

/// Loads region, credentials and HTTP client for an endpoint.
///
/// # Errors
/// The file that `AWS_CA_BUNDLE` names cannot be read, or contains no usable certificate.
pub(super) async fn sdk_config(endpoint: &Endpoint) -> Result<aws_config::SdkConfig, Error> {
    let loader = aws_config::defaults(BehaviorVersion::latest());
    Ok(match endpoint {
        // The SDK's own client does the same, except that it ignores AWS_CA_BUNDLE.
        Endpoint::Aws => match ca_bundle() {
            Some(path) => loader.http_client(http_client(ProxyConfig::from_env(), Some(&path))?).load().await,
            None => loader.load().await,
        },
        Endpoint::Url(url) => {
            let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new())
                .or_else(Region::from_static(DEFAULT_REGION));
            let profile = ProfileFileCredentialsProvider::builder()
                .with_custom_provider("Ec2InstanceMetadata", UnavailableProvider)
                .with_custom_provider("EcsContainer", UnavailableProvider)
                .build();
            let credentials = CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("profile", profile);
            let proxy = if is_loopback(url) { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
            let client = http_client(proxy, ca_bundle().as_deref())?;
            loader.endpoint_url(url).region(region).credentials_provider(credentials).http_client(client).load().await
        }
        Endpoint::Embedded { client, credentials, .. } => {
            let region = Region::from_static(DEFAULT_REGION);
            let loader = loader.endpoint_url(EMBEDDED_URL).region(region).credentials_provider(credentials.clone());
            loader.http_client(client.clone()).load().await
        }
    })
}

/// Replaces the credential providers that exist only on AWS machines, in case a profile names one.
#[derive(Debug)]
struct UnavailableProvider;

impl ProvideCredentials for UnavailableProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let reason = "the profile names a credentials source that is supported only with S3_ENDPOINT_URL=aws";
        future::ProvideCredentials::ready(Err::<Credentials, _>(CredentialsError::invalid_configuration(reason)))
    }
}

/// Returns whether a URL leads to this machine, in which case the proxy from the environment does not apply.
fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<http::Uri>().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or_else(
        |_| host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
        |address| address.to_canonical().is_loopback(),
    )
}

/// Returns the file whose certificates replace the system's for S3 connections; AWS's own tools use the same variable.
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

/// Reads a file of certificates and validates each one: the client panics on one that it cannot use.
fn trust_store(path: &Path) -> Result<TrustStore, Error> {
    let bad = |reason: String| Error::BadCaBundle { reason: format!("{}: {reason}", path.display()) };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("no PEM certificate found".to_owned()));
    }
    Ok(TrustStore::empty().with_pem_certificate(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_bypasses_the_proxy() {
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
        assert!(refusal(&file).ends_with("no PEM certificate found"));
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refusal(&file).starts_with("invalid AWS_CA_BUNDLE: "), "{}", refusal(&file));
    }
}
