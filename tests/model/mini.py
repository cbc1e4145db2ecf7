"""A shipped folder over the packaged weights that was never trained: its adapter is random, its LoRA zero."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.embedded import weights
from model.mini import shipped

STACK, WIDTH, HIDDEN, FEED_FORWARD, LAYERS, RANK = 15, 512, 576, 1_536, 30, 2
CONFIG: dict[str, Any] = {
    "format": 1,
    "title": "Random",
    "encoder": {"name": "whisper-base", "sha256": weights.WHISPER_MODEL.sha256},
    "decoder": {"name": "smollm2-135m-instruct", "sha256": weights.SMOLLM2.sha256},
    "adapter": "mlp",
    "stack": STACK,
    "lora": {"rank": RANK, "alpha": 4, "targets": ["down_proj"]},
    "turn": "context_first",
    "generation": {"end_tokens": [2], "no_repeat_ngram": 6, "most_tokens": 8, "most_tokens_per_second": 1},
    "measured": {"languages": ["en"], "tasks": ["transcribe", "answer"]},
}


def ship(folder: Path) -> Path:
    """Write such a folder."""
    random = np.random.default_rng(0)

    def layer(name: str, inside: int, outside: int) -> dict[str, NDArray[np.float32]]:
        weight = random.standard_normal((outside, inside)) / inside**0.5
        return {f"{name}.weight": weight.astype(np.float32), f"{name}.bias": np.zeros(outside, np.float32)}

    tensors = {"ln_speech.weight": np.ones(WIDTH, np.float32), "ln_speech.bias": np.zeros(WIDTH, np.float32)}
    tensors |= layer("speech_audio_adapter.mlp_adapter.0", STACK * WIDTH, WIDTH)
    tensors |= layer("speech_audio_adapter.speech_llm_proj.0", WIDTH, 4 * WIDTH)
    tensors |= layer("speech_audio_adapter.speech_llm_proj.3", 4 * WIDTH, HIDDEN)
    for number in range(LAYERS):
        name = f"text_decoder.model.layers.{number}.mlp.down_proj"
        tensors[f"{name}.lora_A.weight"] = random.standard_normal((RANK, FEED_FORWARD)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = np.zeros((HIDDEN, RANK), np.float32)
    folder.mkdir(exist_ok=True)
    save_safetensors(folder / shipped.WEIGHTS, tensors, "F16")
    (folder / shipped.CONFIG).write_text(json.dumps(CONFIG))
    return folder


def save_safetensors(path: Path, values: dict[str, NDArray[np.float32]], kind: str) -> None:
    """Write a safetensors file in F32, F16 or BF16."""
    header: dict[str, Any] = {"__metadata__": {"made": "by a test"}}
    body = b""
    for name, value in values.items():
        if kind == "BF16":
            raw = (value.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        else:
            raw = value.astype({"F32": np.float32, "F16": np.float16}[kind]).tobytes()
        header[name] = {
            "dtype": kind,
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + body)
