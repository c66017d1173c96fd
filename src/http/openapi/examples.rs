//! Complete examples for the OpenAPI document. A test checks their fields against the schemas.

use serde_json::{Value, json};

/// Returns an image as in the response of `GET /images/{image_id}`.
pub fn image() -> Value {
    const ID: &str = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17";
    let presigned = |name: &str| format!("https://images.s3.example.org/{ID}/{name}?X-Amz-Expires=3600&X-Amz-Signature=5d6f…");
    let (original, small, medium) = (presigned("original"), presigned("small"), presigned("medium"));
    json!({
        "image_id": ID,
        "created_at": "2026-01-31T12:00:00.123Z",
        "updated_at": "2026-01-31T12:00:00.123Z",
        "user_id": "user123",
        "visibility": "public",
        "title": "Beautiful Sunset",
        "description": "A stunning sunset over the mountains",
        "tags": ["mountains", "sunset"],
        "file_name": "IMG_0815.jpg",
        "file_size": 829_440,
        "content_type": "image/jpeg",
        "width": 3000,
        "height": 2000,
        "format": "jpeg",
        "download_url": original,
        "thumbnail_url": small,
        "thumbnails": {
            "small": {"width": 128, "height": 85, "url": small},
            "medium": {"width": 512, "height": 341, "url": medium},
        },
        "colors": ["#1a5276", "#f4d03f", "#7b241c"],
        "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "metadata": {
            "created_at": "2019-04-16T18:19:50",
            "modified_at": null,
            "camera": "NIKON CORPORATION NIKON D7500",
            "orientation": 1,
            "has_alpha": false,
            "animated": false,
            "frames": 1,
            "credentials": "none",
            "shrunk_from": null,
        },
        "caption": "the sun sets behind snowy mountains",
        "caption_status": "ready",
        "caption_model": "blip-base",
        "caption_error": null,
        "processing_time": 0.043,
    })
}

/// Returns a page of images that is not the last one.
pub fn image_page() -> Value {
    json!({"images": [image()], "total_count": 42, "next_page_token": "djE6MDE5MzUwYTQtN2YyYw", "has_more": true})
}
