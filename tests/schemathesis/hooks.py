"""Hooks for schemathesis: real images for generated uploads, credentials, and filters for false alarms.

The service rejects random bytes before it processes them, so uploads need valid images. The hooks generate them with the
standard library: small PNGs of noise and greyscale JPEGs of random blocks, within the service's limits (at least 1024
bytes and 50×50 pixels).
"""

import atexit
import json
import os
import random
import struct
import zlib
from collections.abc import Mapping

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData
from schemathesis.transport.serialization import Binary

GATEWAY_USER = "user123"

# As small as the limits allow, because schemathesis prints the whole request of each failure.
SMALLEST_SIDE, LARGEST_SIDE = 50, 60
# A JPEG block is 8×8 pixels and takes about a byte here, so 40×40 blocks take more than 1024 bytes.
SMALLEST_BLOCKS, LARGEST_BLOCKS = 40, 48


# By default, schemathesis generates URIs with any scheme, user names and ports, which the service rejects.
schemathesis.openapi.format(
    "uri", st.from_regex(r"https?://[a-z]{1,20}\.example(/[a-z0-9._~-]{0,20}){0,3}(\?[a-z0-9=&]{0,20})?", fullmatch=True)
)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Makes `file` a plain `format: binary`, so that the strategy for that format generates images.

    Strategies by media type, which need an `encoding`, do not work: with them schemathesis 4.32 leaves other required
    parts empty, and uses a number as the invalid value of a part, although every part is text.
    """
    add_rules_from_descriptions(raw_schema)
    for content in multipart_contents(raw_schema):
        content.pop("encoding", None)
        properties = resolve(raw_schema, content["schema"])["properties"]
        properties["file"] = {"type": "string", "format": "binary"}


TAG = r"^[\p{L}\p{N}_-]([\p{L}\p{N} _-]{0,48}[\p{L}\p{N}_-])?$"
TAG_LIST = r"^[\p{L}\p{N} _-]{0,50}(,[\p{L}\p{N} _-]{0,50}){0,9}$"
ANY_TAGS = {"type": "array", "items": {"type": "string", "pattern": r"^[\p{L}\p{N} _-]{0,50}$"}, "maxItems": 10}
TEXT = {"pattern": r"^[^\u0000]*$"}
PASSWORD = {"pattern": "^[ -hj-~][ -~]*$"}
DATE = {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}

# Rules that the OpenAPI document states only in descriptions, because a schema for them breaks some generated clients.
RULES_OF_PROPERTIES = {
    ("UploadForm", "title"): TEXT,
    ("UploadForm", "description"): TEXT,
    ("UploadForm", "tags"): {"pattern": TAG_LIST},
    ("UpdateImageRequest", "title"): TEXT,
    ("UpdateImageRequest", "description"): TEXT,
    ("UpdateImageRequest", "tags"): {"oneOf": [ANY_TAGS, {"type": "string", "pattern": TAG_LIST}, {"type": "null"}]},
    ("CreateUploadRequest", "title"): TEXT,
    ("CreateUploadRequest", "description"): TEXT,
    ("CreateUploadRequest", "file_name"): TEXT,
    ("CreateUploadRequest", "tags"): {"oneOf": [ANY_TAGS, {"type": "string", "pattern": TAG_LIST}, {"type": "null"}]},
    ("CreateImportRequest", "tags"): {"oneOf": [ANY_TAGS, {"type": "string", "pattern": TAG_LIST}, {"type": "null"}]},
    ("ApiKeySettings", "description"): TEXT,
    ("CreateAccountRequest", "email"): {"pattern": r"^[a-z0-9.]+@[a-z0-9.]+$"},
    ("CreateAccountRequest", "password"): PASSWORD,
    ("ChangePasswordRequest", "new_password"): PASSWORD,
    ("CreateShareRequest", "password"): PASSWORD,
    ("UpdateShareRequest", "password"): PASSWORD,
}
# A share has one target. Visitors can add images only to a collection.
RULES_OF_SCHEMAS = {
    "CreateShareRequest": {
        "oneOf": [
            {"required": ["image_id"], "properties": {"max_guest_images": {"type": "null"}}},
            {"required": ["collection"]},
        ]
    },
}
RULES_OF_PARAMETERS = {
    "start_date": DATE,
    "end_date": DATE,
    "tag": {"type": "string", "pattern": TAG},
    "tags": {"type": "array", "items": {"type": "string", "pattern": TAG}, "minItems": 1, "maxItems": 10},
}


def add_rules_from_descriptions(raw_schema):
    schemas = raw_schema["components"]["schemas"]
    for (name, field), rule in RULES_OF_PROPERTIES.items():
        schema = schemas[name]["properties"][field]
        schema.pop("format", None)
        if "oneOf" in rule:
            schema.clear()
        schema.update(rule)
    for name, rule in RULES_OF_SCHEMAS.items():
        schemas[name].update(rule)
    for path in raw_schema["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in RULES_OF_PARAMETERS:
                    parameter["schema"] = RULES_OF_PARAMETERS[parameter["name"]]


@schemathesis.auth().apply_to(path_regex=r"^/(accounts|api-keys|audit|plans)")
class Administrator:
    """Sends operations that need an account as an administrator."""

    def get(self, case, context):
        return os.environ["ADMINISTRATOR_TOKEN"]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.auth().skip_for(path_regex=r"^/(accounts|api-keys|audit|plans|health|ready|metrics)")
class GatewayUser:
    """Sends all other operations as one user behind a gateway."""

    def get(self, case, context):
        return GATEWAY_USER

    def set(self, case, data, context):
        case.headers["X-User-Id"] = data


@schemathesis.hook
def before_call(context, case, kwargs):
    """Sets the owner to the caller. If both were generated, they would nearly always differ, and the service would return 403."""
    if isinstance(case.body, dict) and isinstance(case.body.get("user_id"), str) and not is_negative(case):
        case.body["user_id"] = GATEWAY_USER


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Ignores false alarms.

    Some come from form parts, which have no type: the number 7 and the text "7" are the same bytes. So a text part with a
    value of another type is valid. schemathesis takes this into account, but not for forms with a binary part.
    """
    if isinstance(failure, RejectedPositiveData) and (
        is_reused_key(response) or is_not_collected(response) or breaks_rule_of_share(case, response)
    ):
        return False
    if isinstance(failure, IgnoredAuth) and is_hidden_from_other_users(failure, case):
        return False
    if isinstance(failure, AcceptedNegativeData) and (
        is_parsed_leniently(case) or breaks_narrower_rule(failure) or (only_body_is_negative(case) and is_valid_as_text(case))
    ):
        return False
    FAILURES.append(f"{case.operation.label}: {failure.title}: status {response.status_code}: {response.content[:300]!r}\n  {case.as_curl_command()[:600]}")
    return True


# The failures, printed again at exit, because CI may keep only the end of a long output.
FAILURES = []
atexit.register(lambda: print("\n".join(["", "== failures ==", *FAILURES])) if FAILURES else None)


def breaks_narrower_rule(failure):
    """Returns whether the value breaks only a pattern of this file, which is stricter than the service, to generate valid values."""
    return any(f"/properties/{name}" in failure.message for name in ("email", "password", "new_password"))


def is_reused_key(response):
    """Returns whether schemathesis reused an Idempotency-Key with another payload. A schema cannot express that this is invalid."""
    details = response.json().get("details", {}) if response.status_code == 422 else {}
    return list(details) == ["Idempotency-Key"] and "used for a different request" in details["Idempotency-Key"]


def is_not_collected(response):
    """Returns whether an image was to be moved behind one that is not in the collection. A schema cannot express that this is invalid."""
    return response.status_code == 422 and list(response.json().get("details", {})) == ["after"]


def breaks_rule_of_share(case, response):
    """Returns whether a request named two targets, or permitted images for the share of an image.

    No schema can forbid it for parameters and for a share that exists, and schemathesis adds ids that it knows to valid bodies.
    """
    details = list(response.json().get("details", {})) if response.status_code == 422 else []
    sent = {"GET /shares": case.query, "POST /shares": case.body}.get(case.operation.label)
    has_two_targets = isinstance(sent, Mapping) and {"image_id", "collection"} <= set(sent)
    permits_images = case.operation.label in ("POST /shares", "PATCH /shares/{id}") and details == ["max_guest_images"]
    return (has_two_targets and details == ["collection"]) or permits_images


def is_hidden_from_other_users(failure, case):
    """Behind a gateway, any name is a valid user. By design, other users get a 404 for private images and for shares, and an own list.

    Only the failure contains the response to the other name; the hook gets the response to the right one.
    """
    if case.operation.label == "GET /shares":
        return "invalid authentication" in failure.title
    return case.operation.path.startswith(("/images/", "/shares/")) and "got `404 " in failure.message


# Paths that ignore unknown query parameters, because other services add parameters to shared links.
LENIENT_PATHS = ("/i/", "/view/", "/c/", "/s/", "/health", "/ready", "/metrics", "/images/{image_id}/thumbnail")
BOOLEANS = ("true", "false", "1", "0")


def is_parsed_leniently(case):
    """Empty parameters count as absent, booleans have several spellings, and some paths ignore unknown parameters."""
    if ParameterLocation.QUERY not in negative_parts(case):
        return False
    values = [item for value in (case.query or {}).values() for item in (value if isinstance(value, list) else [value])]
    has_lenient_value = any(item is None or str(item) == "" or str(item).lower() in BOOLEANS for item in values)
    return has_lenient_value or not values or case.operation.path.startswith(LENIENT_PATHS)


def only_body_is_negative(case):
    return negative_parts(case) == [ParameterLocation.BODY]


def is_negative(case):
    return case.meta is None or bool(negative_parts(case))


def negative_parts(case):
    return [location for location, info in case.meta.components.items() if info.mode.is_negative]


def is_valid_as_text(case):
    if case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return False
    # A list is sent as one part for each item, so an empty list is an absent part, and a list of one item is a single part. The
    # service rejects objects, and lists of several items except tags.
    body = {name: value for name, value in case.body.items() if value != []}
    if isinstance(body.get("tags"), list):
        body["tags"] = ",".join(str(tag) for tag in body["tags"])
    body = {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in body.items()}
    if any(isinstance(value, list | dict) for value in body.values()):
        return False
    # An empty part counts as absent.
    parts = {name: part_as_text(value) for name, value in body.items() if name == "file" or value != ""}
    if str(parts.get("keep_location")).lower() in BOOLEANS:
        parts["keep_location"] = False
    schema = case.operation.get_body_for_media_type(case.media_type).validation_schema
    return jsonschema_rs.validator_for(schema).is_valid(parts)


def part_as_text(value):
    if isinstance(value, str | bytes):
        return value if type(value) is str else ""  # an image: any string is valid
    return json.dumps(value)


def multipart_contents(raw_schema):
    for path in raw_schema["paths"].values():
        for operation in path.values():
            body = operation.get("requestBody", {}) if isinstance(operation, dict) else {}
            content = resolve(raw_schema, body).get("content", {}).get("multipart/form-data")
            if content and "file" in resolve(raw_schema, content["schema"]).get("properties", {}):
                yield content


def resolve(raw_schema, node):
    """Returns the target of a reference within the document, or the node itself if it is not a reference."""
    while "$ref" in node:
        target = raw_schema
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def png(width, height, seed):
    """Returns a PNG of 8-bit grey noise. Noise is incompressible, so each pixel takes one byte."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def jpeg(columns, rows, seed):
    """Returns a baseline greyscale JPEG. Each block has one random shade, so it has only a DC coefficient (ITU T.81, annex F)."""
    width, height = 8 * columns, 8 * rows
    frame = struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)
    scan = struct.pack(">BBBBBB", 1, 1, 0x00, 0, 63, 0)
    return b"".join(
        [
            b"\xff\xd8",
            jpeg_segment(0xDB, b"\0" + b"\x08" * 64),
            jpeg_segment(0xC0, frame),
            jpeg_segment(0xC4, b"\x00" + huffman_lengths({4: 9}) + bytes(range(9))),
            jpeg_segment(0xC4, b"\x10" + huffman_lengths({1: 1}) + b"\0"),
            jpeg_segment(0xDA, scan),
            jpeg_blocks(columns * rows, seed),
            b"\xff\xd9",
        ]
    )


def jpeg_segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def huffman_lengths(codes_of_length):
    """Returns the number of codes of each length from 1 to 16 bits."""
    return bytes(codes_of_length.get(length, 0) for length in range(1, 17))


def jpeg_blocks(count, seed):
    """Encodes each block as the difference between its DC coefficient and the previous one, and an end of block (the bit 0)."""
    bits, last, shades = [], 0, random.Random(seed)
    for _ in range(count):
        mean = shades.randint(-120, 120)
        bits.append(jpeg_difference(mean - last) + "0")
        last = mean
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    # Each byte FF is followed by a zero byte, because otherwise it would start a marker.
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def jpeg_difference(difference):
    """Encodes the number of bits, as one of nine four-bit codes, and then the bits. Negative numbers are stored minus one."""
    size = abs(difference).bit_length()
    if size == 0:
        return format(0, "04b")
    stored = difference if difference > 0 else difference + (1 << size) - 1
    return format(size, "04b") + format(stored, f"0{size}b")


SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(SMALLEST_SIDE, LARGEST_SIDE)
BLOCKS = st.integers(SMALLEST_BLOCKS, LARGEST_BLOCKS)

IMAGES = st.builds(png, SIDES, SIDES, SEEDS) | st.builds(jpeg, BLOCKS, BLOCKS, SEEDS)

schemathesis.openapi.format("binary", IMAGES.map(Binary))
