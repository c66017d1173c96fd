"""The client of openapi-python-client against the running service."""

import io
import os
import pathlib

from openapi_python_client_made import AuthenticatedClient
from openapi_python_client_made.api.images import delete_image, get_image, get_thumbnail, list_images, list_tag_images, upload_image
from openapi_python_client_made.api.imports import create_import, get_import
from openapi_python_client_made.models import ApiError, CaptionStatus, CreateImportRequest, ErrorType, ImportStatus, UploadForm
from openapi_python_client_made.types import File

USER = "clients-openapi-python-client"
URL = "https://images.example/cover.jpg"

picture = pathlib.Path(os.environ["PICTURE"]).read_bytes()
# Its clients know one scheme at a time: here, the gateway's header.
client = AuthenticatedClient(base_url=os.environ["BASE_URL"], token=USER, prefix="", auth_header_name="X-User-Id")


def upload(**parts):
    file = File(payload=io.BytesIO(picture), file_name="p.png", mime_type="image/png")
    return upload_image.sync(client=client, body=UploadForm(file=file, user_id=USER, **parts)).image


first = upload(title="A title", tags="opc-sea,opc-sun")
second = upload(tags="opc-sea")
assert first.caption_status == CaptionStatus.OFF, first.caption_status
assert first.description is None and second.title is None, "what was not sent is absent, not the text None"

page = list_images.sync(client=client, tags=["opc-sea"], limit=1)
assert [image.image_id for image in page.images] == [second.image_id]
rest = list_images.sync(client=client, tags=["opc-sea"], limit=1, page_token=page.next_page_token)
assert [image.image_id for image in rest.images] == [first.image_id] and rest.next_page_token is None
assert list_images.sync(client=client, tags=["opc-sea", "opc-sun"]).total_count == 1, "an image must have all tags"
assert list_tag_images.sync("opc-sun", client=client).total_count == 1

error = get_image.sync("019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17", client=client)
assert isinstance(error, ApiError) and error.error == ErrorType.NOTFOUND, error

# It has no types for responses other than JSON and text; the bytes are there all the same.
assert get_thumbnail.sync_detailed(first.image_id, "small", client=client).content[:3] == b"\xff\xd8\xff", "the bytes of a JPEG"

created = create_import.sync(client=client, body=CreateImportRequest(urls=[URL], user_id=USER))
job = get_import.sync(created.job_id, client=client)
assert (job.status, job.uploaded.pending) == (ImportStatus.PENDING, [URL])
assert delete_image.sync(second.image_id, client=client).image_id == second.image_id
print("openapi-python-client: ok")
