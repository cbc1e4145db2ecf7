"""transformers' own `generate`, one request at a time, on the clips that the endpoint hears too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.table1.endpoint import BenchError
from benchmarks.table1.figures import Timing
from model.audio import Pcm
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor


class _Clock:
    """A streamer that keeps only the times at which tokens reach this process from the device."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._has_prompt = False

    def put(self, _: torch.Tensor) -> None:
        """The prompt first, then every token."""
        if self._has_prompt:
            self.times.append(time.perf_counter())
        self._has_prompt = True

    def end(self) -> None:
        """Nothing is held back."""


class TransformersAlone:
    """A model in this process, on the GPU if there is one."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """`dtype`: auto (the checkpoint's), float32 or bfloat16. Raises BenchError."""
        if not (folder / "config.json").is_file():
            raise BenchError(
                f"There is no checkpoint in {folder}. Give the folder that the endpoint serves, or make one: "
                "python -m model.checkpoints build DIR --layout open --decoder llama --preset base-100m"
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        kind: Any = "auto" if dtype == "auto" else getattr(torch, dtype)
        try:
            self._processor = AudioLLMProcessor.from_pretrained(folder)
            self._model = (
                AudioLLMForConditionalGeneration.from_pretrained(folder, dtype=kind).to(device).eval()
            )
        except (OSError, ValueError) as error:
            raise BenchError(f"transformers cannot load {folder.name}: {error}") from error
        self.device = device
        name = str(self._model.dtype).removeprefix("torch.")
        threads = f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name()
        self.summary = f"transformers in {name} on {device} ({threads})"

    def time(self, pcm: Pcm, question: str, tokens: int) -> Timing:
        """Ask about a clip; the clock runs from the samples on, as the endpoint's does from the WAV."""
        content = [{"type": "audio"}, {"type": "text", "text": question}]
        prompt = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        clock = _Clock()
        sent = time.perf_counter()
        sound = pcm.astype(np.float32) / np.float32(32_768)
        inputs = self._processor(text=prompt, audio=[sound], return_tensors="pt").to(self.device)
        self._model.generate(
            **inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, streamer=clock
        )
        done = time.perf_counter()
        prompt_tokens = int(inputs["input_ids"].shape[1])
        return Timing(sent, tuple(clock.times), done, len(clock.times), prompt_tokens=prompt_tokens)
