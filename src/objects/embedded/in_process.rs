//! Requests of this process to its own S3 server: signed and checked like all others, but without a connection.

use std::fmt;
use std::sync::{Arc, Weak};

use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use http::{HeaderValue, header};
use http_body_util::BodyExt as _;
use s3s::Body;
use s3s::service::S3Service;
use tokio::sync::Semaphore;

/// Marks a request of this process in its extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct FromThisProcess;

/// Returns an HTTP client for the SDK that passes requests to `s3`, at most `max_requests` at a time. They fail once `s3` is
/// dropped, which unlocks its directory.
pub(super) fn client(s3: &Arc<S3Service>, max_requests: usize) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(InProcess { s3: Arc::downgrade(s3), slots: Arc::new(Semaphore::new(max_requests)) });
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Clone)]
struct InProcess {
    s3: Weak<S3Service>,
    /// Limits the number of open files.
    slots: Arc<Semaphore>,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move { this.send(request).await })
    }
}

impl InProcess {
    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let slot = self.slots.acquire_owned().await.map_err(|error| ConnectorError::io(error.into()))?;
        let s3 = self.s3.upgrade().ok_or_else(|| ConnectorError::io("the embedded S3 server has stopped".into()))?;
        let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        // An HTTP client adds it, and the signature covers it.
        let host = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str())).transpose();
        if let Some(host) = host.map_err(|error| ConnectorError::user(error.into()))? {
            request.headers_mut().entry(header::HOST).or_insert(host);
        }
        request.extensions_mut().insert(FromThisProcess);
        let response = s3.call(request.map(Body::http_body_unsync)).await;
        let response = response.map_err(|error| ConnectorError::other(error.into(), None))?;
        let response = response.map(|body| {
            SdkBody::from_body_1_x(body.map_frame(move |frame| {
                // The file stays open until the body is read or dropped.
                let _slot = &slot;
                frame
            }))
        });
        response.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))
    }
}
