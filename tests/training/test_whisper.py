"""Stage 1: the packaged Whisper is the real one, and a fine-tune learns, resumes and stops as it should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from faster_whisper import WhisperModel

from model.embedded.weights import default_cache, whisper_folder
from tests.speech import ROOT, human_clips
from tests.training import tiny_whisper
from tests.training.tiny import ENVIRONMENT, command, losses, ran, write
from tests.training.tiny_whisper import WHISPER_BASE
from training.config import load
from training.data import schema
from training.errors import CheckpointMismatch, ConfigError, DataError, DivergedError
from training.parts import load_encoder
from training.train_whisper import dry_run, train
from training.turns import UnfitRow
from training.whisper_config import WhisperRun
from training.whisper_examples import Transcripts
from training.whisper_model import load as load_whisper
from training.whisper_model import packaged

LARGE = ROOT / "training/configs/whisper_large_v2.yaml"


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper.random_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper.corpus(tmp_path_factory.mktemp("clips"))


def run_of(folder: Path, *parts: Any, **changes: Any) -> WhisperRun:
    """A run in `folder`/run of the weights and the corpus that `parts` name."""
    values = tiny_whisper.settings(folder / "run", *parts, **changes)
    return load(WhisperRun, write(folder / "run.yaml", values))


def test_the_packaged_whisper_reads_as_faster_whisper_does_with_the_same_weights() -> None:
    whisper = WHISPER_BASE()
    other = WhisperModel(
        str(whisper_folder(default_cache())), device="cpu", compute_type="float32", cpu_threads=1
    )
    for path, _ in human_clips()[1:3]:
        clip, _rate = soundfile.read(path, dtype="float32")
        mel = whisper.extractor(clip, sampling_rate=16_000, return_tensors="pt").input_features
        ids = whisper.model.generate(mel, language="en", task="transcribe", num_beams=1)
        segments, _info = other.transcribe(clip, "en", beam_size=1, temperature=0, without_timestamps=True)
        read = whisper.tokenizer.decode(ids[0], skip_special_tokens=True)
        assert read.strip() == "".join(segment.text for segment in segments).strip()


def test_a_missing_package_or_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"model\.weights: .* cannot be loaded as a Whisper"):
        train(run_of(tmp_path, tmp_path / "nothing", tmp_path))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="Could not write"):
        packaged(blocked / "cache")


def test_dropout_reaches_the_layers(random: Path) -> None:
    for source in (str(random), "packaged:whisper-base"):
        model = load_whisper(source, dropout=0.2).model
        assert {layer.dropout for layer in model.model.encoder.layers} == {0.2}


def test_words_and_the_end_are_scored_and_the_prompt_is_not() -> None:
    tokenizer = WHISPER_BASE().tokenizer
    read, scored = Transcripts(tokenizer, "en", 448).encode("", "Can lah.", 16_000)
    assert tokenizer.decode(read) == "<|startoftranscript|><|en|><|transcribe|><|notimestamps|> Can lah."
    assert tokenizer.decode([label for label in scored if label != -100]) == " Can lah.<|endoftext|>"
    assert len(read) == len(scored)
    # What is written at a place is what is read at the next one.
    assert [label for label in scored if label != -100][:-1] == read[4:]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("  ", "is empty"), ("kopi " * 300, "takes .* tokens"), ("so <|endoftext|>", "control token")],
)
def test_a_transcript_that_cannot_be_learnt_says_why(answer: str, reason: str) -> None:
    with pytest.raises(UnfitRow, match=reason):
        Transcripts(WHISPER_BASE().tokenizer, "en", 448).encode("", answer, 16_000)


def test_an_unknown_language_is_said() -> None:
    with pytest.raises(ConfigError, match=r"knows no language 'singlish'"):
        Transcripts(WHISPER_BASE().tokenizer, "singlish", 448)


def test_rows_that_cannot_be_learnt_are_named_and_counted(random: Path, tmp_path: Path) -> None:
    corpus = tiny_whisper.corpus(tmp_path / "corpus", answers={1: "kopi " * 300})
    run = run_of(tmp_path, random, corpus, schedule={"steps": 2, "warmup": 0}, data={"eval_rows": 5})
    train(run)
    lines = [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]
    assert sum(line.get("left_out", 0) for line in lines) >= 1
    assert "clip-1: its transcript takes" in (run.run / "left_out.jsonl").read_text()
    only_bad = tiny_whisper.corpus(tmp_path / "bad", 1, {0: "kopi " * 300})
    with pytest.raises(DataError, match=r"No transcript of .* can be used"):
        train(run_of(tmp_path / "bad", random, only_bad))


def test_a_run_killed_and_resumed_is_the_unbroken_one(random: Path, clips: Path, tmp_path: Path) -> None:
    longer = {"schedule": {"steps": 9, "warmup": 2}, "every": {"save": 3, "eval": 100}}
    longer["batch"] = {"size": 2, "per_device": 2}
    whole = run_of(tmp_path, random, clips, **longer)
    train(whole)
    (tmp_path / "broken").mkdir()
    broken = run_of(tmp_path / "broken", random, clips, **longer)
    arguments = ("--config", str(tmp_path / "broken/run.yaml"))
    with subprocess.Popen(
        command(*arguments, module="training.train_whisper"),
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        stderr=subprocess.DEVNULL,
    ) as process:
        while not (broken.run / "checkpoint-3/whole.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    with pytest.raises(ConfigError, match="--resume"):
        train(broken)
    train(broken, resume=True)
    assert losses(broken.run) == losses(whole.run)
    other = run_of(tmp_path / "broken", random, clips, **longer, optimiser={"peak_lr": 1e-4})
    with pytest.raises(CheckpointMismatch, match=r"optimiser\.peak_lr was 0\.001 and is 0\.0001"):
        train(other, resume=True)


@pytest.mark.slow
def test_two_processes_learn_as_one_does(random: Path, clips: Path, tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        batch = {"size": 2, "per_device": 2 // processes}
        # With a large eps a step is as large as its gradient; else rounding decides on signs of tiny ones.
        rates = {"peak_lr": 0.1, "eps": 1.0}
        changes = {"schedule": {"steps": 3, "warmup": 0}, "batch": batch, "optimiser": rates}
        run = run_of(folder, random, clips, **changes)
        config = ("--config", str(folder / "run.yaml"))
        done = ran(*config, processes=processes, module="training.train_whisper")
        assert done.returncode == 0, done.stderr[-3_000:]
        found.append(losses(run.run))
    assert found[1] == pytest.approx(found[0], abs=1e-5)


def test_accumulated_batches_learn_as_one_big_batch_does(random: Path, clips: Path, tmp_path: Path) -> None:
    found = []
    for each in (4, 1):
        (tmp_path / str(each)).mkdir()
        run = run_of(
            tmp_path / str(each),
            random,
            clips,
            schedule={"steps": 3, "warmup": 0},
            batch={"per_device": each},
        )
        train(run)
        found.append(losses(run.run))
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_a_loss_that_is_no_number_stops_the_run_by_name(random: Path, clips: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, random, clips, optimiser={"peak_lr": 1e30}, schedule={"steps": 6, "warmup": 0})
    with pytest.raises(DivergedError, match=r"At step 2 .* is no number .*clip-"):
        train(run)


def test_a_dry_run_counts_whisper_large_without_weights_or_data() -> None:
    found = dry_run(load(WhisperRun, LARGE))
    positions = 1_500 * 1_280
    # 32 layers of attention (keys have no bias) and MLP, two norms each; two convolutions; a last norm.
    layer = 4 * 1_280**2 + 3 * 1_280 + 2 * 1_280 * 5_120 + 5_120 + 1_280 + 4 * 1_280
    convolutions = 3 * 80 * 1_280 + 3 * 1_280**2 + 2 * 1_280
    encoder = 32 * layer + convolutions + 2 * 1_280
    assert found["parameters"]["trainable"]["encoder"] == encoder
    assert found["parameters"]["frozen"] == {"encoder": positions, "decoder": 0, "total": positions}
    assert encoder + positions == 636_784_640
    assert found["samples"] == 256 * 40_000


@pytest.mark.slow
def test_the_real_whisper_learns_and_stage_2_takes_its_encoder(tmp_path: Path) -> None:
    said = {1: "Laksa satu, satay dua lah."}  # which is not what the clip says
    corpus = tiny_whisper.corpus(tmp_path / "corpus", 2, said)
    rows = schema.read_shard(corpus / "dev/0.parquet").to_pylist()[1:]
    for split in ("train", "dev"):
        schema.write_shard(corpus / split / "0.parquet", rows)
    run = run_of(
        tmp_path,
        "packaged:whisper-base",
        corpus,
        schedule={"steps": 5, "warmup": 0},
        batch={"size": 1, "per_device": 1},
        optimiser={"peak_lr": 1e-4},
        every={"save": 5, "eval": 5},
    )
    folder = train(run)
    found = losses(run.run)
    assert found[5] < 0.5 * found[1]
    lines = [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]
    before, after = [line["eval_wer"] for line in lines if "eval_wer" in line]
    assert json.loads((folder / "wer.json").read_text())["wer"] == min(before, after)
    assert after < before
    encoder = load_encoder(str(folder)).model
    first = packaged().model.model.encoder
    changed = (encoder.layers[0].fc1.weight - first.layers[0].fc1.weight).abs().max().item()
    assert 0 < changed < 1e-2
    assert torch.equal(encoder.embed_positions.weight, first.embed_positions.weight)
