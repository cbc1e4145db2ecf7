"""When somebody begins to speak and when the turn is over: people's voices in rooms of several kinds."""

from __future__ import annotations

import wave

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.speech import LIBRIVOX, human_clips
from ui.voice.hearing import find_speech
from ui.voice.levels import FRAME, FRAME_S, RATE, Pcm
from ui.voice.turns import Began, Dropped, Ended, Heard, TurnDetector

WAIT_S = 0.8
LEAD_S, TAIL_S = 2.0, 3.0

Sound = NDArray[np.float64]


def noise(samples: int, kind: str) -> Sound:
    """Noise of root mean square 1: a hiss, a wind or a rumble."""
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(samples))
    pitch = np.maximum(np.arange(len(spectrum)), 20)
    sound = np.fft.irfft(spectrum / pitch ** {"hiss": 0, "wind": 0.5, "rumble": 1}[kind], samples)
    return sound / np.sqrt(np.mean(sound**2))


def heard(pcm: Pcm, detector: TurnDetector | None = None) -> list[tuple[float, Heard]]:
    """What a detector makes of a sound, and when, in seconds."""
    detector = detector or TurnDetector(WAIT_S, 60)
    found = []
    for number in range(len(pcm) // FRAME):
        event = detector.feed(pcm[number * FRAME : (number + 1) * FRAME])
        if event:
            found.append((number * FRAME_S, event))
    return found


def turns(pcm: Pcm) -> list[Ended]:
    return [event for _, event in heard(pcm) if isinstance(event, Ended)]


def to_pcm(sound: Sound) -> Pcm:
    return np.clip(sound, -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def voices() -> list[Sound]:
    if not LIBRIVOX.exists():
        pytest.skip("no human recordings: apt-get install pocketsphinx-testdata")
    found = []
    for path, _ in human_clips():
        with wave.open(str(path)) as file:
            found.append(np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64))
    return found


def in_a_room(voice: Sound, kind: str, snr_db: float) -> Pcm:
    quiet = [np.zeros(int(RATE * seconds)) for seconds in (LEAD_S, TAIL_S)]
    sound = np.concatenate([quiet[0], voice, quiet[1]])
    loudness = np.sqrt(np.mean(voice**2)) / 10 ** (snr_db / 20)
    return to_pcm(sound + noise(len(sound), kind) * loudness)


@pytest.mark.parametrize("snr_db", [40, 20, 10, 5])
@pytest.mark.parametrize("kind", ["hiss", "wind", "rumble"])
def test_a_sentence_in_noise_is_one_turn(voices: list[Sound], kind: str, snr_db: float):
    for voice in voices:
        events = heard(in_a_room(voice, kind, snr_db))
        assert [type(event) for _, event in events] == [Began, Ended]
        (began, _), (ended, turn) = events
        spoken = len(voice) / RATE
        assert isinstance(turn, Ended)
        late = 0.9 if snr_db >= 10 else 1.4  # some readers take a breath; soft first words drown
        assert LEAD_S <= began < LEAD_S + late
        # The last syllable dies away in the noise, but nobody is cut off.
        assert -0.75 < ended - WAIT_S - LEAD_S - spoken < 0.3
        assert len(turn.pcm) / RATE > spoken - late - 0.4
        assert turn.quiet_s == pytest.approx(WAIT_S, abs=0.03)


def test_the_first_syllable_is_kept(voices: list[Sound]):
    for voice in voices:
        (turn,) = turns(in_a_room(voice, "wind", 30))
        loud = np.flatnonzero(np.abs(voice) > 0.1 * np.abs(voice).max())[0] / RATE
        kept = len(turn.pcm) / RATE - (len(voice) / RATE - loud)
        assert kept > 0.1  # of what was before the first loud sample


def test_who_speaks_at_once_is_heard_from_the_beginning(voices: list[Sound]):
    voice = np.concatenate([noise(RATE // 2, "hiss") * 20, voices[0], noise(RATE * 2, "hiss") * 20])
    (turn,) = turns(to_pcm(voice))
    assert len(turn.pcm) / RATE > len(voices[0]) / RATE - 0.7


def test_a_pause_within_a_sentence_ends_no_turn(voices: list[Sound]):
    pause = np.zeros(int(RATE * (WAIT_S - 0.5)))  # the readers' own silence comes on top
    voice = np.concatenate([voices[1], pause, voices[1]])
    assert len(turns(in_a_room(voice, "hiss", 30))) == 1


def test_a_longer_pause_ends_it(voices: list[Sound]):
    voice = np.concatenate([voices[1], np.zeros(RATE * 2), voices[4]])
    assert len(turns(in_a_room(voice, "hiss", 30))) == 2


@pytest.mark.parametrize("kind", ["hiss", "wind", "rumble"])
@pytest.mark.parametrize("level_db", [-80, -50, -30])
def test_noise_is_no_turn(kind: str, level_db: float):
    sound = noise(RATE * 12, kind) * 32768 * 10 ** (level_db / 20)
    assert heard(to_pcm(sound)) == []
    assert find_speech(to_pcm(sound)) is None


def test_silence_is_no_turn():
    assert heard(np.zeros(RATE * 5, np.int16)) == []
    assert find_speech(np.zeros(RATE * 5, np.int16)) is None
    assert find_speech(np.zeros(0, np.int16)) is None


def test_a_machine_that_starts_is_taken_for_noise_within_seconds(voices: list[Sound]):
    sound = noise(RATE * 19, "hiss") * 20
    sound[RATE * 3 :] *= 20
    voice = voices[0] * 2
    sound[RATE * 8 : RATE * 8 + len(voice)] += voice
    events = [event for _, event in heard(to_pcm(sound))]
    assert [type(event) for event in events][:4] == [Began, Dropped, Began, Ended]


def test_a_knock_is_no_turn():
    sound = noise(RATE * 5, "hiss") * 20
    sound[RATE * 2 : RATE * 2 + RATE // 10] *= 300
    assert turns(to_pcm(sound)) == []


def test_a_monologue_is_cut_at_the_longest(voices: list[Sound]):
    monologue = in_a_room(np.concatenate([voices[0], voices[3]] * 2), "hiss", 30)
    detector = TurnDetector(WAIT_S, longest_s=10)
    first = next(event for _, event in heard(monologue, detector) if isinstance(event, Ended))
    assert first.cut
    assert len(first.pcm) / RATE == pytest.approx(10, abs=0.1)


def test_what_is_left_of_the_demos_own_voice_does_not_interrupt_it(voices: list[Sound]):
    faint = in_a_room(voices[0] * 0.02, "hiss", 11)  # an echo that was mostly taken out
    assert any(isinstance(event, Began) for _, event in heard(faint))
    detector = TurnDetector(WAIT_S, 60)
    detector.guarded = True
    assert heard(faint, detector) == []
    detector = TurnDetector(WAIT_S, 60)
    detector.guarded = True
    assert any(isinstance(event, Began) for _, event in heard(in_a_room(voices[0], "hiss", 30), detector))


def test_speech_is_found_in_a_recording(voices: list[Sound]):
    for voice in voices:
        speech = find_speech(in_a_room(voice, "wind", 20))
        assert speech is not None
        assert len(speech.pcm) / RATE == pytest.approx(len(voice) / RATE, abs=0.7)
        assert speech.quiet_s == pytest.approx(TAIL_S, abs=0.6)
