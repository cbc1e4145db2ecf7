"""More questions about voices: each answer as often as the others, and true."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.speech import ROOT
from training.asking import OPEN, more_questions, voices_of
from training.config import load
from training.data.schema import write_index
from training.data.synthesise.cast import AnyVoice, Cast
from training.data.synthesise.config import Synthesis
from training.data.synthesise.corpus import begin
from training.errors import DataError

CONFIG = ROOT / "training/configs/synthesise_tiny.yaml"
CLIPS = 60


def spoken(corpus: Path) -> tuple[list[dict[str, Any]], dict[str, AnyVoice]]:
    """A corpus of an index alone, and the rows about its clips; every fifth clip is a dialogue."""
    config = load(Synthesis, CONFIG, [f"out={corpus}"])
    begin(config)
    cast = Cast.of(config, "train").voices
    index, rows, alone = [], [], {}
    for number in range(CLIPS):
        id_ = f"synthetic-train-{number:07}"
        speakers = [cast[number % len(cast)], cast[(number + 1) % len(cast)]][: 2 if number % 5 == 0 else 1]
        if len(speakers) == 1:
            alone[id_] = speakers[0]
        said = {"task": "asr", "source": "synthetic", "duration": 2.0}
        index.append(
            {"id": f"{id_}-asr", "split": "train", "audio_sha256": "", "text": "can lah", **said}
            | {"speakers": [voice.name for voice in speakers], "sexes": [voice.sex for voice in speakers]}
            | {"accents": [voice.region for voice in speakers]}
        )
        place = {"shard": 0, "start": number * 150, "kept": 150}
        rows.append({"id": f"{id_}-asr", "instruction": "Write.", "answer": "Can lah.", **said, **place})
    rows.append({**rows[1], "id": "synthetic-train-0000001-gender", "task": "gender"})
    write_index(corpus / "index.parquet", index)
    return rows, alone


def test_each_answer_is_given_as_often_as_the_others_and_is_true(tmp_path: Path) -> None:
    rows, alone = spoken(tmp_path)
    more = more_questions(rows, tmp_path, "train", {"gender": 20, "accent": 1_000}, 1)
    counts = Counter((row["task"], row["answer"]) for row in more)
    assert {counts["gender", f"The speaker is a {sex}."] for sex in ("man", "woman")} == {10}
    assert len({count for (task, _), count in counts.items() if task == "accent"}) == 1
    assert len({row["id"] for row in more}) == len(more)
    by_id = {row["id"].removesuffix("-asr"): row for row in rows}
    for row in more:
        clip = row["id"].removesuffix(f"-{row['task']}")
        assert clip != "synthetic-train-0000001" or row["task"] != "gender"  # that was asked already
        voice = alone[clip]
        if row["task"] == "gender":
            assert row["answer"].endswith("woman.") == (voice.sex == "female")
        else:
            assert voice.region in row["answer"]
        assert [row[name] for name in ("shard", "start", "kept", "duration")] == [
            by_id[clip][name] for name in ("shard", "start", "kept", "duration")
        ]
    openly = [row for row in more if row["instruction"] in OPEN]
    assert 0 < len(openly) < 20
    assert {row["task"] for row in openly} == {"gender"}
    assert more == more_questions(rows, tmp_path, "train", {"gender": 20, "accent": 1_000}, 1)
    assert more_questions(rows, tmp_path, "train", {}, 1) == []


def test_a_clips_voice_is_known_where_one_speaks_alone(tmp_path: Path) -> None:
    _, alone = spoken(tmp_path)
    assert voices_of(tmp_path, "train") == alone
    assert voices_of(tmp_path, "dev") == {}


def test_a_corpus_that_says_nothing_of_its_speakers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no build\.yaml, which says who speaks in it"):
        more_questions([], tmp_path, "train", {"gender": 20}, 1)
