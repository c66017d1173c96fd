"""Measures the quality of thumbnails. Reads lines of tab-separated paths: an original, and its thumbnails.

The reference is the original, decoded by Pillow at full size, rotated by its EXIF orientation, and resized in floating
point with Lanczos3. Prints a line of JSON for each original: for each thumbnail the PSNR in dB and the mean SSIM (Wang et
al., IEEE TIP 13(4), 2004; luma, a Gaussian window of 1.5 pixels).
"""

import json
import sys

import numpy
from PIL import Image, ImageOps


def main():
    for line in sys.stdin:
        path, *thumbnails = line.rstrip("\n").split("\t")
        with Image.open(path) as file:
            original = ImageOps.exif_transpose(file).convert("RGB")
        print(json.dumps([measure(original, thumbnail) for thumbnail in thumbnails]), flush=True)


def measure(original, path):
    with Image.open(path) as file:
        actual = numpy.asarray(file.convert("RGB"), dtype=numpy.float64)
    height, width = actual.shape[:2]
    channels = [Image.fromarray(numpy.asarray(c, dtype=numpy.float32), "F") for c in original.split()]
    reference = numpy.dstack([numpy.asarray(c.resize((width, height), Image.Resampling.LANCZOS)) for c in channels]).clip(0, 255)
    error = numpy.mean((actual - reference) ** 2)
    return {"psnr": 10 * numpy.log10(255**2 / max(error, 1e-9)), "ssim": ssim(luma(actual), luma(reference))}


def luma(rgb):
    return rgb @ numpy.array([0.299, 0.587, 0.114])


def ssim(a, b):
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(numpy.mean(score / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))))


def blur(plane):
    window = numpy.exp(-(numpy.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()
    along = numpy.apply_along_axis(lambda row: numpy.convolve(row, window, mode="valid"), 1, plane)
    return numpy.apply_along_axis(lambda column: numpy.convolve(column, window, mode="valid"), 0, along)


if __name__ == "__main__":
    main()
