"""The client of openapi-generator against the running service."""

import os
import pathlib

import openapi_client
from openapi_client.exceptions import NotFoundException
from openapi_client.models import CaptionStatus, CreateImportRequest, ImportStatus, UpdateImageRequest, Visibility

USER = "clients-openapi-generator"
URL = "https://images.example/cover.jpg"

picture = pathlib.Path(os.environ["PICTURE"]).read_bytes()
configuration = openapi_client.Configuration(host=os.environ["BASE_URL"], api_key={"gatewayUser": USER})
client = openapi_client.ApiClient(configuration)
images, imports = openapi_client.ImagesApi(client), openapi_client.ImportsApi(client)

first = images.upload_image(file=("p.png", picture), user_id=USER, title="A title", tags="og-sea,og-sun").image
second = images.upload_image(file=("p.png", picture), user_id=USER, tags="og-sea", visibility=Visibility.PUBLIC).image
assert first.caption_status == CaptionStatus.OFF, first.caption_status
assert first.description is None and second.title is None, "what was not sent is absent, not the text None"

page = images.list_images(tags=["og-sea"], limit=1)
assert [image.image_id for image in page.images] == [second.image_id]
rest = images.list_images(tags=["og-sea"], limit=1, page_token=page.next_page_token)
assert [image.image_id for image in rest.images] == [first.image_id] and rest.next_page_token is None
assert images.list_images(tags=["og-sea", "og-sun"]).total_count == 1, "an image must have all tags"

changed = images.update_image(first.image_id, UpdateImageRequest(title="Täglich", tags=["og-sea", "größe"]))
assert (changed.title, set(changed.tags)) == ("Täglich", {"og-sea", "größe"})

try:
    images.get_image("019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")
    raise AssertionError("the image was found")
except NotFoundException as error:
    assert error.data.error == "NotFound" and error.data.details == {}, error.data

assert bytes(images.get_thumbnail(first.image_id, "small"))[:3] == b"\xff\xd8\xff", "the bytes of a JPEG"
assert bytes(images.get_resized_image(first.image_id, width=20))[:3] == b"\xff\xd8\xff", "the bytes of a JPEG"

job = imports.get_import(imports.create_import(CreateImportRequest(urls=[URL], user_id=USER)).job_id)
assert (job.status, job.uploaded.pending) == (ImportStatus.PENDING, [URL])
assert images.delete_image(second.image_id).image_id == second.image_id
print("openapi-generator, python: ok")
