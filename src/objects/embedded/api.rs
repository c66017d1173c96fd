//! The operations of S3 that exist here; every other one answers `NotImplemented` by itself.
//!
//! Who may ask was decided before this is called: `s3s` checks the signature, and refuses what has none.

use std::sync::Arc;

use async_trait::async_trait;
use s3s::dto::{
    Bucket, CopyObjectInput, CopyObjectOutput, CopySource, CreateBucketInput, CreateBucketOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput,
    ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::storage::{Storage, StorageError};
use super::{copy, list, read, write};
use crate::objects::error::chain;

/// Every signature's region is accepted, but one has to be named where a client asks for it.
const REGION: &str = "us-east-1";

/// The S3 service over a directory.
pub(super) struct Api {
    pub(super) storage: Arc<Storage>,
    pub(super) bucket: String,
    pub(super) object_bytes_max: u64,
}

impl Api {
    fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if bucket == self.bucket {
            return Ok(());
        }
        Err(s3_error!(NoSuchBucket, "there is no such bucket"))
    }
}

#[async_trait]
impl S3 for Api {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.check_bucket(&request.input.bucket)?;
        write::put(&self.storage, self.object_bytes_max, request).await.map(S3Response::new)
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        self.check_bucket(&request.input.bucket)?;
        if let CopySource::Bucket { bucket, .. } = &request.input.copy_source {
            self.check_bucket(bucket)?;
        }
        copy::copy(&self.storage, request.input).await.map(S3Response::new)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.check_bucket(&request.input.bucket)?;
        read::get(&self.storage, request).await.map(S3Response::new)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.check_bucket(&request.input.bucket)?;
        read::head(&self.storage, request).await.map(S3Response::new)
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.check_bucket(&request.input.bucket)?;
        write::delete(&self.storage, request.input).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.check_bucket(&request.input.bucket)?;
        write::delete_many(&self.storage, request.input).await.map(S3Response::new)
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.check_bucket(&request.input.bucket)?;
        list::list(&self.storage, request.input).await.map(S3Response::new)
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.check_bucket(&request.input.bucket)?;
        let output = HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..HeadBucketOutput::default() };
        Ok(S3Response::new(output))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.check_bucket(&request.input.bucket)?;
        // In S3, no location is the way to say us-east-1.
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        if request.input.bucket == self.bucket {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "the bucket is there"));
        }
        Err(s3_error!(TooManyBuckets, "there is one bucket here, and its name is configured"))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let bucket = Bucket { name: Some(self.bucket.clone()), ..Bucket::default() };
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(vec![bucket]),
            owner: Some(list::owner()),
            ..ListBucketsOutput::default()
        }))
    }
}

/// Runs what blocks on a thread that may. It runs to its end even when the client is gone by then.
pub(super) async fn off_runtime<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => {
            tracing::error!("work on the objects' directory came to no end: {panicked}");
            Err(S3ErrorCode::InternalError.into())
        }
    }
}

/// Logs what the client is not to see, its path, and tells it that the fault is here.
pub(super) fn storage_error(error: StorageError) -> S3Error {
    tracing::error!("the objects' directory failed: {}", chain(&error));
    s3_error!(InternalError, "the object could not be read or written")
}
