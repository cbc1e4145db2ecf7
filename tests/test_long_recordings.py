"""Twenty minutes of known clips, written down by the whole system: no word lost or doubled at a cut."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from model.audio import decode, wav_bytes
from model.long_audio.spans import speech_spans
from model.long_audio.windows import cut
from samples.wer import align, errors, words
from tests.speech import CASCADE, SAMPLES, human_clips, sample
from tests.test_system import System, eventually

pytestmark = [pytest.mark.engine, pytest.mark.slow]

RATE = 16_000
LONG = 20 * 60  # s
NAMES = ("sg-delivery", "sg-train", "st-recipe", "st-story", "st-weather")


@dataclass(frozen=True)
class Clip:
    """A recording whose words are known."""

    pcm: NDArray[np.int16]
    truth: str


@dataclass(frozen=True)
class Placed:
    """A clip within the long recording; times in seconds."""

    clip: int
    start: float
    end: float


@dataclass(frozen=True)
class Joined:
    """The long recording."""

    pcm: NDArray[np.int16]
    clips: list[Clip]
    placed: list[Placed]


@pytest.fixture(scope="module")
def joined() -> Joined:
    clips = [Clip(decode(path.read_bytes()), truth) for path, truth in human_clips()]
    clips += [Clip(decode(sample(name)), SAMPLES[name]["transcript"]) for name in NAMES]
    rng = np.random.default_rng(11)
    parts: list[NDArray[np.int16]] = []
    placed: list[Placed] = []
    at = 0
    rounds = (rng.permutation(len(clips)) for _ in itertools.count())
    for index in itertools.chain.from_iterable(rounds):
        if at > LONG * RATE:
            break
        pause = (rng.standard_normal(round(rng.uniform(0.4, 2.5) * RATE)) * 30).astype(np.int16)
        pcm = clips[index].pcm
        start = at + pause.size
        at = start + pcm.size
        parts += [pause, pcm]
        placed.append(Placed(int(index), start / RATE, at / RATE))
    return Joined(np.concatenate(parts), clips, placed)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    started = System()
    yield started
    started.close()


def transcribed(system: System, pcm: NDArray[np.int16]) -> dict[str, Any]:
    """Read by the embedded engine, through the controller, which sends it on by HTTP."""
    reply = httpx.post(
        f"{system.url}/v1/audio/transcriptions",
        files={"file": wav_bytes(pcm)},
        data={
            "model": CASCADE,
            "language": "en",
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word", "segment"],
        },
        timeout=600,
    )
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


@pytest.fixture(scope="module")
def alone(system: System, joined: Joined) -> list[str]:
    """What is heard in each clip when it is sent by itself."""
    return [str(transcribed(system, clip.pcm)["text"]) for clip in joined.clips]


@pytest.fixture(scope="module")
def whole(system: System, joined: Joined) -> dict[str, Any]:
    return transcribed(system, joined.pcm)


def heard(whole: dict[str, Any], start: float, end: float) -> str:
    """The words that begin between two moments."""
    return " ".join(word["word"] for word in whole["words"] if start <= word["start"] < end)


def mistakes(truth: str, text: str) -> int:
    return errors(align(truth, text))[0]


def test_no_window_ends_inside_speech(joined: Joined) -> None:
    windows = list(cut(joined.pcm))
    assert len(windows) > 40
    edges = [edge for window in windows for edge in (window.start, window.end)]
    for place in joined.placed:
        for span in speech_spans(joined.clips[place.clip].pcm):
            # The detector leaves 120 ms around a voice.
            start, end = place.start + span.start + 0.12, place.start + span.end - 0.12
            assert not [edge for edge in edges if start < edge < end]


def test_words_are_as_right_as_in_the_clips_alone(
    joined: Joined, alone: list[str], whole: dict[str, Any]
) -> None:
    truth = " ".join(joined.clips[place.clip].truth for place in joined.placed)
    expected = sum(mistakes(joined.clips[place.clip].truth, alone[place.clip]) for place in joined.placed)
    total = len(words(truth))
    assert mistakes(truth, whole["text"]) / total <= expected / total + 0.01
    assert expected / total < 0.05


def test_no_word_is_lost_or_doubled_where_the_recording_was_cut(
    joined: Joined, alone: list[str], whole: dict[str, Any]
) -> None:
    cuts = [window.end for window in cut(joined.pcm)]
    tried = wrong = 0
    for before, after in itertools.pairwise(joined.placed):
        if not any(before.end - 0.5 <= at <= after.start + 0.5 for at in cuts):
            continue
        tried += 1
        last, first = words(alone[before.clip])[-6:], words(alone[after.clip])[:6]
        pairs = align(" ".join(last + first), heard(whole, before.end - 5, after.start + 5))
        expected = list(itertools.accumulate(truth is not None for truth, _ in pairs))
        near = [pair for pair, count in zip(pairs, expected, strict=True) if abs(count - len(last) - 0.5) < 3]
        assert all(pair[1] is not None for pair in near), near  # none is lost
        assert all(pair[0] is not None for pair in near), near  # none is doubled
        wrong += any(truth != text for truth, text in near)
    assert tried > 15
    assert wrong <= tried // 8


def test_times_rise_within_the_file_and_cover_every_clip(joined: Joined, whole: dict[str, Any]) -> None:
    seconds = joined.pcm.size / RATE
    assert whole["duration"] == pytest.approx(seconds, abs=0.02)
    for kind in ("segments", "words"):
        starts = [item["start"] for item in whole[kind]]
        assert starts == sorted(starts)
        assert all(0 <= item["start"] <= item["end"] <= seconds for item in whole[kind])
    for place in joined.placed:
        # A first word is now and then timed into the pause before it.
        assert any(-1.5 < one["start"] - place.start < 2 for one in whole["segments"]), place
        assert any(-2 < one["end"] - place.end < 1.5 for one in whole["segments"]), place


def test_words_stream_long_before_the_end_and_who_leaves_frees_the_engine(
    system: System, joined: Joined
) -> None:
    with httpx.stream(
        "POST",
        f"{system.url}/v1/audio/transcriptions",
        files={"file": wav_bytes(joined.pcm)},
        data={"model": CASCADE, "stream": "true"},
        timeout=30,  # reading the whole takes longer
    ) as reply:
        events = (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: "))
        first = [event["delta"] for event in itertools.islice(events, 2)]
    assert words("".join(first))
    assert eventually(lambda: is_idle(system.engine_pid()), 10)


def is_idle(pid: int) -> bool:
    """Whether a process does next to nothing for a second."""
    before = cpu_seconds(pid)
    time.sleep(1)
    return cpu_seconds(pid) - before < 0.1


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
