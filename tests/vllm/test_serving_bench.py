"""The part of the Table 1 bench that needs torch: transformers timed alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.table1.clips import Clips
from benchmarks.table1.endpoint import BenchError
from benchmarks.table1.transformers_alone import TransformersAlone


def test_every_token_has_its_time(checkpoint: Callable[..., Path]) -> None:
    alone = TransformersAlone(checkpoint("open", decoder="llama"), "float32")
    timing = alone.time(Clips(0).pcm(31), "Please transcribe this speech.", tokens=9)
    assert timing.tokens == len(timing.chunks) == 9
    assert timing.sent < timing.chunks[0] < timing.chunks[-1] <= timing.done
    assert list(timing.chunks) == sorted(timing.chunks)
    assert timing.prompt_tokens > 2 * 100  # two windows, and the words around them
    # The first token waits for the encoder and the whole prompt, the others only for one step each.
    assert timing.itl is not None
    assert timing.ttft > timing.itl
    assert "float32" in alone.summary


def test_a_checkpoint_that_cannot_be_timed_is_said(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="There is no checkpoint in"):
        TransformersAlone(tmp_path, "auto")
    whole = checkpoint("open", decoder="llama")
    for file in whole.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(BenchError, match="transformers cannot load"):
        TransformersAlone(tmp_path, "auto")
