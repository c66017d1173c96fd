"""The pyvips peer of the imaging benchmark: creates the thumbnails of an upload for each path on standard input.

This is the fastest use of libvips: it decodes with shrink-on-load to the largest thumbnail, and creates the smaller ones
from those pixels. It uses one thread, and prints a line of JSON for each image, with the CPU time of the process.
"""

import hashlib
import json
import sys
import time

import pyvips

QUALITY = 80
SIZES = {"medium": (512, 512), "h400": (None, 400), "h200": (None, 200), "small": (128, 128)}


def main():
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    for line in sys.stdin:
        path, _, folder = line.rstrip("\n").partition("\t")
        try:
            cpu_us, encoded = thumbnails(path)
            for name, data in encoded.items() if folder else ():
                with open(f"{folder}/vips-{name}", "wb") as file:
                    file.write(data)
            print(json.dumps({"cpu_us": cpu_us}), flush=True)
        except pyvips.Error as error:
            print(json.dumps({"error": str(error).splitlines()[0]}), flush=True)


def thumbnails(path):
    with open(path, "rb") as file:
        data = file.read()
    before = time.process_time()
    hashlib.sha256(data).digest()
    header = pyvips.Image.new_from_buffer(data, "", access="sequential")
    is_rotated = header.get("orientation") >= 5 if header.get_typeof("orientation") else False
    shown = (header.height, header.width) if is_rotated else (header.width, header.height)
    sizes = sorted(((name, *fit_inside(shown, size)) for name, size in SIZES.items()), key=lambda size: -size[1])
    _, width, height = sizes[0]
    largest = pyvips.Image.thumbnail_buffer(data, width, height=height, size="force", fail_on="warning").copy_memory()
    encoded = {}
    for name, width, height in sizes:
        resized = largest.thumbnail_image(width, height=height, size="force")
        encoded[name] = resized.write_to_buffer(".webp" if largest.hasalpha() else ".jpg", Q=QUALITY)
    return (time.process_time() - before) * 1e6, encoded


def fit_inside(shown, size):
    scale = min(1, *(limit / length for length, limit in zip(shown, size) if limit))
    return [max(1, round(length * scale)) for length in shown]


if __name__ == "__main__":
    main()
