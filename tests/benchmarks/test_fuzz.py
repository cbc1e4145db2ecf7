"""The fuzz run in small: its corpus is what it says, it follows from its seed, and it reaches every depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.fuzzing import corpus, forms, judge
from benchmarks.fuzzing.line import Answer
from benchmarks.fuzzing.message import Framing, Message
from benchmarks.fuzzing.plan import SHARES, Plan
from benchmarks.fuzzing.run import Run
from benchmarks.fuzzing.sounds import AUDIO
from model.audio import AudioError, Limits, decode

REQUESTS, OF_SCHEMA = 500, 120
REFUSED = {
    "float_nan.wav": "audio_invalid_samples",
    "eight_channels.wav": "audio_too_many_channels",
    "rate_655k.wav": "audio_sample_rate",
    "promises_more.wav": "audio_truncated",
    "header_only.wav": "audio_empty",
    "silent.wav": "audio_silent",
    "too_short.wav": "audio_too_short",
    "endless_chunk.wav": "audio_unreadable",
    "endless_tag.mp3": "audio_unreadable",
    "minute_of_silence.flac": "audio_too_long",
    "empty.wav": "audio_empty",
    "words.wav": "audio_not_audio",
    "playlist.m3u8": "audio_not_audio",
    "playlist_of_http.m3u8": "audio_not_audio",
    "list.ffconcat": "audio_not_audio",
    "session.sdp": "audio_not_audio",
    "dash.mpd": "audio_not_audio",
    "picture.gif": "audio_not_audio",
    "html_first.wav": "audio_not_audio",
    "gif_then_mp3.mp3": "audio_not_audio",
    "zip_of_wav.zip": "audio_not_audio",
    "playlist_then_wav.wav": "audio_not_audio",
}
SEEDS = corpus.load()


@pytest.mark.parametrize("name", sorted(AUDIO))
def test_a_recording_of_the_corpus_is_heard_or_refused_as_it_should_be(name: str) -> None:
    code = ""
    try:
        assert decode(SEEDS.audio[name], Limits(max_seconds=10)).size > 1_600
    except AudioError as error:
        code = error.code
    assert code == REFUSED.get(name, "")


def test_the_corpus_is_small_and_as_it_is_made(tmp_path: Path) -> None:
    size = corpus.make(tmp_path)
    assert size < 210_000
    made = corpus.load(tmp_path)
    assert (made.trees, made.forms, made.http) == (SEEDS.trees, SEEDS.forms, SEEDS.http)
    assert made.audio.keys() == SEEDS.audio.keys()
    plain = [name for name, maker in AUDIO.items() if name.endswith(".wav") and "encoded" not in repr(maker)]
    assert all(made.audio[name] == SEEDS.audio[name] for name in plain)


def test_every_form_of_the_corpus_comes_apart_and_together_again() -> None:
    for name, data in SEEDS.forms.items():
        parts = forms.parts_of(data)
        assert parts, name
        if name != "no_end.form":
            assert forms.whole(parts) == data


def test_a_request_follows_from_the_seed_and_its_number() -> None:
    one, same, other = Plan(7, SEEDS), Plan(7, SEEDS), Plan(8, SEEDS)
    assert [one.message(number) for number in range(60)] == [same.message(number) for number in range(60)]
    assert [one.message(number) for number in range(60)] != [other.message(number) for number in range(60)]


@pytest.mark.parametrize(
    ("answer", "framing", "told"),
    [
        (Answer(503, {}, b"{}"), "right", "status 503"),
        (Answer(), "right", "closed without an answer"),
        (Answer(), "broken", ""),
        (Answer(hung=True), "broken", "no answer in 15 s"),
        (
            Answer(400, {b"x-request-id": b"fuzz-1"}, b'{"detail":"no"}'),
            "right",
            "a 400 not in OpenAI's form",
        ),
        (Answer(200, {b"x-request-id": b"fuzz-2"}, b""), "right", "another request's answer"),
        (Answer(400, {}, b"Invalid HTTP request received."), "odd", ""),
    ],
)
def test_what_is_wrong_with_an_answer_is_seen(answer: Answer, framing: Framing, told: str) -> None:
    raw = b"GET / HTTP/1.1\r\nX-Request-Id: fuzz-1\r\n\r\n"
    assert judge.wrong(Message(1, "target", raw, framing), answer) == told


@pytest.mark.timeout(90)
def test_some_hundred_wrong_requests_do_no_harm_and_reach_every_depth(tmp_path: Path) -> None:
    with fuzz.house() as place:
        run = Run(place, tmp_path / "failures")
        run.go(Plan(1, SEEDS), REQUESTS, OF_SCHEMA, seed=1, at_once=6)
        rows = fuzz.rows_of(run, place)
    tally = run.tally
    assert not tally.wrong, rows
    assert not tally.of_status("5")
    assert tally.requests == REQUESTS + OF_SCHEMA
    assert set(tally.statuses) == {*SHARES, "schema"}
    for status in ("200", "400", "404", "405", "413", "415"):
        assert tally.of_status(status), status
    for kind in ("audio", "json", "form", "schema"):
        assert tally.statuses[kind]["200"] > 0.05 * tally.statuses[kind].total()
    heard = {code for code in tally.codes if code.startswith("audio_")}
    assert len(heard) >= 8, heard
    assert place.canary.count == 0
    assert run.is_well
