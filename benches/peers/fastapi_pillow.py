"""The peer of the upload benchmark: an image service as an experienced Python developer would write it.

An upload checks the limits in the header, decodes the file completely to verify it (at the JPEG scale of the larger
thumbnail), applies the EXIF orientation, creates thumbnails of 128 and 512 pixels, and computes the SHA-256. It stores the
original and the thumbnails in S3 concurrently, and then inserts a row into PostgreSQL. Unlike the service, it stores no
colours, placeholder, tag index, counters or intents.
"""

import asyncio
import hashlib
import io
import json
import os
import uuid
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile
from PIL import Image, ImageOps

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
THUMBNAILS = {"medium": 512, "small": 128}
MIN_BYTES, MAX_BYTES = 1024, 10 * 1024 * 1024
MIN_SIDE, MAX_SIDE = 50, 4000
ORIENTATION = 0x0112
SCHEMA = """create table if not exists images (
    id uuid primary key, user_id text not null, title text, tags jsonb not null, file_name text not null,
    file_size bigint not null, content_type text not null, width int not null, height int not null,
    sha256 text not null, thumbnails jsonb not null, created_at timestamptz not null default now())"""
INSERT = """insert into images
    (id, user_id, title, tags, file_name, file_size, content_type, width, height, sha256, thumbnails)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""


@asynccontextmanager
async def lifespan(app):
    async with AsyncExitStack() as stack:
        app.state.db = await stack.enter_async_context(asyncpg.create_pool(os.environ["DATABASE_URL"], max_size=20))
        await app.state.db.execute(SCHEMA)
        # Payloads are unsigned and have no checksums by the SDK, as is usual over TLS.
        config = AioConfig(
            max_pool_connections=50,
            request_checksum_calculation="when_required",
            s3={"addressing_style": "path", "payload_signing_enabled": False},
        )
        client = get_session().create_client("s3", endpoint_url=os.environ["S3_ENDPOINT_URL"], config=config)
        app.state.s3 = await stack.enter_async_context(client)
        app.state.bucket = os.environ["S3_BUCKET"]
        # One concurrent decode for each processor.
        app.state.decoding = asyncio.Semaphore(os.cpu_count() or 1)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health():
    return {"status": "healthy"}


@app.post("/images")
async def upload_image(
    request: Request,
    file: UploadFile = File(),
    user_id: str = Form(max_length=128),
    title: str | None = Form(None, max_length=200),
    tags: str = Form(""),
):
    data = await file.read()
    if not MIN_BYTES <= len(data) <= MAX_BYTES:
        raise HTTPException(400, "the file is too small or too large")
    state = request.app.state
    async with state.decoding:
        try:
            processed = await asyncio.to_thread(process, data)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise HTTPException(400, "the file is not a complete image") from error
    image_id = uuid.uuid4()
    objects = {"original": (data, processed["content_type"]), **processed["thumbnails"]}
    await asyncio.gather(
        *(
            state.s3.put_object(Bucket=state.bucket, Key=f"peer/{image_id}/{name}", Body=body, ContentType=content_type)
            for name, (body, content_type) in objects.items()
        )
    )
    names = [tag.strip().lower() for tag in tags.split(",") if tag.strip()]
    await state.db.execute(
        INSERT,
        image_id,
        user_id,
        title,
        json.dumps(names),
        file.filename,
        len(data),
        processed["content_type"],
        processed["width"],
        processed["height"],
        processed["sha256"],
        json.dumps(list(processed["thumbnails"])),
    )
    return {"message": "Image uploaded successfully", "image_id": str(image_id)}


def process(data):
    """Blocks. Pillow releases the GIL while it decodes, scales and encodes."""
    with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
        width, height = image.size
        if not (MIN_SIDE <= min(width, height) and max(width, height) <= MAX_SIDE):
            raise ValueError("too many or too few pixels")
        content_type = FORMATS[image.format]
        # libjpeg scales while it decodes. This is much faster, and still reads the whole file.
        image.draft("RGB", (THUMBNAILS["medium"], THUMBNAILS["medium"]))
        for frame in range(1, getattr(image, "n_frames", 1)):
            image.seek(frame)
            image.load()
        image.seek(0)
        if image.getexif().get(ORIENTATION, 1) >= 5:
            width, height = height, width
        image = ImageOps.exif_transpose(image)
        has_alpha = image.has_transparency_data
        thumbnails = {}
        image = image.convert("RGBA" if has_alpha else "RGB")
        for name, side in THUMBNAILS.items():
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            image.save(out, "WEBP" if has_alpha else "JPEG", quality=80)
            thumbnails[name] = (out.getvalue(), "image/webp" if has_alpha else "image/jpeg")
    return {
        "content_type": content_type,
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(data).hexdigest(),
        "thumbnails": thumbnails,
    }
