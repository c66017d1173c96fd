"""Uploads by HTML forms (POST Object) and by presigned PUT URLs, as browsers send them."""

import base64
import hashlib
import http.client
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
import zlib

import botocore.auth
from botocore.awsrequest import AWSRequest

from harness import MIB, check, equal, is_absent

BOUNDARY = "----boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def part(name, content, file_name=None):
    file_name = "" if file_name is None else f'; filename="{file_name}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file_name}\r\n\r\n'
    return head.encode() + (content if isinstance(content, bytes) else content.encode()) + b"\r\n"


def encoded(fields, file=b"image", file_name="photo.jpg", after=b""):
    parts = b"".join(part(name, value) for name, value in fields.items())
    return parts + part("file", file, file_name) + after + f"--{BOUNDARY}--\r\n".encode()


def presigned(server, key, fields=None, conditions=None, expires=60, client=None):
    """Returns the fields of a form. Its policy has a condition for each of `fields`, and `conditions`."""
    fields, conditions = fields or {}, conditions or []
    named = [{name: value} for name, value in fields.items()]
    post = (client or server.s3).generate_presigned_post(server.bucket, key, fields, named + conditions, expires)
    equal(post["url"], f"{server.endpoint}/{server.bucket}")
    return post["fields"]


def post(server, body, content_type=FORM, path=None):
    """Sends a form. Returns the status, the error code (`None` if there is none), the headers and the body."""
    url = f"{server.endpoint}/{server.bucket if path is None else path}"
    status, headers, text = server.request("POST", url, body, {"Content-Type": content_type})
    error = ElementTree.fromstring(text).findtext("Code") if status >= 400 else None
    return status, error, headers, text


def fails(server, key, expected, body, **more):
    status, error, _, text = post(server, body, **more)
    assert (status, error) == expected, f"{status} {error}: {text[:300]}, expected {expected}"
    is_absent(server, key)
    return text.decode()


@check
def a_form_within_its_policy_is_stored(server):
    key = server.key()
    fields = presigned(server, key, {"Content-Type": "image/jpeg", "x-amz-meta-a": "b"}, [["content-length-range", 1, 10]])
    status, _, headers, text = post(server, encoded(fields, after=part("submit", "Upload")))
    equal((status, text), (204, b""))
    equal(headers["etag"], f'"{hashlib.md5(b"image").hexdigest()}"')
    got = server.get(key)
    equal((got["Body"].read(), got["ContentType"], got["Metadata"]), (b"image", "image/jpeg", {"a": "b"}))


@check(embedded_only=True)
def the_location_of_a_form_upload_is_the_objects_url(server):
    key = server.key("ü &.jpg")
    _, _, headers, _ = post(server, encoded(presigned(server, key)))
    equal(headers["location"], f"{server.endpoint}/{server.bucket}/{urllib.parse.quote(key, safe='')}")


@check(embedded_only=True)
def a_form_outside_its_policy_is_denied(server):
    key = server.key()
    fields = presigned(server, key, {"Content-Type": "image/jpeg"}, [["content-length-range", 2, 10]])
    denied = (403, "AccessDenied")
    for changed in ({"key": server.key()}, {"Content-Type": "text/html"}, {"Content-Type": "image/jpeg,text/html"}):
        assert "Policy Condition failed" in fails(server, key, denied, encoded(fields | changed)), changed
    for extra in ({"x-amz-meta-a": "b"}, {"success_action_status": "201"}, {"submit": "Upload"}):
        assert "Extra input fields" in fails(server, key, denied, encoded(fields | extra)), extra
    del fields["Content-Type"]
    fails(server, key, denied, encoded(fields))
    expired = presigned(server, key, expires=1)
    time.sleep(1.1)
    assert "Policy expired" in fails(server, key, denied, encoded(expired))


@check
def the_length_of_a_file_in_a_form_is_limited(server):
    key = server.key()
    fields = presigned(server, key, conditions=[["content-length-range", 2, 10]])
    for file, code in ((b"x" * 11, "EntityTooLarge"), (b"x" * 3 * MIB, "EntityTooLarge"), (b"x", "EntityTooSmall"), (b"", "EntityTooSmall")):
        fails(server, key, (400, code), encoded(fields, file))
    for size in (2, 10):
        equal(post(server, encoded(fields, b"x" * size))[0], 204)


@check(embedded_only=True)
def a_form_needs_a_valid_signature(server):
    key = server.key()
    fields = presigned(server, key)
    fails(server, key, (403, "SignatureDoesNotMatch"), encoded(fields | {"x-amz-signature": "0" * 64}))
    fails(server, key, (403, "SignatureDoesNotMatch"), encoded(presigned(server, key, client=server.client(secret_key="wrong" * 8))))
    fails(server, key, (403, "InvalidAccessKeyId"), encoded(presigned(server, key, client=server.client(access_key="EKNOBODY"))))
    fails(server, key, (403, "AccessDenied"), encoded({"key": key}))


@check(embedded_only=True)
def an_incomplete_or_old_signature_of_a_form_is_rejected(server):
    key = server.key()
    fields = presigned(server, key)
    for missing in ("policy", "x-amz-signature", "x-amz-credential", "x-amz-date", "x-amz-algorithm"):
        fails(server, key, (400, "InvalidArgument"), encoded({name: value for name, value in fields.items() if name != missing}))
    old = {"AWSAccessKeyId": server.arguments.access_key, "signature": "x", "policy": fields["policy"], "key": key}
    fails(server, key, (400, "InvalidRequest"), encoded(old))


@check(embedded_only=True)
def a_malformed_policy_is_rejected(server):
    key = server.key()
    keys = server.s3._request_signer._credentials
    signer = botocore.auth.S3SigV4PostAuth(keys, "s3", "us-east-1")
    for policy in ({"expiration": "tomorrow"}, {"expiration": "2999-01-01T00:00:00Z", "conditions": [["eq", "$key"]]},
                   {"expiration": "2999-01-01T00:00:00Z", "conditions": [{"key": 1}]}, {}):
        request = AWSRequest("POST", server.endpoint)
        request.context["s3-presign-post-fields"] = {"key": key}
        request.context["s3-presign-post-policy"] = policy
        signer.add_auth(request)
        fails(server, key, (400, "InvalidPolicyDocument"), encoded(request.context["s3-presign-post-fields"]))


@check(embedded_only=True)
def the_file_name_of_a_form_can_be_part_of_the_key(server):
    folder = server.key("")
    fields = presigned(server, folder + "${filename}")
    for sent, expected in (("photo.jpg", "photo.jpg"), ("C:\\\\photos\\\\1.jpg", "1.jpg"), ("a/b/é.jpg", "é.jpg")):
        equal(post(server, encoded(fields, file_name=sent))[0], 204)
        equal(server.body(folder + expected), b"image")
    assert post(server, encoded(fields | {"key": server.key("${filename}")}))[0] == 403


@check(embedded_only=True)
def a_form_selects_the_response(server):
    key = server.key("a b&c.jpg")
    for demanded, expected in (("200", 200), ("201", 201), ("204", 204), ("404", 204)):
        status, _, headers, text = post(server, encoded(presigned(server, key, {"success_action_status": demanded})))
        equal(status, expected)
        if status == 201:
            document = ElementTree.fromstring(text)
            found = [document.findtext(name) for name in ("Bucket", "Key", "ETag")]
            equal((document.tag, found), ("PostResponse", [server.bucket, key, headers["etag"]]))
            assert document.findtext("Location").endswith(urllib.parse.quote("a b&c.jpg"))
        else:
            equal(text, b"")


@check(embedded_only=True)
def a_form_can_redirect(server):
    key = server.key()
    for url in ("https://example.org/done", "https://example.org/done?a=b"):
        status, _, headers, _ = post(server, encoded(presigned(server, key, {"success_action_redirect": url})))
        equal(status, 303)
        target = urllib.parse.urlsplit(headers["location"])
        assert headers["location"].startswith(url), headers["location"]
        query = urllib.parse.parse_qs(target.query)
        equal([query[name] for name in ("bucket", "key", "etag")], [[server.bucket], [key], [headers["etag"]]])
    for invalid in ("/relative", "javascript:alert(1)"):
        equal(post(server, encoded(presigned(server, key, {"success_action_redirect": invalid})))[0], 204)


@check(embedded_only=True)
def fields_after_the_file_do_not_count(server):
    key = server.key()
    fields = presigned(server, key)
    signature = part("x-amz-signature", fields.pop("x-amz-signature"))
    fails(server, key, (400, "InvalidArgument"), encoded(fields, after=signature))
    late = b"".join(part(name, value) for name, value in presigned(server, key).items())
    assert "order of the fields" in fails(server, key, (400, "InvalidArgument"), encoded({}, after=late))


@check(embedded_only=True)
def a_malformed_form_is_rejected(server):
    key = server.key()
    fields = presigned(server, key)
    parts = b"".join(part(name, value) for name, value in fields.items())
    malformed, argument = (400, "MalformedPOSTRequest"), (400, "InvalidArgument")
    fails(server, key, argument, parts + f"--{BOUNDARY}--\r\n".encode())
    fails(server, key, argument, encoded(fields, after=part("file", b"x", "x")))
    fails(server, key, malformed, encoded(fields)[:-10])
    fails(server, key, malformed, encoded(fields), content_type="multipart/form-data")
    fails(server, key, (400, "MaxPostPreDataLengthExceeded"), encoded(fields | {"x-ignore-a": "x" * 20_480}))
    fails(server, key, (412, "PreconditionFailed"), encoded(fields), content_type=f"multipart/mixed; boundary={BOUNDARY}")
    fails(server, key, (404, "NoSuchBucket"), encoded(fields), path="no-such-bucket-here")
    fails(server, key, (405, "MethodNotAllowed"), encoded(fields), path=f"{server.bucket}/{urllib.parse.quote(key)}")
    equal(post(server, encoded(fields), path=f"{server.bucket}/")[0], 204)


@check(embedded_only=True)
def a_form_can_be_chunked(server):
    key, file = server.key(), bytes(range(256)) * 8000
    body = encoded(presigned(server, key), file)
    for size in (1000, 70_000, 5 * MIB):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
        pieces = iter([body[at : at + size] for at in range(0, len(body), size)])
        connection.request("POST", f"/{server.bucket}", pieces, {"Content-Type": FORM}, encode_chunked=True)
        equal(connection.getresponse().status, 204)
        equal(server.body(key), file)


@check
def a_presigned_put_can_fix_the_type_and_the_length(server):
    key = server.key()
    url = server.presign(key, "put_object", ContentType="image/jpeg", ContentLength=5)
    assert "content-type" in url and "content-length" in url
    for content_type, body in (("image/png", b"image"), ("image/jpeg", b"images"), ("image/jpeg", b"imag"), ("image/jpeg; a=b", b"image")):
        status, _, text = server.request("PUT", url, body, {"Content-Type": content_type})
        equal((status, ElementTree.fromstring(text).findtext("Code")), (403, "SignatureDoesNotMatch"))
        is_absent(server, key)
    equal(server.request("PUT", url, b"image", {"Content-Type": "image/jpeg"})[0], 200)
    equal(server.get(key)["ContentType"], "image/jpeg")


@check(embedded_only=True)
def a_presigned_put_with_a_checksum_in_its_query_stores_any_body(server):
    """The AWS SDK for JavaScript puts the CRC-32 of an empty body into the query, because it signs before it knows the body."""
    for checksum in (b"", b"image"):
        key = server.key()
        crc = urllib.parse.quote(base64.b64encode(zlib.crc32(checksum).to_bytes(4, "big")).decode(), safe="")
        url = f"{server.url(key)}?x-amz-checksum-crc32={crc}&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject"
        request = AWSRequest("PUT", url)
        botocore.auth.S3SigV4QueryAuth(server.s3._request_signer._credentials, "s3", "us-east-1", expires=60).add_auth(request)
        equal(server.request("PUT", request.url, b"image")[0], 200)
        equal(server.body(key), b"image")
