"""A whole checkpoint from what ships of a small audio LLM and the packaged weights under it: for vLLM.

    python -m model.checkpoints assemble meralion-mini DIR

The weights are those that the embedded engine loads, to the last bit, so both give the same log-probs.
Without torch: `model.serve` does it from the demo's environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.checkpoints import safetensors_headers
from model.checkpoints.inspect import CONFIG, PREPROCESSOR, SINGLE
from model.embedded.weights import WeightsError, sha256_of
from model.layouts import BY_MODEL_TYPE
from model.mini import audio_llm, shipped
from model.mini.audio_llm import Whole
from model.mini.decoder import DecoderSizes
from model.mini.encoder import EncoderSizes
from model.mini.tensors import ModelError

OPEN = BY_MODEL_TYPE["meralion_audiollm"]
LISTED = "assembled.json"  # the other files and their sha256
FORM = 2  # one more when the same parts are written otherwise
LEFT_OVER_S = 3600.0  # a half that is older was left by somebody who was killed
LORA = "text_decoder."  # begins the names of what is merged into the decoder


def assembled(folder: Path, cache: Path, tell: Callable[[Path], None] = lambda _: None) -> Path:
    """The checkpoint of a shipped folder, below `cache`: made once, and anew where it is damaged.

    `tell` is told where before it is made. Raises ModelError and WeightsError as `audio_llm.read` does, and
    WeightsError where the cache cannot be written.
    """
    target = cache / "assembled" / _key(folder)
    if _is_whole(target):
        return target
    tell(target)
    found = audio_llm.read(folder, cache)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target.parent)
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent, ignore_cleanup_errors=True) as half:
            made = Path(half) / "made"
            _write(found, made)
            listed = {path.name: sha256_of(path) for path in sorted(made.iterdir())}
            (made / LISTED).write_text(json.dumps(listed, indent=1), "utf-8")
            _put(made, target, Path(half) / "damaged")
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def assemble(folder: Path, target: Path, cache: Path) -> Path:
    """Write the checkpoint of a shipped folder into `target` and return it. Raises as `assembled`."""
    found = audio_llm.read(folder, cache)
    try:
        _write(found, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def _key(folder: Path) -> str:
    """Names all that a checkpoint is made of: config.json has the hashes of the packaged parts."""
    try:
        parts = [sha256_of(folder / name) for name in (shipped.CONFIG, shipped.WEIGHTS)]
    except OSError as error:
        raise ModelError(
            f"{error.filename} cannot be read: {error.strerror}. Take the folder anew."
        ) from error
    return hashlib.sha256(" ".join([str(FORM), *parts]).encode()).hexdigest()[:16]


def _is_whole(folder: Path) -> bool:
    try:
        listed = json.loads((folder / LISTED).read_bytes())
        return all(sha256_of(folder / name) == sha256 for name, sha256 in listed.items())
    except (OSError, ValueError, AttributeError):
        return False


def _put(made: Path, target: Path, aside: Path) -> None:
    """Rename the checkpoint to its place: nobody sees half of one. Another that was made meanwhile stays."""
    if _is_whole(target):
        return
    if target.exists():
        target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        if not _is_whole(target):
            raise


def _remove_leftovers(folder: Path) -> None:
    for half in folder.glob(".*"):
        with contextlib.suppress(OSError):
            if half.stat().st_mtime < time.time() - LEFT_OVER_S:
                shutil.rmtree(half)


def _write(found: Whole, folder: Path) -> None:
    """Write the folder as `model.checkpoints.writing` does with torch. Raises ModelError, OSError."""
    if found.config.turn != OPEN.turn:
        raise ModelError(
            f"{found.config.title} was taught the turn '{found.config.turn}', and a whole checkpoint of it "
            f"would be read with '{OPEN.turn}'. Serve it with the embedded engine."
        )
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"speech_encoder.{name}": value for name, value in found.parts.encoder.all()}
    tensors |= {name: value for name, value in found.parts.own.all() if not name.startswith(LORA)}
    tensors |= {f"text_decoder.{name}": value for name, value in found.parts.decoder.all()}
    safetensors_headers.write(folder / SINGLE, tensors)
    found.words.save(folder / "tokenizer.json")
    for name, content in _described(found).items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _described(found: Whole) -> dict[str, dict[str, Any]]:
    """The JSON files beside weights and tokenizer, by name."""
    said, sizes, config = found.decoder.metadata, found.sizes, found.config
    words: list[str] = said["tokenizer.ggml.tokens"]
    ids = {
        role: said[f"tokenizer.ggml.{name}_token_id"]
        for role, name in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
    }
    named = {f"{role}_token_id": ids[role] for role in ("bos", "pad")}
    return {
        CONFIG: {
            "architectures": [OPEN.architecture],
            "model_type": OPEN.model_type,
            "speech_config": _speech_config(sizes.encoder),
            "text_config": {**_text_config(sizes.decoder), **named, "eos_token_id": ids["eos"]},
            "speech_adapter": sizes.adapter,
            "speech_mlp_scale_factor": sizes.stack,
            "speech_tail": config.tail,
            "speech_token_index": sizes.speech_token,
            "answers": config.generation.model_dump(mode="json"),
            "dtype": "float32",
        },
        "generation_config.json": {**named, "eos_token_id": list(config.generation.end_tokens)},
        PREPROCESSOR: {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": sizes.encoder.mel_bins,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{f"{role}_token": words[id_] for role, id_ in ids.items()},
            "chat_template": said["tokenizer.chat_template"],
        },
    }


def _speech_config(sizes: EncoderSizes) -> dict[str, Any]:
    return {
        "model_type": "whisper",
        "d_model": sizes.width,
        "encoder_layers": sizes.layers,
        "encoder_attention_heads": sizes.heads,
        "encoder_ffn_dim": sizes.feed_forward,
        "num_mel_bins": sizes.mel_bins,
    }


def _text_config(sizes: DecoderSizes) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head,
        "intermediate_size": sizes.feed_forward,
        "rope_theta": sizes.rope_theta,
        "rms_norm_eps": sizes.eps,
        "max_position_embeddings": sizes.context,
        "tie_word_embeddings": True,
    }


def _unwritable(folder: Path, error: OSError) -> WeightsError:
    return WeightsError(
        f"The whole checkpoint (700 MB) cannot be written to {folder}: {error.strerror or error}. Free some "
        "space, or set XDG_CACHE_HOME to a folder with room."
    )
