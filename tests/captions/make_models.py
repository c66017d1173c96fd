"""Creates the tiny BLIP models of the caption tests, and records the output of transformers as the reference.

    pip install -r requirements.txt
    python make_models.py OUT

Each folder OUT/NAME contains a Hugging Face checkpoint of BlipForConditionalGeneration with random weights
(config.json, model.safetensors, tokenizer.json) and reference.json. For each of a few images, reference.json has the
output of the vision encoder, the logits of every step, the token ids and the caption. OUT/preprocess.json has the
output of BlipImageProcessor for images that are not square.

The captions are those of BlipForConditionalGeneration.generate(pixel_values, max_length=20, do_sample=False). It starts
with text_config.bos_token_id only and stops at text_config.sep_token_id (never at eos_token_id). max_length includes
the bos and the sep. Without an explicit max_length, transformers 5 generates 20 new tokens, so 21 ids. `check_generate`
verifies this against a simple loop without a cache, which appends the most likely token for the whole prefix.

The seeds below are the first ones whose captions detect errors; see `is_discriminating`. Other versions of the
libraries may need other seeds, which `--search` finds.
"""

import argparse
import base64
import json
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

MAX_LENGTH = 20
MARGIN = 1e-2  # the minimum difference between the logits of the two most likely tokens

EMBEDDINGS = "text_decoder.bert.embeddings"
HEAD = "text_decoder.cls.predictions"

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "a an the cat dog car house tree sky red blue green small big on in of and with sit stand near man woman photo"
    " street water bird table , . ' ##s ##ing ##ed"
).split()

# The keys besides the sizes in each part of a configuration by transformers 4.26, such as the one on the hub.
LEGACY = {
    "_name_or_path": "",
    "add_cross_attention": False,
    "architectures": None,
    "bad_words_ids": None,
    "chunk_size_feed_forward": 0,
    "decoder_start_token_id": None,
    "do_sample": False,
    "early_stopping": False,
    "finetuning_task": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "initializer_factor": 1.0,
    "is_encoder_decoder": False,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "num_beams": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "prefix": None,
    "problem_type": None,
    "pruned_heads": {},
    "repetition_penalty": 1.0,
    "return_dict": True,
    "suppress_tokens": None,
    "temperature": 1.0,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "tokenizer_class": None,
    "top_k": 50,
    "torch_dtype": None,
    "torchscript": False,
    "transformers_version": "4.26.0.dev0",
    "use_bfloat16": False,
}


@dataclass(frozen=True)
class Spec:
    """The parameters of a model. `text` and `vision` are (hidden size, layers, heads)."""

    name: str
    text: tuple
    vision: tuple
    image: int
    patch: int
    seed: int
    tied: bool = True
    hub: bool = False  # write the files as on the hub: with copies of tied weights, buffers, and old keys
    sparse: bool = False  # omit keys with default values from config.json
    dtype: torch.dtype = torch.float32
    vocabulary: list = field(default_factory=lambda: SPECIALS + WORDS)


def bert_vocabulary(words):
    """Puts the special tokens at the ids of BERT, so that sep_token_id has its default value of 102."""
    rest = iter(words + [f"word{i}" for i in range(104)])
    specials = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    return [specials[i] if i in specials else next(rest) for i in range(108)]


SPECS = [
    Spec("tied", text=(16, 2, 2), vision=(12, 1, 3), image=16, patch=4, seed=17),
    Spec("untied", text=(16, 1, 4), vision=(12, 2, 1), image=24, patch=8, seed=35, tied=False),
    Spec("hub", text=(16, 1, 4), vision=(16, 2, 2), image=20, patch=5, seed=5, hub=True),
    Spec("half", text=(24, 2, 4), vision=(18, 1, 3), image=32, patch=8, seed=139, dtype=torch.float16),
    Spec("deep", text=(12, 3, 1), vision=(16, 1, 4), image=12, patch=4, seed=1034),
    Spec("wide", text=(16, 1, 2), vision=(24, 1, 1), image=20, patch=4, seed=6),
    Spec("sparse", (16, 1, 8), (12, 2, 12), image=16, patch=8, seed=2, sparse=True, vocabulary=bert_vocabulary(WORDS)),
]


def config_of(spec):
    hidden, layers, heads = spec.text
    text = {
        "vocab_size": len(spec.vocabulary) + 2,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 24,
        "bos_token_id": len(spec.vocabulary),
        "sep_token_id": spec.vocabulary.index("[SEP]"),
        "tie_word_embeddings": spec.tied,
    }
    hidden, layers, heads = spec.vision
    vision = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": spec.image,
        "patch_size": spec.patch,
    }
    return BlipConfig(text_config=text, vision_config=vision, tie_word_embeddings=spec.tied)


def standard_deviation(name, parameter):
    """Returns the standard deviation of the weights. It yields captions of many words that do not repeat and depend on the image."""
    if parameter.dim() == 1:
        return 0.2
    is_attended = "value" in name or "attention.output.dense" in name
    gain = 0.7 if is_attended else 4 if "position_embeddings" in name else 2
    return gain / parameter[0].numel() ** 0.5


@torch.no_grad()
def random_model(spec, seed):
    """Returns a model in float32 whose values `spec.dtype` can represent."""
    model = BlipForConditionalGeneration(config_of(spec)).eval()
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        is_scale = "norm" in name.lower() and name.endswith("weight")
        parameter.normal_(float(is_scale), standard_deviation(name, parameter), generator=random)
        parameter.copy_(parameter.to(spec.dtype))
    return model


def save_tokenizer(vocabulary, folder):
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)}, do_lower_case=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))


def save_config(config, folder):
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def hub_layout(model, folder):
    """Rewrites the files in the layout of old versions of transformers."""
    weights = {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}
    weights[f"{EMBEDDINGS}.position_ids"] = model.text_decoder.bert.embeddings.position_ids.clone().contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    for part in "text_config", "vision_config":
        config[part] = LEGACY | config[part]
    config["vision_config"] |= {"num_channels": 3, "bos_token_id": None, "dropout": 0.0}
    config |= {"torch_dtype": config.pop("dtype"), "transformers_version": None, "_commit_hash": None}
    del config["tie_word_embeddings"]  # only the parts have it
    save_config(config, folder)


def drop_defaults(folder):
    config = json.loads((folder / "config.json").read_text())
    defaults = BlipConfig().to_dict()
    for part in "text_config", "vision_config":
        config[part] = {key: value for key, value in config[part].items() if value != defaults[part].get(key, value)}
    save_config({key: value for key, value in config.items() if value != defaults.get(key) or "type" in key}, folder)


def save_model(spec, model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model.to(spec.dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_tokenizer(spec.vocabulary, folder)
    if spec.hub:
        hub_layout(model, folder)
    if spec.sparse:
        drop_defaults(folder)


def test_images(size):
    """Returns a gradient, a chessboard and noise, as arrays of (size, size, 3) bytes."""
    y, x = np.mgrid[:size, :size]
    gradient = np.stack([x * 255 // (size - 1), y * 255 // (size - 1), (x + y) * 7 % 256], axis=2)
    chess = np.where(((x // 4 + y // 4) % 2 == 0)[..., None], [250, 200, 20], [10, 40, 120])
    noise = np.random.default_rng(size).integers(0, 256, (size, size, 3))
    return [image.astype(np.uint8) for image in (gradient, chess, noise)]


def pixel_values(image, size):
    processor = BlipImageProcessorPil(size={"height": size, "width": size})
    return processor(Image.fromarray(image), return_tensors="pt").pixel_values


@torch.no_grad()
def greedy(model, pixels):
    """Decodes greedily without a cache. Returns the output of the vision encoder, the ids and the logits of every step."""
    config = model.config.text_config
    encoded = model.vision_model(pixels).last_hidden_state
    ids, logits = [config.bos_token_id], []
    while len(ids) < MAX_LENGTH and ids[-1] != config.sep_token_id:
        step = model.text_decoder(torch.tensor([ids]), encoder_hidden_states=encoded, use_cache=False).logits[0, -1]
        logits.append(step)
        ids.append(int(step.argmax()))
    return encoded[0], ids, torch.stack(logits)


def check_generate(model, pixels, ids, logits):
    out = model.generate(
        pixels, max_length=MAX_LENGTH, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    assert out.sequences[0].tolist() == ids, f"generate returned {out.sequences[0].tolist()}, the loop without a cache {ids}"
    torch.testing.assert_close(torch.cat(out.logits), logits, rtol=1e-4, atol=1e-4)


def margin(logits):
    best = logits.topk(2).values
    return float((best[:, 0] - best[:, 1]).min())


def is_varied(ids, logits):
    """Returns whether a caption has varied tokens, none of which depends on nearly equal logits."""
    return len(set(ids)) >= 7 and margin(logits) > MARGIN


def is_discriminating(captions, sep):
    """Returns whether the captions (ids and logits) are varied and distinct, and some but not all end before the maximum length."""
    ended = [ids[-1] == sep for ids, _ in captions]
    distinct = {tuple(ids) for ids, _ in captions}
    return (
        all(is_varied(*caption) for caption in captions)
        and len(distinct) == len(captions)
        and any(ended)
        and not all(ended)
    )


def find_seed(spec):
    inputs = [pixel_values(image, spec.image) for image in test_images(spec.image)]
    for seed in count(1):
        model = random_model(spec, seed)
        captions = []
        for pixels in inputs:
            _, ids, logits = greedy(model, pixels)
            captions.append((ids, logits))
            if not is_varied(ids, logits):
                break
        else:
            if is_discriminating(captions, model.config.text_config.sep_token_id):
                return seed


def rounded(tensor):
    """Returns the tensor as nested lists of numbers with seven significant digits."""
    return [rounded(row) if row.dim() else float(f"{row:.7g}") for row in tensor]


def rgb(image):
    height, width, _ = image.shape
    return {"width": width, "height": height, "rgb": base64.b64encode(image.tobytes()).decode()}


def reference_of(folder, images):
    """Returns the output of the model in `folder` for images of its input size, computed in float32 for any dtype of the file."""
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    rows = []
    for image in images:
        pixels = pixel_values(image, model.config.vision_config.image_size)
        encoded, ids, logits = greedy(model, pixels)
        check_generate(model, pixels, ids, logits)
        caption = tokenizer.decode(ids, skip_special_tokens=True)
        rows.append(rgb(image) | {"ids": ids, "caption": caption, "logits": logits, "encoded": encoded})
    return rows


def write_reference(folder, rows, **more):
    reference = {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "image_mean": BlipImageProcessorPil.image_mean,
        "image_std": BlipImageProcessorPil.image_std,
        "max_length": MAX_LENGTH,
        **more,
        "pictures": [
            {key: rounded(value) if isinstance(value, torch.Tensor) else value for key, value in row.items()}
            for row in rows
        ],
    }
    (folder / "reference.json").write_text(json.dumps(reference, separators=(",", ":")) + "\n")


def create_model(spec, out, search):
    folder = out / spec.name
    seed = find_seed(spec) if search else spec.seed
    save_model(spec, random_model(spec, seed), folder)
    rows = reference_of(folder, test_images(spec.image))
    captions = [(row["ids"], row["logits"]) for row in rows]
    assert is_discriminating(captions, spec.vocabulary.index("[SEP]")), f"{spec.name}: the captions do not detect errors; run with --search to find another seed"
    write_reference(folder, rows, seed=seed)
    size = (folder / "model.safetensors").stat().st_size
    print(f"{spec.name}: seed {seed}, {size} bytes", flush=True)
    for row in rows:
        print(f"    {len(row['ids'])} ids, margin {margin(row['logits']):.4f}: {row['caption']}")


def write_preprocess(out):
    """Writes images that are not square, and the input of the model for them (3 planes of size x size)."""
    random = np.random.default_rng(1)
    rows = []
    for width, height, size in (50, 37, 32), (13, 20, 16):
        y, x = np.mgrid[:height, :width]
        waves = np.stack([np.sin(x / 5) + np.cos(y / 3), np.sin((x + y) / 4), (x > width / 2) * 2.0 - 1], axis=2)
        image = (127 + 60 * waves + random.integers(-7, 8, waves.shape)).clip(0, 255).astype(np.uint8)
        rows.append(rgb(image) | {"size": size, "pixel_values": pixel_values(image, size)[0].flatten()})
    reference = [row | {"pixel_values": rounded(row["pixel_values"])} for row in rows]
    (out / "preprocess.json").write_text(json.dumps(reference, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--search", action="store_true", help="search for seeds instead of using those of the script")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for spec in SPECS:
        create_model(spec, arguments.out, arguments.search)
    write_preprocess(arguments.out)


if __name__ == "__main__":
    main()
