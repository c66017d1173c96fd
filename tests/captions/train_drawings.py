"""Trains a small BLIP model from scratch to caption drawings: "a red circle on a blue background".

    pip install -r requirements.txt
    python train_drawings.py OUT

Training takes 15 minutes on two cores. The data is generated: one shape on a background of another colour, with random
shades, size, position, angle and aspect ratio, and sometimes with soft edges, noise and JPEG artefacts. This is a test
model: it describes any other image as a shape, too. Some combinations of colour, shape and background are held out
from training (`is_held_out`), such as a red circle on blue.

The accuracy is the share of captions with every word correct. It is measured for the combinations in the training data,
for those held out, and for hard-edged drawings in pure colours, which are also a part of the training data.

OUT contains a Hugging Face checkpoint (config.json, model.safetensors, tokenizer.json) and reference.json, which has
held-out drawings, their token ids, captions and the logits of every step, in the format of make_models.py.
"""

import argparse
import colorsys
import io
import json
import math
import random
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image, ImageDraw
from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from make_models import MAX_LENGTH, SPECIALS, reference_of, save_tokenizer, write_reference

SIZE = 48
BATCH = 64
STEPS = 3500
RATE = 2e-3
MUON_RATE = 5e-3
HARD_EDGED_SHARE = 0.2  # of the training data
MIN_RADIUS, MAX_RADIUS = 0.2, 0.48  # of the shapes, relative to the shorter side of the image

# Ranges of hue (in degrees), saturation and value, and the pure colours of that name.
COLOURS = {
    "red": ((-10, 8), (0.8, 1), (0.65, 1), [(255, 0, 0)]),
    "yellow": ((52, 64), (0.75, 1), (0.85, 1), [(255, 255, 0)]),
    "green": ((95, 145), (0.6, 1), (0.4, 1), [(0, 255, 0), (0, 128, 0)]),
    "blue": ((212, 245), (0.7, 1), (0.5, 1), [(0, 0, 255)]),
    "white": ((0, 360), (0, 0.05), (0.92, 1), [(255, 255, 255)]),
    "black": ((0, 360), (0, 1), (0, 0.12), [(0, 0, 0)]),
}
NAMES = list(COLOURS)
SHAPES = ["circle", "square", "triangle"]
COMBINATIONS = [(colour, shape, background) for colour in NAMES for shape in SHAPES for background in NAMES if background != colour]


def is_held_out(combination):
    """Holds out one combination in nine: at most one shape for each pair of colours, so that training includes every pair."""
    colour, shape, background = combination
    return (NAMES.index(colour) + 3 * NAMES.index(background) + SHAPES.index(shape)) % 9 == 0


HELD_OUT = [combination for combination in COMBINATIONS if is_held_out(combination)]
TRAINED = [combination for combination in COMBINATIONS if not is_held_out(combination)]
assert ("red", "circle", "blue") in HELD_OUT


def caption_of(combination):
    colour, shape, background = ((f"an {word}" if word[0] in "aeiou" else f"a {word}") for word in combination)
    return f"{colour} {shape.split()[1]} on {background} background"


VOCABULARY = SPECIALS + sorted({word for combination in COMBINATIONS for word in caption_of(combination).split()})
BOS, SEP = len(VOCABULARY), VOCABULARY.index("[SEP]")


def ids_of(combination):
    return [BOS, *map(VOCABULARY.index, caption_of(combination).split()), SEP]


def outline(shape, angle):
    """Returns the corners of a shape inscribed in the unit circle, or None for the circle."""
    if shape == "circle":
        return None
    count, turn = {"square": (4, math.pi / 4), "triangle": (3, 0)}[shape]
    turns = [i * 2 * math.pi / count + turn for i in range(count)]
    corners = [(math.sin(t), -math.cos(t)) for t in turns]
    sin, cos = math.sin(angle), math.cos(angle)
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in corners]


def random_shade(rng, name):
    """Returns a random colour that has this name."""
    *ranges, pure = COLOURS[name]
    if rng.random() < 0.3:
        return rng.choice(pure)
    hue, saturation, value = (rng.uniform(*bounds) for bounds in ranges)
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value))


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def draw(rng, combination, min_radius=MIN_RADIUS):
    """Draws with Pillow, and scales the drawing to the input size of the model: an array of (SIZE, SIZE, 3) bytes."""
    colour, shape, background = combination
    height = rng.randint(60, 120)
    width = round(height * rng.uniform(0.7, 1.45))
    scale = rng.choice([1, 2])  # drawing at twice the size makes soft edges
    radius = rng.uniform(min_radius, MAX_RADIUS) * min(width, height)
    x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    image = Image.new("RGB", (width * scale, height * scale), random_shade(rng, background))
    canvas = ImageDraw.Draw(image)
    corners = outline(shape, math.radians(rng.uniform(-8, 8)))
    fill = random_shade(rng, colour)
    if corners is None:
        canvas.ellipse([scale * (x - radius), scale * (y - radius), scale * (x + radius), scale * (y + radius)], fill)
    else:
        canvas.polygon([(scale * (x + radius * u), scale * (y + radius * v)) for u, v in corners], fill)
    image = image.reduce(scale)
    if rng.random() < 0.5:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 10), (height, width, 3))
        image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        image = jpeg(image, rng.randint(40, 95))
    return np.asarray(image.resize((SIZE, SIZE), Image.BICUBIC))


def draw_hard_edged(rng, combination, min_radius=MIN_RADIUS):
    """Draws with numpy, so that every pixel has one of the two pure colours, and scales the drawing to the same size."""
    colour, shape, background = combination
    width, height = rng.choice([(640, 480), (300, 300)])
    radius = rng.uniform(min_radius, MAX_RADIUS) * min(width, height)
    left, top = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    y, x = np.mgrid[:height, :width]
    x, y = (x + 0.5 - left) / radius, (y + 0.5 - top) / radius
    corners = outline(shape, 0)
    if corners is None:
        inside = x * x + y * y < 1
    else:
        inside = np.zeros(x.shape, bool)  # a pixel is inside if a ray from it crosses an odd number of edges
        for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y1 != y2:
                inside ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    pixels = np.where(inside[..., None], COLOURS[colour][3][0], COLOURS[background][3][0]).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.BICUBIC))


def training_batch(step_and_progress):
    """Returns images and ids. Begins with large shapes, because learning small ones from the start takes far longer."""
    step, progress = step_and_progress
    rng = random.Random(step)
    min_radius = max(MIN_RADIUS, 0.36 - 0.4 * progress)
    combinations = rng.choices(TRAINED, k=BATCH)
    images = []
    for combination in combinations:
        draw_one = draw_hard_edged if rng.random() < HARD_EDGED_SHARE else draw
        images.append(draw_one(rng, combination, min_radius))
    return np.stack(images), np.array([ids_of(combination) for combination in combinations])


def pixel_values(images):
    """Returns the output of BlipImageProcessor for a batch of images, an array of (n, SIZE, SIZE, 3) bytes."""
    mean, std = np.array(BlipImageProcessorPil.image_mean), np.array(BlipImageProcessorPil.image_std)
    values = (images / 255 - mean) / std
    return torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def new_model():
    text = {
        "vocab_size": len(VOCABULARY) + 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 24,
        "bos_token_id": BOS,
        "sep_token_id": SEP,
    }
    vision = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": SIZE,
        "patch_size": 8,
    }
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # the default of 0.02 is for wider layers
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3 if "position_embedding" in name else parameter[0].numel() ** -0.5)
    return model


def train(model, steps):
    model.train()
    # Muon needs a quarter of the steps of AdamW. It is for weight matrices only, not for embeddings.
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    optimizers = [
        torch.optim.AdamW(others, lr=RATE, weight_decay=0.01),
        torch.optim.Muon(matrices, lr=MUON_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
    ]

    def warmup_and_decay(step):
        return min(1, (step + 1) / (0.05 * steps), 2 * (1 - step / steps))

    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_and_decay) for optimizer in optimizers]
    start = time.monotonic()
    with get_context("spawn").Pool(1) as pool:
        batches = pool.imap(training_batch, ((step, step / steps) for step in range(steps)))
        for step, (images, ids) in enumerate(batches, 1):
            ids = torch.from_numpy(ids)
            loss = model(pixel_values(images), input_ids=ids, labels=ids).loss
            model.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
            if step % 100 == 0:
                print(f"step {step}: loss {loss.item():.4f}, {time.monotonic() - start:.0f} s", flush=True)
    model.eval()


@torch.no_grad()
def captions(model, images):
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(VOCABULARY)})
    ids = model.generate(pixel_values(np.stack(images)), max_length=MAX_LENGTH, do_sample=False)
    return [tokenizer.decode(row, skip_special_tokens=True) for row in ids]


def accuracy(model, combinations, draw_one, count, label):
    """Returns the share of captions with every word correct, and prints some of the others. The label is also the random seed."""
    rng = random.Random(label)
    chosen = [combinations[i % len(combinations)] for i in range(count)]
    generated = captions(model, [draw_one(rng, combination) for combination in chosen])
    wrong = [(caption_of(c), caption) for c, caption in zip(chosen, generated, strict=True) if caption_of(c) != caption]
    print(f"{label}: {count - len(wrong)} of {count} correct")
    for expected, caption in wrong[:5]:
        print(f"    expected {expected}: {caption}")
    return round(1 - len(wrong) / count, 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(1)
    torch.set_num_threads(1)  # the other core draws, and one thread makes sums reproducible
    torch.use_deterministic_algorithms(True)

    model = new_model()
    train(model, arguments.steps)
    scores = {
        "seen": accuracy(model, TRAINED, draw, 980, "seen"),
        "held_out": accuracy(model, HELD_OUT, draw, 1050, "held out"),
        "hard_seen": accuracy(model, TRAINED, draw_hard_edged, 490, "hard-edged, seen"),
        "hard_held_out": accuracy(model, HELD_OUT, draw_hard_edged, 525, "hard-edged, held out"),
        "hard_red_circle_on_blue": accuracy(model, [("red", "circle", "blue")], draw_hard_edged, 200, "red circle on blue"),
    }

    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    save_tokenizer(VOCABULARY, out)
    rng = random.Random(2)
    shown = [("red", "circle", "blue"), *rng.sample(HELD_OUT, 3)]
    rows = reference_of(out, [draw(rng, combination) for combination in shown])
    for row in rows:
        del row["encoded"]  # large, and the logits depend on it
    write_reference(out, rows, accuracy=scores)
    print(json.dumps(scores), (out / "model.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
