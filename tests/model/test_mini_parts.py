"""The small audio LLM's parts that need no weights: files, functions, and how tokens are chosen."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.mini import gguf_file, shipped
from model.mini.choice import Choice
from model.mini.decoder import Cache, DecoderSizes
from model.mini.functional import gelu, log_softmax, silu, softmax
from model.mini.gguf_file import Llama
from model.mini.heads import Heads
from model.mini.no_repeat import NoRepeat
from model.mini.shipped import Lora, Merged
from model.mini.stops import Stops
from model.mini.tensors import ModelError, Tensors, read_safetensors
from tests.model.mini import CONFIG, save_safetensors


def test_gelu_is_exact_to_what_float32_holds() -> None:
    x = np.linspace(-12, 12, 200_003, dtype=np.float32)
    exact = np.array([each * 0.5 * math.erfc(-each / math.sqrt(2)) for each in x.tolist()])
    assert np.abs(gelu(x.copy()) - exact).max() < 1e-6
    with pytest.raises(ValueError, match="without gaps"):
        gelu(np.zeros((4, 4), np.float32)[:, :2])


def test_functions_bear_large_numbers() -> None:
    x = np.array([[-1e4, 0, 1e4], [-100, 0, 88]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert np.allclose(silu(x), [[0, 0, 1e4], [0, 0, 88]])
        assert np.allclose(softmax(x.copy()), [[0, 0, 1], [0, 0, 1]])
        assert np.allclose(log_softmax(x)[0], [-2e4, -1e4, 0])


@pytest.mark.parametrize(("kind", "close"), [("F32", 0), ("F16", 1e-3), ("BF16", 1e-2)])
def test_a_safetensors_file_is_read_in_each_precision(tmp_path: Path, kind: str, close: float) -> None:
    values = {"a": np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4), "b.weight": np.float32([7.0])}
    save_safetensors(tmp_path / "x.safetensors", values, kind)
    found = Tensors(read_safetensors(tmp_path / "x.safetensors"), "x")
    assert np.allclose(found.take("a", 3, 4), values["a"], atol=close * 3, rtol=0)
    assert found.below("b.").take("weight", 1) == [7]
    with pytest.raises(ModelError, match=r"x: a has the shape \[3, 4\], not \[4, 3\]"):
        found.take("a", 4, 3)
    with pytest.raises(ModelError, match=r"lacks the tensor b\.bias"):
        found.below("b.").take("bias", 1)


def test_a_file_that_is_not_whole_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_safetensors(path)
    save_safetensors(path, {"a": np.zeros(100, np.float32)}, "F32")
    whole = path.read_bytes()
    for size in (0, 4, 30, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"x\.safetensors"):
            read_safetensors(path)
    path.write_bytes(whole.replace(b'"F32"', b'"I32"'))
    with pytest.raises(ModelError, match="a is int32; one of float32"):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("encoder", {"name": "whisper-base", "sha256": "0" * 64}, "trained over another whisper-base"),
        ("decoder", {"name": "gemma", "sha256": "0" * 64}, "wants the decoder 'gemma'"),
        ("stack", 7, "stack is 7; it must divide 1,500"),
        ("format", 2, "config.json: format"),
        ("adapter", "conformer", "config.json: adapter"),
        ("colour", "red", "config.json: colour: Extra inputs"),
        ("generation", {"end_tokens": []}, "generation.end_tokens"),
        ("generation", {"end_tokens": [2], "no_repeat_ngram": 1}, "take 0 for no guard, or 2 to 64"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_in_words(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    save_safetensors(tmp_path / shipped.WEIGHTS, {}, "F32")
    (tmp_path / shipped.CONFIG).write_text(json.dumps(CONFIG | {key: value}))
    with pytest.raises(ModelError, match=said):
        shipped.read(tmp_path)[0].check_packages()


def test_a_folder_without_a_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        shipped.read(tmp_path)


def test_lora_is_merged_where_it_belongs_and_must_fit() -> None:
    up = "model.layers.0.mlp.up_proj"
    decoder = {f"{up}.weight": np.zeros((3, 2), np.float32), "model.norm.weight": np.ones(2, np.float32)}
    updates = {
        f"{up}.lora_A.weight": np.float32([[1, 2]]),
        f"{up}.lora_B.weight": np.float32([[1], [2], [3]]),
    }
    lora = Lora(rank=1, alpha=0.5, targets=("up_proj",))
    merged = Merged(decoder, lora, Tensors(updates, "x"))
    assert merged[f"{up}.weight"].tolist() == [[0.5, 1], [1, 2], [1.5, 3]]
    assert merged["model.norm.weight"].tolist() == [1, 1] and len(merged) == 2
    wrong = lora.model_copy(update={"rank": 2})
    with pytest.raises(ModelError, match=r"lora_A.weight has the shape \[1, 2\], not \[2, 2\]"):
        Merged(decoder, wrong, Tensors(updates, "x"))[f"{up}.weight"]


def test_a_gguf_file_that_is_not_whole_is_named(tmp_path: Path) -> None:
    def text(words: str) -> bytes:
        return struct.pack("<Q", len(words)) + words.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    pairs = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    tensor = text("output_norm.weight") + struct.pack("<IQIQ", 1, 4, 0, 0)
    whole = head + pairs + tensor
    whole += bytes(-len(whole) % 32) + np.arange(4, dtype=np.float32).tobytes()
    path = tmp_path / "x.gguf"
    path.write_bytes(whole)
    file = gguf_file.read(path)
    assert gguf_file.dense(file, "output_norm.weight").tolist() == [0, 1, 2, 3]
    for size in (3, 20, 40, len(whole) - 40):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"x\.gguf"):
            gguf_file.read(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match="cut short"):
        gguf_file.dense(gguf_file.read(path), "output_norm.weight")
    path.write_bytes(whole.replace(b"llama", b"gemma"))
    with pytest.raises(ModelError, match="a model of the kind 'gemma'"):
        Llama(gguf_file.read(path))


def test_what_has_followed_is_banned() -> None:
    guard = NoRepeat(3, [1, 2, 3, 1, 2])
    assert guard.banned() == {3}
    guard.add(4)
    assert guard.banned() == set()
    for token in (1, 2):
        guard.add(token)
    assert guard.banned() == {3, 4}
    assert NoRepeat(0, [1, 1, 1, 1]).banned() == set()
    assert NoRepeat(3, [1, 2, 3, 1, 2], free=[3]).banned() == set()
    assert NoRepeat(3, [1, 1]).banned() == set()


def test_who_speaks_may_begin_as_before() -> None:
    """A mark is let through, and so is the word after it; what goes on from there is not."""
    mark, said = [1, 2, 3], [7, 8, 9]
    assert NoRepeat(4, mark + said + mark).banned() == {7}
    assert NoRepeat(4, mark + said + mark, free=mark).banned() == set()
    assert NoRepeat(4, mark + said + mark[:2], free=mark).banned() == set()
    assert NoRepeat(4, mark + said + mark + said[:1], free=mark).banned() == {8}


def test_tokens_are_drawn_from_the_likeliest_by_their_shares() -> None:
    logits = np.log(np.float32([0.5, 0.3, 0.15, 0.05])).astype(np.float32)
    assert Choice()(logits) == 0
    choice = Choice(1.0, 0.7, seed=1)
    drawn = [choice(logits) for _ in range(2_000)]
    assert set(drawn) == {0, 1} and 0.58 < drawn.count(0) / 2_000 < 0.67  # 0.5 of 0.8
    again, other = Choice(1.0, 0.7, seed=1), Choice(1.0, 0.7, seed=2)
    assert [again(logits) for _ in range(50)] == drawn[:50] != [other(logits) for _ in range(50)]
    banned = np.where(np.arange(4) == 2, logits, -np.inf).astype(np.float32)
    assert {Choice(1.5, 1.0, seed)(banned) for seed in range(50)} == {2}
    assert {Choice(1.0, 1e-9, seed)(logits) for seed in range(50)} == {0}
    drawn = [Choice(1.0, 1.0, seed) for seed in (-(2**63), -(2**63), 2**63 - 1)]
    first, again, other = ([choice(logits) for _ in range(30)] for choice in drawn)
    assert first == again != other
    unseeded = [[Choice(1.0, 1.0, -1)(logits) for _ in range(30)] for _ in range(2)]
    assert unseeded[0] != unseeded[1]  # as in vLLM, -1 is none
    assert Choice(1e-38)(logits) == Choice(1e-50)(logits) == 0


@pytest.mark.parametrize("cut", [1, 2, 3, 100])
def test_a_stop_text_is_never_shown_however_it_comes(cut: int) -> None:
    answer = "ab a<e <end> more"
    for stop, shown in ((("<end>",), "ab a<e "), (("\n", "zz"), answer), ((), answer), (("b", "ab"), "")):
        stops, found = Stops(stop), ""
        for at in range(0, len(answer), cut):
            found += stops.add(answer[at : at + cut])
            if stops.found:
                break
        assert found + stops.rest() == shown
        assert stops.found == (shown != answer)


def test_beginnings_are_kept_while_there_is_room() -> None:
    sizes = DecoderSizes(layers=1, kv_heads=1, head=2)
    heads = Heads(most_tokens=5)
    for key, length in (("a", 2), ("b", 3), ("c", 6)):
        cache = Cache(sizes, 8)
        cache.length = length
        cache.keys[:], cache.values[:] = length, -length
        heads.keep(key, cache)
    empty = Cache(sizes, 8)
    assert not heads.load("c", empty) and empty.length == 0  # too long to be kept at all
    assert heads.load("a", empty) and empty.length == 2
    assert (empty.keys[0, 0, :2] == 2).all() and (empty.values[0, 0, :2] == -2).all()
    heads.keep("d", empty)
    assert heads.load("a", Cache(sizes, 8)) and not heads.load("b", Cache(sizes, 8))  # a was used since
