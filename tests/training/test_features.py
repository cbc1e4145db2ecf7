"""States of a frozen encoder, computed once: they are the encoder's own, and the folder mends itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.processing import mel_windows
from tests.training import tiny_whisper
from training.data import schema
from training.errors import CheckpointMismatch, DataError
from training.feature_store import Features
from training.features import Encoding, build
from training.mini_config import FeaturesConfig
from training.parts import load_encoder

SPLITS = ("train", "dev")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_whisper.random_whisper(tmp_path_factory.mktemp("whisper")))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips in two shards of train, the first of them asked about twice; the same in one of dev."""
    folder = tiny_whisper.corpus(tmp_path_factory.mktemp("corpus"))
    rows = schema.read_shard(folder / "train/0.parquet").to_pylist()
    again = {**rows[0], "id": "again", "task": "gender", "instruction": "Who?", "answer": "A man."}
    again["context"] = {**again["context"], "path": "again.flac"}
    schema.write_shard(folder / "train/0.parquet", rows[:3])
    schema.write_shard(folder / "train/1.parquet", [*rows[3:], again])
    return folder


def made(corpus: Path, folder: Path, encoder: str, **changes: object) -> dict[str, int]:
    settings = {"workers": 1, "precision": "fp32", "full_every": 10**6, **changes}
    return build(corpus, folder, SPLITS, Encoding(encoder, FeaturesConfig(folder, **settings)))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_states_are_those_that_serving_computes(corpus: Path, encoder: str, tmp_path: Path) -> None:
    report = made(corpus, tmp_path, encoder)
    assert {name: report[name] for name in ("rows", "clips", "encoded")} == {
        "rows": 11,
        "clips": 10,
        "encoded": 10,
    }
    loaded = load_encoder(encoder)
    rows = schema.read_shard(corpus / "train/0.parquet").to_pylist()
    train, dev = Features(tmp_path, "train"), Features(tmp_path, "dev")
    for number, row in enumerate(rows):
        clip = schema.decode(row["context"]["bytes"])
        with torch.inference_mode():
            states = loaded.model.eval().encode(torch.from_numpy(mel_windows(loaded.extractor, clip)))[0]
        kept = train[number]["states"]
        # Those of the sound, 1 s more, and up to 14 for stacks to divide.
        assert 0 <= len(kept) - (clip.size / 320 + 50) < 16
        assert len(kept) % 15 == 0
        assert train[number]["answer"] == row["answer"]
        torch.testing.assert_close(kept, states[: len(kept)], atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(dev[number]["states"], states, atol=2e-3, rtol=2e-3)
    assert torch.equal(train[5]["states"], train[0]["states"])
    assert train[5]["answer"] == "A man."


def test_a_clip_that_cannot_be_decoded_is_named_and_left_out(
    encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tiny_whisper.corpus(tmp_path / "corpus", 2)
    rows = schema.read_shard(corpus / "dev/0.parquet").to_pylist()
    rows[0]["context"]["bytes"] = b"no flac"
    schema.write_shard(corpus / "dev/0.parquet", rows)
    assert made(corpus, tmp_path / "features", encoder)["left_out"] == 1
    assert "Left out: clip-0.flac" in capsys.readouterr().err
    assert [row["id"] for row in Features(tmp_path / "features", "dev")] == ["clip-1"]
    schema.write_shard(corpus / "dev/0.parquet", rows[:1])
    with pytest.raises(DataError, match=r"No clip of .* can be used"):
        made(corpus, tmp_path / "other", encoder)


def test_some_training_clips_are_kept_whole(corpus: Path, encoder: str, tmp_path: Path) -> None:
    made(corpus, tmp_path, encoder, full_every=1)
    assert {len(row["states"]) for row in Features(tmp_path, "train")} == {1_500}


def test_where_windows_are_short_so_are_those_that_are_held_out(
    corpus: Path, encoder: str, tmp_path: Path
) -> None:
    """As they are served."""
    made(corpus, tmp_path, encoder, short=True)
    for row, held_out in zip(Features(tmp_path, "train"), Features(tmp_path, "dev"), strict=False):
        assert torch.equal(row["states"], held_out["states"])


def test_what_is_there_is_kept_and_what_is_broken_is_made_again(
    corpus: Path, encoder: str, tmp_path: Path
) -> None:
    made(corpus, tmp_path, encoder)
    before = content(tmp_path)
    assert made(corpus, tmp_path, encoder)["encoded"] == 0
    (tmp_path / "train-00001.safetensors").unlink()
    (tmp_path / "dev-00000.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match=r"dev-00000\.safetensors is missing or broken"):
        Features(tmp_path, "dev")[0]
    assert made(corpus, tmp_path, encoder, workers=2)["encoded"] == 2 + 5
    assert content(tmp_path) == before


def test_another_encoding_and_a_missing_corpus_are_said(corpus: Path, encoder: str, tmp_path: Path) -> None:
    made(corpus, tmp_path / "features", encoder)
    with pytest.raises(CheckpointMismatch, match="made with another tail, full_every"):
        made(corpus, tmp_path / "features", encoder, tail=10, full_every=2)
    with pytest.raises(DataError, match="has no split train"):
        made(tmp_path, tmp_path / "other", encoder)
    with pytest.raises(DataError, match=r"test.parquet is missing or broken"):
        Features(tmp_path / "features", "test")


def test_a_short_window_hears_nearly_what_a_whole_one_does(corpus: Path, tmp_path: Path) -> None:
    clip = schema.decode(schema.read_shard(corpus / "train/0.parquet")["context"][1]["bytes"].as_py())
    config = FeaturesConfig(tmp_path, short=True, precision="fp32")
    encoder = Encoding("packaged:whisper-base", config).load()
    kept = Encoding("packaged:whisper-base", config).kept(clip.size, "1" * 8, "train")
    whole, short, again = (encoder(clip, states)[:kept].float() for states in (1_500, kept, 1_500))
    assert torch.equal(whole, again)
    assert 0.9 < float(torch.nn.functional.cosine_similarity(whole, short).mean()) < 0.9999


def test_arithmetic_in_bf16_changes_the_states_little(corpus: Path, encoder: str, tmp_path: Path) -> None:
    made(corpus, tmp_path / "fp32", encoder)
    made(corpus, tmp_path / "bf16", encoder, precision="bf16")
    exact, rough = (
        np.concatenate([row["states"].numpy() for row in Features(tmp_path / name, "dev")])
        for name in ("fp32", "bf16")
    )
    cosine = (exact * rough).sum() / np.linalg.norm(exact) / np.linalg.norm(rough)
    assert 0.999 < cosine < 1
