"""Gives the generated uploads real pictures: random bytes would be refused, and nothing behind the decoder be reached.

The pictures are made here, with the standard library alone: small PNGs of noise and greyscale JPEGs of random blocks,
within the service's limits (at least 1024 bytes and 50×50 pixels).
"""

import atexit
import json
import os
import random
import struct
import zlib

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData
from schemathesis.transport.serialization import Binary

GATEWAYS_USER = "user123"

# As small as the limits allow: schemathesis prints the whole request of what it finds.
SMALLEST_SIDE, LARGEST_SIDE = 50, 60
# A JPEG block is 8×8 pixels and takes about a byte here: 40×40 of them make more than 1024 bytes.
SMALLEST_BLOCKS, LARGEST_BLOCKS = 40, 48


# Those that schemathesis makes up may be of any scheme, with user names, and to any port.
schemathesis.openapi.format(
    "uri", st.from_regex(r"https?://[a-z]{1,20}\.example(/[a-z0-9._~-]{0,20}){0,3}(\?[a-z0-9=&]{0,20})?", fullmatch=True)
)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Makes `file` a plain `format: binary`, whatever else the document says of it: pictures stand in for that format.

    Strategies by media type, which need an `encoding`, are no way: with them schemathesis 4.32 leaves other required
    parts empty, and takes a number for a part's negative value although any part is text.
    """
    add_rules_in_words(raw_schema)
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

# What the document says in words alone, for the sake of generated clients: a schema for it breaks one or the other of them.
RULES_OF_PROPERTIES = {
    ("UploadForm", "title"): TEXT,
    ("UploadForm", "description"): TEXT,
    ("UploadForm", "tags"): {"pattern": TAG_LIST},
    ("UpdateImageRequest", "title"): TEXT,
    ("UpdateImageRequest", "description"): TEXT,
    ("UpdateImageRequest", "tags"): {"oneOf": [ANY_TAGS, {"type": "string", "pattern": TAG_LIST}, {"type": "null"}]},
    ("CreateImportRequest", "tags"): {"oneOf": [ANY_TAGS, {"type": "string", "pattern": TAG_LIST}, {"type": "null"}]},
    ("ApiKeySettings", "description"): TEXT,
    ("CreateAccountRequest", "email"): {"pattern": r"^[a-z0-9.]+@[a-z0-9.]+$"},
    ("CreateAccountRequest", "password"): PASSWORD,
    ("ChangePasswordRequest", "new_password"): PASSWORD,
}
RULES_OF_PARAMETERS = {
    "start_date": DATE,
    "end_date": DATE,
    "tag": {"type": "string", "pattern": TAG},
    "tags": {"type": "array", "items": {"type": "string", "pattern": TAG}, "minItems": 1, "maxItems": 10},
}


def add_rules_in_words(raw_schema):
    schemas = raw_schema["components"]["schemas"]
    for (name, field), rule in RULES_OF_PROPERTIES.items():
        schema = schemas[name]["properties"][field]
        schema.pop("format", None)
        if "oneOf" in rule:
            schema.clear()
        schema.update(rule)
    for path in raw_schema["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in RULES_OF_PARAMETERS:
                    parameter["schema"] = RULES_OF_PARAMETERS[parameter["name"]]


@schemathesis.auth().apply_to(path_regex=r"^/(accounts|api-keys|audit|plans)")
class Administrator:
    """What only accounts may do is asked for by one that may do all of it."""

    def get(self, case, context):
        return os.environ["ADMINISTRATOR_TOKEN"]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.auth().skip_for(path_regex=r"^/(accounts|api-keys|audit|plans|health|ready|metrics)")
class GatewaysUser:
    """Everything else is asked for as behind a gateway, by one user."""

    def get(self, case, context):
        return GATEWAYS_USER

    def set(self, case, data, context):
        case.headers["X-User-Id"] = data


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes the caller the owner: drawn apart, the two would nearly always differ, and the answer be a 403."""
    if isinstance(case.body, dict) and isinstance(case.body.get("user_id"), str) and not is_negative(case):
        case.body["user_id"] = GATEWAYS_USER


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Lets pass what only schemathesis sees: it negates a text part by its type, but a part has none.

    The number 7 and the text "7" are the same bytes. It knows this of other forms, not of those with a binary part.
    """
    if isinstance(failure, RejectedPositiveData) and is_reused_key(response):
        return False
    if isinstance(failure, IgnoredAuth) and is_missing_for_strangers(failure, case):
        return False
    if isinstance(failure, AcceptedNegativeData) and (
        is_read_leniently(case) or breaks_narrower_rule(failure) or (only_body_is_negative(case) and is_valid_as_text(case))
    ):
        return False
    FOUND.append(f"{case.operation.label}: {failure.title}: status {response.status_code}: {response.content[:300]!r}\n  {case.as_curl_command()[:600]}")
    return True


# What was found, once more at the very end: of long outputs only the end may be kept.
FOUND = []
atexit.register(lambda: print("\n".join(["", "== found ==", *FOUND])) if FOUND else None)


def breaks_narrower_rule(failure):
    """Whether only a rule is broken that is narrower here than the service's, so that what is generated is valid."""
    return any(f"/properties/{name}" in failure.message for name in ("email", "password", "new_password"))


def is_reused_key(response):
    """It sends one Idempotency-Key with several payloads, which is refused by design and no schema can say."""
    details = response.json().get("details", {}) if response.status_code == 422 else {}
    return list(details) == ["Idempotency-Key"] and "used for another request" in details["Idempotency-Key"]


def is_missing_for_strangers(failure, case):
    """Behind a gateway any name is a user's: to another one, private images are not there, by design.

    The answer to the other name is told by the failure alone: what a hook is given is the answer to the right one.
    """
    return case.operation.path.startswith("/images/") and "got `404 " in failure.message


# Links that people share: services on the way add parameters to them.
SHARED = ("/i/", "/view/", "/c/", "/health", "/ready", "/metrics", "/images/{image_id}/thumbnail")
BOOLEANS = ("true", "false", "1", "0")


def is_read_leniently(case):
    """An empty parameter counts as absent, a boolean may be spelled in several ways, and shared links accept any parameter."""
    if ParameterLocation.QUERY not in negative_parts(case):
        return False
    values = [item for value in (case.query or {}).values() for item in (value if isinstance(value, list) else [value])]
    spelled = any(item is None or str(item) == "" or str(item).lower() in BOOLEANS for item in values)
    return spelled or not values or case.operation.path.startswith(SHARED)


def only_body_is_negative(case):
    return negative_parts(case) == [ParameterLocation.BODY]


def is_negative(case):
    return case.meta is None or bool(negative_parts(case))


def negative_parts(case):
    return [location for location, info in case.meta.components.items() if info.mode.is_negative]


def is_valid_as_text(case):
    if case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return False
    # A list is a part for each of its items: none is no part, one is a plain part, more are refused, except as tags; as objects are.
    body = {name: value for name, value in case.body.items() if value != []}
    if isinstance(body.get("tags"), list):
        body["tags"] = ",".join(str(tag) for tag in body["tags"])
    body = {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in body.items()}
    if any(isinstance(value, list | dict) for value in body.values()):
        return False
    # An empty part is an absent one.
    parts = {name: part_as_text(value) for name, value in body.items() if name == "file" or value != ""}
    if str(parts.get("keep_location")).lower() in BOOLEANS:
        parts["keep_location"] = False
    schema = case.operation.get_body_for_media_type(case.media_type).validation_schema
    return jsonschema_rs.validator_for(schema).is_valid(parts)


def part_as_text(value):
    if isinstance(value, str | bytes):
        return value if type(value) is str else ""  # a picture: any text stands for it
    return json.dumps(value)


def multipart_contents(raw_schema):
    for path in raw_schema["paths"].values():
        for operation in path.values():
            body = operation.get("requestBody", {}) if isinstance(operation, dict) else {}
            content = resolve(raw_schema, body).get("content", {}).get("multipart/form-data")
            if content and "file" in resolve(raw_schema, content["schema"]).get("properties", {}):
                yield content


def resolve(raw_schema, node):
    """What a reference within the document points to; anything else is itself."""
    while "$ref" in node:
        target = raw_schema
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def png(width, height, seed):
    """8-bit grey noise, which does not compress: a byte a pixel."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def jpeg(columns, rows, seed):
    """Baseline, greyscale, each block of one random shade: no transform needed, only a mean (ITU T.81, annex F)."""
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
    """How many codes there are of each length from 1 to 16 bits."""
    return bytes(codes_of_length.get(length, 0) for length in range(1, 17))


def jpeg_blocks(count, seed):
    """Of each block the difference of its mean to the last one's, and an end of block (the single bit 0)."""
    bits, last, shades = [], 0, random.Random(seed)
    for _ in range(count):
        mean = shades.randint(-120, 120)
        bits.append(jpeg_difference(mean - last) + "0")
        last = mean
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    # A byte FF within the data is followed by a zero, or it would start a marker.
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def jpeg_difference(difference):
    """Its number of bits, as one of nine codes of four bits, then the bits; a negative number is stored less one."""
    size = abs(difference).bit_length()
    if size == 0:
        return format(0, "04b")
    stored = difference if difference > 0 else difference + (1 << size) - 1
    return format(size, "04b") + format(stored, f"0{size}b")


SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(SMALLEST_SIDE, LARGEST_SIDE)
BLOCKS = st.integers(SMALLEST_BLOCKS, LARGEST_BLOCKS)

PICTURES = st.builds(png, SIDES, SIDES, SEEDS) | st.builds(jpeg, BLOCKS, BLOCKS, SEEDS)

schemathesis.openapi.format("binary", PICTURES.map(Binary))
