//! The S3 operations that the server implements; `s3s` answers all others with `NotImplemented`.
//!
//! `s3s` authenticates requests before it calls these functions: it checks the signature and refuses requests without one.

use std::sync::Arc;

use async_trait::async_trait;
use s3s::dto::{
    Bucket, CopyObjectInput, CopyObjectOutput, CopySource, CreateBucketInput, CreateBucketOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput,
    ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::storage::Storage;
use super::{copy, list, read, write};

/// The region that the server reports. It accepts signatures for every region.
const REGION: &str = "us-east-1";

/// The S3 API over a directory.
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
        Err(s3_error!(NoSuchBucket, "The bucket does not exist."))
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
        // In S3, an empty location means us-east-1.
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        if request.input.bucket == self.bucket {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "The bucket already exists."));
        }
        Err(s3_error!(TooManyBuckets, "The server has exactly one bucket. The configuration sets its name."))
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
