"""Measures the cost of a caption with transformers, for comparison with the service.

    pip install -r requirements-captions.txt
    python captions_transformers.py --make DIR        # creates a model of the size of BLIP base, 0.9 GB
    python captions_transformers.py DIR --threads 2 --repeats 5

The model has the configuration of Salesforce/blip-image-captioning-base and random weights. So its captions are
meaningless, but cost as much as real ones: 20 ids with the bos, because [SEP] is too unlikely to end a caption early.
Prints one JSON object: times in seconds (CPU is user and system time of all threads), memory in MiB. The input is the
image of 384 x 384 pixels from `test_image`, in float32. `ids` and `first_logits` show whether another implementation
computes the same result.
"""

import argparse
import json
import os
import time
from pathlib import Path

BASE = {
    "text_config": {
        "vocab_size": 30524,
        "hidden_size": 768,
        "encoder_hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 512,
        "bos_token_id": 30522,
        "sep_token_id": 102,
    },
    "vision_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 384,
        "patch_size": 16,
    },
}
WORDS = 30522
SPECIALS = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
MAX_LENGTH = 20


def random_base_model(seed):
    """Returns a model with random weights. They keep activations small, but the output depends on the image and token positions."""
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration

    model = BlipForConditionalGeneration(BlipConfig(**BASE)).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                is_scale = "norm" in name.lower() and name.endswith("weight")
                parameter.normal_(float(is_scale), 0.1, generator=random)
            else:
                is_attended = "value" in name or "attention.output.dense" in name
                gain = 0.7 if is_attended else 4 if "position_embeddings" in name else 1.5
                parameter.normal_(0, gain / parameter[0].numel() ** 0.5, generator=random)
        model.text_decoder.cls.predictions.bias[model.config.text_config.sep_token_id] = -100
    return model


def make(folder, seed=1):
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    random_base_model(seed).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    vocabulary = {SPECIALS.get(i, f"w{i}"): i for i in range(WORDS)}
    BertTokenizerFast(vocab=vocabulary).backend_tokenizer.save(str(folder / "tokenizer.json"))


def test_image(size):
    """Returns (size, size, 3) bytes. The pixel at x, y is x*x/size + 3y, 2x + y*y/size and xy/7, rounded down, modulo 256."""
    import numpy as np

    y, x = np.mgrid[:size, :size]
    return np.stack([x * x // size + 3 * y, 2 * x + y * y // size, x * y // 7], axis=2).astype(np.uint8)


def memory(key):
    """Returns VmRSS or VmHWM (the peak of VmRSS) in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def timed(work):
    """Returns the result, the wall-clock seconds and the CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, round(time.perf_counter() - wall, 4), round(time.process_time() - cpu, 4)


def bench(folder, threads, repeats):
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch
    import transformers
    from tokenizers import Tokenizer
    from transformers import BlipForConditionalGeneration
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    imported = memory("VmRSS")

    def open_model():
        model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        return model, Tokenizer.from_file(str(folder / "tokenizer.json"))

    (model, tokenizer), open_wall, open_cpu = timed(open_model)
    loaded = memory("VmRSS")
    size = model.config.vision_config.image_size
    processor = BlipImageProcessorPil(size={"height": size, "width": size})
    pixels = processor(test_image(size), return_tensors="pt").pixel_values

    def caption():
        return model.generate(
            pixels, max_length=MAX_LENGTH, do_sample=False, output_logits=True, return_dict_in_generate=True
        )

    with torch.no_grad():
        runs = [timed(caption) for _ in range(repeats)]
        _, encode_wall, encode_cpu = timed(lambda: model.vision_model(pixels))
    out = runs[-1][0]
    ids = out.sequences[0].tolist()
    best = torch.cat(out.logits).topk(2).values
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": threads,
        "open_wall": open_wall,
        "open_cpu": open_cpu,
        "caption_wall": [wall for _, wall, _ in runs],
        "caption_cpu": [cpu for _, _, cpu in runs],
        "encode_wall": encode_wall,
        "encode_cpu": encode_cpu,
        "rss_imported": round(imported),
        "rss_loaded": round(loaded),
        "rss_after": round(memory("VmRSS")),
        "rss_peak": round(memory("VmHWM")),
        "ids": ids,
        "caption": tokenizer.decode(ids, skip_special_tokens=True),
        "min_margin": round(float((best[:, 0] - best[:, 1]).min()), 5),
        "first_logits": [float(f"{value:.7g}") for value in out.logits[0][0, :8]],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", action="store_true", help="create the model instead of measuring it")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.folder)
    else:
        print(json.dumps(bench(arguments.folder, arguments.threads, arguments.repeats)))


if __name__ == "__main__":
    main()
