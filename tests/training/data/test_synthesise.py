"""Synthetic speech for real: voices, a build that is killed, and what people's recordings become."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.embedded.speech import VOICES
from training.config import dump, load
from training.data.augment import Augment, Noise, Speed
from training.data.schema import SAMPLE_RATE, decode, read_index, read_shard, shards
from training.data.synthesise import human
from training.data.synthesise.__main__ import main
from training.data.synthesise.build import build, planned
from training.data.synthesise.clips import Stage, made
from training.data.synthesise.config import Clips, Synthesis
from training.data.synthesise.voices import HELD_OUT, Voice, bases, voices, write_styles
from training.errors import ConfigError, DataError


def small(out: Path, **changes: Any) -> Synthesis:
    """Few words and few voices, so that it is done in seconds."""
    kinds = {"phrase": 1.0, "sounds": 1.0}
    return Synthesis(
        out,
        changes.pop("clips", Clips(4, 1, 1)),
        voices=2,
        shard_clips=2,
        kinds=kinds,
        silent=0.3,
        speed=(1.3, 1.4),
        longest_words=12,
        **changes,
    )


def bytes_of(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def rows_of(out: Path, split: str) -> list[dict[str, Any]]:
    return [row for path in shards(out, split) for row in read_shard(path).to_pylist()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "corpus"
    build(small(out, processes=1))
    return out


def test_a_build_is_a_corpus(whole: Path) -> None:
    rows = rows_of(whole, "train")
    assert {name: len(shards(whole, name)) for name in ("train", "dev", "test")} == {
        "train": 2,
        "dev": 1,
        "test": 1,
    }
    index = read_index(whole).to_pylist()
    assert [entry["id"] for entry in index if entry["split"] == "train"] == [row["id"] for row in rows]
    spoken = [row for row in rows if row["task"] == "asr"]
    assert spoken
    for row in spoken:
        sound = decode(row["context"]["bytes"])
        loudest = np.abs(sound).reshape(-1)[: sound.size // 160 * 160].reshape(-1, 160).max(1)
        assert loudest.max() > 0.05
        assert loudest[:8].max() < 0.01  # quiet before the first word
        assert sound.size / SAMPLE_RATE < 30
    report = json.loads((whole / "report.json").read_text())
    assert report["total"]["clips"] == 6
    assert report["splits"]["train"]["rows"] == len(rows)
    assert "| train |" in (whole / "card.md").read_text()
    assert not (whole / "parts").exists()


@pytest.mark.slow
def test_killed_and_run_again_with_other_processes_the_bytes_are_the_same(
    whole: Path, tmp_path: Path
) -> None:
    config = small(tmp_path / "killed", processes=1)
    path = tmp_path / "synthesise.yaml"
    path.write_text(dump(config))
    command = [sys.executable, "-m", "training.data.synthesise", "--config", str(path)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not shards(config.out, "train"):
        assert run.poll() is None
        time.sleep(0.02)
    workers = children(run.pid)
    run.send_signal(signal.SIGKILL)
    run.wait()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert main(["--config", str(path), "--so-far"]) == 0  # what is there can be trained on
    known = {entry["id"] for entry in read_index(config.out).to_pylist()}
    assert known and known < {entry["id"] for entry in read_index(whole).to_pylist()}
    assert main(["--config", str(path), "--set", "processes=2"]) == 0
    assert bytes_of(config.out) == bytes_of(whole)


def test_a_part_can_be_made_alone_and_the_rest_later(whole: Path, tmp_path: Path) -> None:
    config = small(tmp_path / "part", processes=1)
    path = tmp_path / "synthesise.yaml"
    path.write_text(dump(config))
    assert main(["--config", str(path), "--shards", "1-7"]) == 0
    known = {entry["id"] for entry in read_index(config.out).to_pylist()}
    every = {entry["id"] for entry in read_index(whole).to_pylist()}
    first = {row["id"] for row in read_shard(shards(whole, "train")[0]).to_pylist()}
    assert known == every - first
    assert main(["--config", str(path)]) == 0
    assert bytes_of(config.out) == bytes_of(whole)


def test_shards_that_there_are_not_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "synthesise.yaml"
    path.write_text(dump(small(tmp_path / "part")))
    assert main(["--config", str(path), "--shards", "2-9"]) != 0
    assert "No shard of train is among 2 to 9: they are 0 to 1." in capsys.readouterr().err
    for wrong in ("7", "3-1", "a-b"):
        with pytest.raises(SystemExit):
            main(["--config", str(path), "--shards", wrong])
        assert "is not two numbers such as 47-90" in capsys.readouterr().err


def test_a_lost_worker_is_said_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "synthesise.yaml"
    path.write_text(dump(small(tmp_path / "out", processes=1)))
    command = [sys.executable, "-m", "training.data.synthesise", "--config", str(path)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (workers := [child for child in children(run.pid) if b"spawn_main" in command_of(child)]):
        assert run.poll() is None
        time.sleep(0.02)
    os.kill(workers[0], signal.SIGKILL)
    assert run.wait(60) == 1
    assert run.stderr and "Error: A worker was lost" in run.stderr.read()


def command_of(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_finished_build_is_not_made_again(whole: Path) -> None:
    before = bytes_of(whole)
    assert build(small(whole))["made_now_s"] == 0
    assert bytes_of(whole) == before
    with pytest.raises(DataError, match="made by another config"):
        build(small(whole, seed=1))


def test_voices_of_dev_and_test_are_never_blended_into_those_of_train() -> None:
    held_out = {name for names in HELD_OUT.values() for name in names}
    heard = voices("train", 160, 0)
    assert not {name for voice in heard for name, _ in voice.parts} & held_out
    assert len({voice.name for voice in heard}) > 150
    assert [voice.sex for voice in heard].count("female") == 80
    assert {name[1] for voice in heard for name, _ in voice.parts if voice.sex == "male"} == {"m"}
    for split in ("dev", "test"):
        assert [voice.sex for voice in voices(split, 160, 0)].count("male") == 2


def test_stored_styles_are_those_of_the_voice(tmp_path: Path) -> None:
    heart = Voice((("af_heart", 1.0),))
    write_styles(tmp_path, [heart])
    ours, packaged = np.load(tmp_path / f"{heart.name}.npy"), np.load(VOICES / "af_heart.npy")
    assert ours.shape == packaged.shape
    apart = np.linalg.norm((ours - packaged).astype(np.float32), axis=2) / np.linalg.norm(
        packaged.astype(np.float32), axis=2
    )
    assert apart.mean() < 0.01 and apart.max() < 0.03
    assert len(bases()) == 54


def test_a_clip_depends_on_its_number_alone() -> None:
    config = small(Path("none"))
    stage = Stage.of(config, "train")
    assert made(config, "train", 3, stage, None).words == made(config, "train", 3, stage, None).words
    silent = next(
        clip for clip in (made(config, "train", n, stage, None) for n in range(50)) if not clip.words
    )
    assert [row.answer for row in silent.rows] == ["No, nobody is speaking."]
    assert 1 <= silent.pcm.size / SAMPLE_RATE <= 12
    assert np.abs(silent.pcm).max() < 32767


def test_training_clips_are_augmented_and_others_are_not() -> None:
    clean = Synthesis(Path("none"), Clips(1, 1, 1), silent=1.0)
    noisy = replace(clean, augment=Augment(noise=Noise(1.0, (0.0, 0.0)), speed=Speed(1.0, (1.2,))))
    sounds = {
        (split, config is noisy): made(config, split, 0, Stage.of(config, split), None).pcm
        for split in ("train", "dev")
        for config in (clean, noisy)
    }
    assert sounds["train", True].size == sounds["train", False].size
    assert not np.array_equal(sounds["train", True], sounds["train", False])
    np.testing.assert_array_equal(sounds["dev", True], sounds["dev", False])


def test_a_dry_run_speaks_nothing(tmp_path: Path) -> None:
    told = planned(load(Synthesis, Path("training/configs/synthesise_mini.yaml"), [f"out={tmp_path}"]))
    assert 15 < told["hours_about"] < 30
    assert told["distinct_texts_of_100"] > 90
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("kinds.poem=1", "kinds.poem"),
        ("tasks.emotion=1", "tasks.emotion"),
        ("engines={kokoro: 1, robot: 1}", "engines.robot"),
        ("kinds.reading=1", "reading: give"),
        ("late={flite: 10}", "late.flite"),
        ("clips={train: 0, dev: 0, test: 0}", "how many clips"),
        ("speed=[2, 1]", "slowest and the fastest"),
        ("processes=0", "at least 1"),
    ],
)
def test_a_wrong_config_is_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(Synthesis, Path("training/configs/synthesise_mini.yaml"), [override])


@pytest.mark.skipif(
    not human.NOVEL.is_dir() or not human.PROMPTS.is_dir(), reason="needs Debian's recordings"
)
def test_people_s_recordings_become_dev_and_test(tmp_path: Path) -> None:
    figures = human.read_people(tmp_path)
    dev, test = rows_of(tmp_path, "dev"), rows_of(tmp_path, "test")
    assert len(dev) + len(test) == figures["clips"] > 150
    assert {row["source"] for row in dev} == {"asterisk"}
    assert [row["source"] for row in test].count("librivox") == 5
    index = read_index(tmp_path).to_pylist()
    texts = {
        split: {entry["text"] for entry in index if entry["split"] == split} for split in ("dev", "test")
    }
    assert not texts["dev"] & texts["test"]
    young_man = next(row for row in test if row["answer"] == "he was not an ill disposed young man")
    assert 1.5 < young_man["duration"] < 5
    assert not any(set(row["answer"]) & set("0123456789[") for row in dev + test)
    first = bytes_of(tmp_path)
    human.read_people(tmp_path)
    assert bytes_of(tmp_path) == first


def test_missing_recordings_are_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(human, "NOVEL", tmp_path / "none")
    assert main(["--human", str(tmp_path / "out")]) == 1
    assert "apt-get install" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
