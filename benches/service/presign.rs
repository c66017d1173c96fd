//! The cost of a presigned URL: this crate's signer compared with the AWS SDK's presigner, in turns, for the same objects.

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use chrono::DateTime;
use image_service::objects::layout;
use image_service::objects::presign::{BucketAddress, PresignedGet, Signer};

use crate::Result;
use crate::fill::image;
use crate::measure::{median, number};

const ENDPOINT: &str = "http://127.0.0.1:4566";
const DISPOSITION: &str = "inline; filename*=UTF-8''IMG_1234.jpg";
/// The URLs of a page of 20: the original and two thumbnails of each image.
const URLS: usize = 60;

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 201)?;
    let keys = (0..URLS as u64).map(|number| Ok(layout::key(image(number, 1000)?.id, layout::ORIGINAL)));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "bench");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials.clone())
        .endpoint_url(ENDPOINT)
        .force_path_style(true);
    let client = aws_sdk_s3::Client::from_conf(config.build());
    let bucket = BucketAddress::at_endpoint("ENDPOINT", ENDPOINT, "images", "us-east-1")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        // The service creates a signer for each page.
        let mut signer = Signer::new(&bucket, credentials.clone());
        for key in &keys {
            black_box(our_url(&mut signer, key));
        }
        ours.push(nanoseconds_per_url(started));
        let started = Instant::now();
        for key in &keys {
            black_box(sdk_url(&client, key).await?);
        }
        theirs.push(nanoseconds_per_url(started));
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    println!("per URL: ours {ours:.0} ns, the SDK's {theirs:.0} ns, {:.1} times as long", theirs / ours);
    println!("a page of 20 has {URLS} URLs: ours {:.0} µs, the SDK's {:.0} µs", ours * 0.06, theirs * 0.06);
    Ok(())
}

fn our_url(signer: &mut Signer<'_>, key: &str) -> String {
    signer.get_url(&PresignedGet {
        key,
        signed_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default(),
        expires_in: 4500,
        content_type: Some("image/jpeg"),
        content_disposition: Some(DISPOSITION),
    })
}

async fn sdk_url(client: &aws_sdk_s3::Client, key: &str) -> Result<String> {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let config = PresigningConfig::builder().start_time(start).expires_in(Duration::from_secs(4500)).build()?;
    let request = client.get_object().bucket("images").key(key);
    let request = request.response_content_type("image/jpeg").response_content_disposition(DISPOSITION);
    Ok(request.presigned(config).await?.uri().to_owned())
}

fn nanoseconds_per_url(started: Instant) -> f64 {
    started.elapsed().as_nanos() as f64 / URLS as f64
}
