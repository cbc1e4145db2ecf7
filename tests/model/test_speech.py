"""Speech: the real model speaks, Whisper re-reads, and the bytes are what players expect."""

import io
import itertools
import struct
import threading
from collections.abc import Iterator

import av
import numpy as np
import pytest

from model.audio import decode
from model.embedded.phonemes import Phonemizer
from model.embedded.speech import (
    FIRST_PIECE,
    LONGEST_PIECE,
    SAMPLE_RATE,
    SHORTEST_PIECE,
    Speech,
    UnknownVoice,
    early_pieces,
    pieces,
    trimmed,
    whole_sentences,
)
from model.embedded.speech_formats import MEDIA_TYPES, encode, encode_stream, wav_header
from model.embedded.weights import default_cache, whisper_folder
from samples.wer import align, errors

SENTENCES = [
    "Good morning, and welcome to the demonstration.",
    "The flat on the 11th floor costs $450,000.",
    "Dr Tan will see you at 7:30pm in room 12.",
    "Would you like to reschedule the meeting to Thursday afternoon?",
    "Please turn left at the traffic light, then walk straight for 200 metres.",
]


@pytest.fixture(scope="module")
def speech() -> Speech:
    return Speech.load(threads=1)


def test_pieces_are_cut_at_marks_then_spaces_then_anywhere() -> None:
    marked = "ab cd, " * 100
    assert all(piece.endswith(",") for piece in list(pieces(marked.strip()))[:-1])
    for text in (marked, "abcd " * 200, "x" * 1000):
        cut = list(pieces(text.strip()))
        assert all(0 < len(piece) <= LONGEST_PIECE for piece in cut)
        assert "".join(cut).replace(" ", "") == text.replace(" ", "")


def test_a_long_first_sentence_starts_early() -> None:
    sentence = "wʌn tu θɹi, " * 30
    early = list(early_pieces(sentence.strip()))
    assert SHORTEST_PIECE <= len(early[0]) <= FIRST_PIECE
    assert early[0].endswith(",")
    assert " ".join(early) == sentence.strip()
    assert list(early_pieces("wʌn, tu.")) == ["wʌn, tu."]


def test_a_short_sentence_is_said_with_the_next() -> None:
    assert list(whole_sentences(iter(["jˈɛs.", "ə lˈɔŋəɹ wʌn kˈʌmz hˈɪɹ.", "nˈO."]))) == [
        "jˈɛs. ə lˈɔŋəɹ wʌn kˈʌmz hˈɪɹ.",
        "nˈO.",
    ]
    assert list(whole_sentences(iter(["", ""]))) == []


def test_silence_is_trimmed() -> None:
    sound = np.zeros(SAMPLE_RATE, np.float32)
    sound[10_000:12_000] = 0.5
    assert 2_000 <= trimmed(sound).size < 4_000
    assert trimmed(np.zeros(100, np.float32)).size == 0


def test_wav_header_with_and_without_length() -> None:
    pcm = np.arange(480, dtype=np.int16)
    whole = encode(pcm, "wav")
    assert struct.unpack_from("<I", whole, 4)[0] == len(whole) - 8
    assert struct.unpack_from("<I", wav_header(), 40)[0] == 0xFFFFFFFF
    assert b"".join(encode_stream([pcm], "pcm")) == pcm.tobytes()


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_every_format_plays_back(name: str) -> None:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
    data = b"".join(encode_stream([tone, tone], name))
    if name == "pcm":
        data = wav_header(len(data)) + data
    with av.open(io.BytesIO(data)) as container:
        samples = sum(frame.samples * SAMPLE_RATE // frame.sample_rate for frame in container.decode(audio=0))
    assert samples == pytest.approx(2 * SAMPLE_RATE, rel=0.06)


@pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "flac"])
def test_formats_are_sent_while_speech_is_made(name: str) -> None:
    made = 0

    def sounds() -> Iterator[np.ndarray]:
        nonlocal made
        for _ in range(20):
            made += 1
            yield np.zeros(SAMPLE_RATE, np.int16)

    stream = encode_stream(sounds(), name)
    first = b"".join(itertools.islice(stream, 2))
    assert first
    assert made < 20


def test_an_unknown_format_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="Choose one of: wav"):
        encode_stream([], "au")


@pytest.mark.engine
def test_unknown_voice_and_speed_are_refused_at_once(speech: Speech) -> None:
    with pytest.raises(UnknownVoice, match="Choose one of: af_heart, am_michael"):
        speech.synthesise("Hello", "nobody")
    for speed in (0.1, 9, float("nan")):
        with pytest.raises(ValueError, match="out of range"):
            speech.synthesise("Hello", "af_heart", speed)


@pytest.mark.engine
def test_nothing_to_say_is_no_sound(speech: Speech) -> None:
    assert list(speech.synthesise("😀 你好", "af_heart")) == []


@pytest.mark.engine
def test_sentences_come_one_at_a_time_and_speed_holds(speech: Speech) -> None:
    text = "The first sentence is here. The second sentence follows it."
    parts = list(speech.synthesise(text, "af_heart"))
    assert len(parts) == 2
    assert all(part.dtype == np.int16 and part.ndim == 1 for part in parts)
    slow = sum(part.size for part in parts) / SAMPLE_RATE
    fast = sum(part.size for part in speech.synthesise(text, "af_heart", 1.5)) / SAMPLE_RATE
    assert 2 < fast < slow < 8


@pytest.mark.engine
def test_the_same_text_sounds_the_same(speech: Speech) -> None:
    first, second = ([*speech.synthesise("One kopi, please.", "am_michael")] for _ in range(2))
    assert np.array_equal(np.concatenate(first), np.concatenate(second))


@pytest.mark.engine
def test_two_threads_may_speak_at_once(speech: Speech) -> None:
    alone = np.concatenate([*speech.synthesise("One kopi, please. And one tea.", "af_heart")])
    heard: list[np.ndarray] = []

    def speak() -> None:
        heard.append(np.concatenate([*speech.synthesise("One kopi, please. And one tea.", "af_heart")]))

    threads = [threading.Thread(target=speak) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 2
    assert all(np.array_equal(sound, alone) for sound in heard)


@pytest.mark.engine
def test_a_very_long_sentence_is_said_in_pieces(speech: Speech) -> None:
    stream = speech.synthesise("very " * 5_000, "af_heart", 4.0)
    first = next(stream)
    stream.close()  # leaving stops the rest, which would take minutes
    assert first.size / SAMPLE_RATE < 40
    assert len(Phonemizer()("very " * 5_000)) > 10 * LONGEST_PIECE


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("voice", ["af_heart", "am_michael"])
def test_whisper_understands_what_is_said(speech: Speech, voice: str) -> None:
    from faster_whisper import WhisperModel

    whisper = WhisperModel(
        str(whisper_folder(default_cache())), device="cpu", compute_type="int8", cpu_threads=1
    )
    wrong = total = 0
    for sentence in SENTENCES:
        pcm = decode(encode(np.concatenate([*speech.synthesise(sentence, voice)]), "wav"))
        segments, _ = whisper.transcribe(pcm.astype(np.float32) / 32768, language="en", beam_size=1)
        mistakes, words = errors(align(sentence, " ".join(segment.text for segment in segments)))
        wrong, total = wrong + mistakes, total + words
    assert wrong / total <= 0.06
