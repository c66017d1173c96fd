"""Writes the seed corpus, small files of every format and variant: seeds.py FOLDER. Requires Pillow."""

import io
import random
import struct
import sys
import zlib
from pathlib import Path

from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
    b'exif:GPSLatitude="41,58.8N" photoshop:City="there"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def scene(mode, size):
    random.seed(size[0])
    image = Image.new("RGBA", size, (40, 90, 160, 255))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        box = sorted(random.randrange(size[0]) for _ in range(2)), sorted(random.randrange(size[1]) for _ in range(2))
        color = tuple(random.randrange(256) for _ in range(4))
        draw.ellipse((box[0][0], box[1][0], box[0][1], box[1][1]), fill=color)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def exif(orientation=6):
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112] = "Maker", "Model", orientation
    tags.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    gps = tags.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (41.0, 58.0, 48.0), "W", (87.0, 54.0, 0.0)
    return tags


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_restart_interval(jpeg):
    """Inserts a restart interval without encoding the scan again. The file is damaged, and the fuzzer can repair it."""
    at = jpeg.index(b"\xff\xda")
    return jpeg[:at] + b"\xff\xdd\x00\x04\x00\x04" + jpeg[at:]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def save(name, image, **options):
        out = io.BytesIO()
        image.save(out, **options)
        (folder / name).write_bytes(out.getvalue())
        return out.getvalue()

    for size in [(40, 30), (200, 150), (390, 120)]:
        side = size[0]
        for sampling in [0, 1, 2]:
            for progressive in [False, True]:
                save(f"jpeg_{side}_{sampling}_{progressive}", scene("RGB", size), format="JPEG", quality=70,
                     subsampling=sampling, progressive=progressive, optimize=side == 200)
        for mode in ["L", "CMYK"]:
            save(f"jpeg_{side}_{mode}", scene(mode, size), format="JPEG", quality=60)
        complete = save(f"jpeg_{side}_metadata", scene("RGB", size), format="JPEG", quality=50, exif=exif(), xmp=XMP,
                        icc_profile=profile, comment=b"a comment")
        (folder / f"jpeg_{side}_restart").write_bytes(with_restart_interval(complete))
        for mode in ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]:
            image = scene("RGB", size).convert("L") if mode == "I;16" else scene("RGBA", size).convert("RGB" if mode == "P" else mode)
            if mode == "P":
                image = image.quantize(16)
            if mode == "I;16":
                image = image.convert("I;16")
            text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=side == 40)
            text.add_text("Location", "there", zip=side == 200)
            save(f"png_{side}_{mode.replace(';', '')}", image, format="PNG", exif=exif(), pnginfo=text,
                 **({} if mode == "I;16" else {"icc_profile": profile}))
        frames = [scene("RGB", size).rotate(angle).quantize(8) for angle in (0, 90, 180)]
        save(f"gif_{side}_still", frames[0], format="GIF")
        save(f"gif_{side}", frames[0], format="GIF", save_all=True, append_images=frames[1:], duration=50)
        for mode in ["RGB", "RGBA"]:
            for lossless in [False, True]:
                image = scene(mode, size)
                metadata = {"exif": exif(3), "xmp": XMP, "icc_profile": profile} if side == 200 else {}
                save(f"webp_{side}_{mode}_{lossless}", image, format="WEBP", quality=60, lossless=lossless, **metadata)
                save(f"webp_{side}_{mode}_{lossless}_animated", image, format="WEBP", save_all=True, lossless=lossless,
                     append_images=[image.rotate(90)], duration=50)
    interlaced(folder)


def interlaced(folder):
    width, height = 9, 7
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    rows = b""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        across, down = len(range(x0, width, dx)), len(range(y0, height, dy))
        if across and down:
            rows += (b"\0" + bytes(range(across * 3))) * down
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    (folder / "png_interlaced").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


main(Path(sys.argv[1]))
