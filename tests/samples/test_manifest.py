"""The committed clips are what the manifest says, and the manifest is what a page and a judge need."""

import hashlib
import io
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import av
import pytest

from samples.scripts import CLIPS, FOLDER, MANIFEST, TASKS, read
from samples.wer import words

SAMPLES: list[dict[str, Any]] = json.loads(MANIFEST.read_text(encoding="utf-8"))["samples"]
each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["id"])


def holds(text: str, phrase: str) -> bool:
    """Whether the words of the phrase stand in the text, in order and side by side."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def test_there_are_enough_of_each_group() -> None:
    groups = Counter(sample["group"] for sample in SAMPLES)
    assert set(groups) == {"standard", "singapore", "singlish"}
    assert min(groups.values()) >= 6
    assert len(SAMPLES) >= 20
    assert len({sample["id"] for sample in SAMPLES}) == len(SAMPLES)


def test_there_are_dialogues_and_long_clips() -> None:
    assert sum(sample["speakers"] == 2 for sample in SAMPLES) >= 4
    assert any(55 <= sample["seconds"] <= 70 for sample in SAMPLES)
    assert any(110 <= sample["seconds"] <= 130 for sample in SAMPLES)


def test_clips_are_small_and_none_is_a_stray() -> None:
    files = {path.relative_to(FOLDER).as_posix(): path.stat().st_size for path in CLIPS.iterdir()}
    assert set(files) == {sample["file"] for sample in SAMPLES}
    assert sum(files.values()) < 8_000_000


def test_the_manifest_says_that_the_voices_are_synthetic() -> None:
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    assert manifest["version"] == 1
    assert manifest["synthetic"] is True
    assert manifest["note"].startswith("Synthetic speech")
    assert all(sample["synthetic"] and sample["made_with"].startswith("Kokoro") for sample in SAMPLES)


def test_clips_are_of_the_committed_texts() -> None:
    scripts = {script.id: script for script in read()}
    assert [sample["id"] for sample in SAMPLES] == list(scripts)
    for sample in SAMPLES:
        assert sample["transcript"] == scripts[sample["id"]].transcript
        assert sample["prompts"] == scripts[sample["id"]].prompts


@each_sample
def test_the_file_is_the_one_in_the_manifest(sample: dict[str, Any]) -> None:
    data = (FOLDER / sample["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == sample["sha256"]
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("mp3float", 24_000, 1)
        seconds = sum(frame.samples for frame in container.decode(stream)) / stream.rate
    assert seconds == pytest.approx(sample["seconds"], abs=0.1)


@each_sample
def test_turns_follow_each_other(sample: dict[str, Any]) -> None:
    turns = sample["turns"]
    assert " ".join(turn["text"] for turn in turns) == sample["transcript"]
    assert len({turn["speaker"] for turn in turns}) == sample["speakers"] == len(sample["voices"])
    times = [time for turn in turns for time in (turn["start"], turn["end"])]
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < sample["seconds"]
    if sample["speakers"] > 1:
        for before, after in pairwise(turns):
            assert 0.24 <= after["start"] - before["end"] <= 0.62


@each_sample
def test_prompts_can_be_asked_and_judged(sample: dict[str, Any]) -> None:
    prompts = sample["prompts"]
    assert 2 <= len(prompts) <= 4
    assert all(prompt["task"] in TASKS and prompt["text"] for prompt in prompts)
    questions = [prompt for prompt in prompts if prompt["task"] == "answer"]
    assert questions
    for prompt in questions:
        assert any(holds(sample["transcript"], answer) for answer in prompt["answers"]), prompt
    if any(prompt["task"] == "summarise" for prompt in prompts):
        assert sample["reference"]
