"""A recording that is written down with times, while it is read, apart from the page's runs."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from tests.backend.fake_engine import Exchange, FakeEngine, sends
from tests.ui.conftest import NAME, tone
from tests.ui.transcripts import (
    BEGIN,
    DONE,
    END,
    LEFT_ALONE_S,
    SEGMENTS,
    WINDOW,
    end,
    progress_at,
    stalls,
    told,
    until,
)
from ui.client import Client, new_http
from ui.local_backend import LocalBackend
from ui.settings import ROOT
from ui.transcript import Progress, Transcript
from ui.transcript_stream import TranscriptStream
from ui.visitor import Visitor
from ui.wire import Heard, ReadUntil, Written


@pytest.fixture
def listen(client: Client) -> Callable[[], Transcript]:
    return lambda: Transcript(lambda: client.transcribe("tiny", tone(3), timeout_s=20), LEFT_ALONE_S)


def test_events_pass_the_controller_as_they_are(controller: LocalBackend, engine: FakeEngine):
    engine.default = sends(*BEGIN, *WINDOW, *END)
    response = httpx.post(
        f"{controller.url()}/v1/audio/transcriptions",
        files={"file": tone(3)},
        data={"model": "tiny", "stream": "true", "response_format": "verbose_json"},
        headers={"x-meralion-visitor": Visitor(NAME, controller.secret).token()},
    )
    assert response.content == b"".join((*BEGIN, *WINDOW, *END))


def test_the_recording_is_sent_whole_with_what_is_wanted_of_it(client: Client, engine: FakeEngine):
    engine.default = sends(*BEGIN, *WINDOW, *END)
    events = list(client.transcribe("tiny", tone(3), "ms", 20))
    assert events == [
        ReadUntil(0, 60),
        Heard("Two "),
        Heard("kopi."),
        SEGMENTS[0],
        ReadUntil(28.4, 60),
        Heard(" One teh."),
        SEGMENTS[1],
        ReadUntil(60, 60),
        Written("Two kopi. One teh."),
    ]
    (sent,) = engine.exchanges
    assert sent.path == "/v1/audio/transcriptions"
    fields = dict(re.findall(rb'name="(\w+)"\r\n\r\n(.*?)\r\n--', sent.body, re.DOTALL))
    assert (fields[b"stream"], fields[b"response_format"]) == (b"true", b"verbose_json")
    assert (fields[b"model"], fields[b"language"]) == (b"tiny", b"ms")
    assert tone(3)[44:] in sent.body


def test_twenty_minutes_are_taken(client: Client, engine: FakeEngine):
    """38 MB, eight times as long as a clip may be that is uploaded."""
    engine.default = sends(*END)
    assert list(client.transcribe("tiny", tone(1200), timeout_s=60))[-1] == Written("Two kopi. One teh.")


def test_it_grows_window_by_window_without_a_page(engine: FakeEngine, client: Client):
    read_on, finish = threading.Event(), threading.Event()

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        for pieces, gate in ((BEGIN, read_on), (WINDOW, finish), (END, None)):
            for piece in pieces:
                await exchange.send(piece)
            if gate:
                await asyncio.to_thread(gate.wait, 10)
        await exchange.end()

    engine.default = behave
    opened = threading.Event()

    def opener() -> TranscriptStream:
        opened.wait(5)
        return client.transcribe("tiny", tone(3), timeout_s=20)

    transcript = Transcript(opener, LEFT_ALONE_S)
    assert transcript.progress == Progress()
    assert (transcript.progress.phase, transcript.progress.share) == ("waiting", 0)
    opened.set()
    begun = until(transcript, lambda progress: bool(progress.text))
    assert (begun.phase, begun.text, begun.read_until, begun.seconds) == ("reading", "Two ", 0, 60)
    read_on.set()
    half = until(transcript, lambda progress: progress.read_until > 0)
    assert (half.phase, half.text, half.segments) == ("reading", "Two kopi.", SEGMENTS[:1])
    assert half.share == pytest.approx(28.4 / 60)
    finish.set()
    whole = end(transcript)
    assert (whole.phase, whole.text, whole.segments, whole.error) == (
        "done",
        "Two kopi. One teh.",
        SEGMENTS,
        None,
    )
    assert (whole.read_until, whole.seconds, whole.share) == (60, 60, 1)


def test_silence_is_done_without_a_word(listen: Callable[[], Transcript], engine: FakeEngine):
    engine.default = sends(progress_at(0), progress_at(60), told("transcript.text.done", text=""), DONE)
    progress = end(listen())
    assert (progress.phase, progress.text, progress.segments, progress.share) == ("done", "", (), 1)


def test_stop_keeps_what_came_and_frees_the_engine(listen: Callable[[], Transcript], engine: FakeEngine):
    engine.default = stalls(*BEGIN, *WINDOW)
    transcript = listen()
    until(transcript, lambda progress: progress.read_until > 0)
    begin = time.monotonic()
    transcript.stop()
    assert time.monotonic() - begin < 0.5
    progress = transcript.progress
    assert (progress.phase, progress.segments, progress.error) == ("stopped", SEGMENTS[:1], None)
    assert engine.exchanges[-1].left.wait(5)


def test_stop_before_the_first_word_frees_the_engine(listen: Callable[[], Transcript], engine: FakeEngine):
    engine.default = stalls()
    transcript = listen()
    deadline = time.monotonic() + 10
    while not engine.exchanges and time.monotonic() < deadline:
        time.sleep(0.01)
    assert transcript.progress.phase == "waiting"
    transcript.stop()
    assert engine.exchanges[-1].left.wait(5)
    assert transcript.progress.phase == "stopped"


def test_a_transcript_that_nobody_follows_is_dropped(client: Client, engine: FakeEngine):
    engine.default = stalls(*BEGIN)
    transcript = Transcript(lambda: client.transcribe("tiny", tone(3), timeout_s=60), 0.3)
    deadline = time.monotonic() + 5
    while not transcript.progress.ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert transcript.progress.phase == "stopped"
    assert engine.exchanges[-1].left.wait(5)


def test_events_of_other_kinds_are_passed_over(listen: Callable[[], Transcript], engine: FakeEngine):
    engine.default = sends(
        told("meralion.weather", rain=True), b"data: {}\n\n", b"event: x\n", *BEGIN, *WINDOW, *END
    )
    assert end(listen()).phase == "done"


@pytest.mark.engine
@pytest.mark.slow
def test_two_minutes_by_the_real_engine(environment: pytest.MonkeyPatch):
    """Its length is told before the first words, its sentences with the windows, and their times rise."""
    backend = LocalBackend(ROOT, start_timeout_s=60)
    manifest = json.loads((ROOT / "samples" / "manifest.json").read_text())
    (tour,) = [row for row in manifest["samples"] if row["id"] == "sg-tour"]
    recording = (ROOT / "samples" / tour["file"]).read_bytes()
    try:
        with new_http() as http:
            client = Client(backend.url, Visitor(NAME, backend.secret), http, local=True)
            transcript = Transcript(lambda: ready(client).transcribe("whisper-base-smollm2", recording), 60)
            seen = [transcript.progress]
            while not seen[-1].ended:
                seen.append(transcript.wait(seen[-1].version, 60))
    finally:
        backend.close()
    last = seen[-1]
    assert (last.phase, last.error) == ("done", None)
    assert last.seconds == pytest.approx(tour["seconds"], abs=0.5)
    assert last.read_until == last.seconds
    assert len({progress.read_until for progress in seen}) >= 4  # windows
    assert any(progress.text and not progress.segments for progress in seen)  # words come before sentences
    assert all(progress.seconds for progress in seen if progress.text)
    times = list(itertools.chain.from_iterable((one.start, one.end) for one in last.segments))
    assert times == sorted(times)
    assert " ".join(one.text for one in last.segments).split() == last.text.split()


def ready(client: Client) -> Client:
    """Wait until the engine has loaded its models."""
    deadline = time.monotonic() + 90
    while any(card.state != "up" for card in client.models()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return client
