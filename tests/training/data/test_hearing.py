"""Transcripts are compared with what a recogniser hears: from a file, or over the network, which may fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.training.corpus import sentences
from training.data.clips import Clip
from training.data.hearing import Ear, disagreement
from training.data.ledger import Ledger
from training.data.settings import Hearing
from training.errors import ConfigError, DataError

CLIPS = [Clip(f"c{n}", sentence.pcm, sentence.text) for n, sentence in enumerate(sentences()[:3])]


class Endpoint(ThreadingHTTPServer):
    """Answers with what it was given to say, in turn; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says: list[tuple[int, object]] = []
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append({"path": self.path, "key": self.headers.get("authorization", "")})
        assert b"fLaC" in body
        status, answer = self.server.says.pop(0)
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.hearing.PAUSE", 0.0)


def test_a_row_of_which_other_words_are_heard_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "heard.jsonl"
    heard = [{"id": "c0", "text": CLIPS[0].text.upper()}, {"id": "c1", "text": "something else altogether"}]
    file.write_text("".join(json.dumps(entry) + "\n" for entry in heard))
    rows = Ledger()
    kept = list(Ear(Hearing(file=file), tmp_path / "diary").check(CLIPS, rows))
    assert [clip.id for clip in kept] == ["c0", "c2"]
    assert rows.dropped == {"disagrees": 1} and rows.repaired == {"not_heard": 1}
    assert rows.examples["not_heard"] == ["c2"] and "something else" in rows.examples["disagrees"][0]


def test_an_endpoint_is_asked_once_for_each_clip_however_often_the_run_is_killed(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "secret")
    hearing = Hearing(url=endpoint.url, key_variable="KEY", at_once=1)
    endpoint.says = [
        (503, ""),
        (200, "no json"),
        (200, {"text": CLIPS[0].text}),
        (200, {"text": "other words"}),
    ]
    assert len(list(Ear(hearing, tmp_path / "diary").check(CLIPS[:2], Ledger()))) == 1
    assert endpoint.asked[0] == {"path": "/v1/audio/transcriptions", "key": "Bearer secret"}
    with (tmp_path / "diary").open("a") as diary:
        diary.write('{"id": "c2", "te')  # killed within a line
    endpoint.says = [(200, {"text": CLIPS[2].text})]
    assert [clip.id for clip in Ear(hearing, tmp_path / "diary").check(CLIPS, Ledger())] == ["c0", "c2"]
    assert len(endpoint.asked) == 5
    assert len((tmp_path / "diary").read_text().splitlines()) == 3
    assert "secret" not in (tmp_path / "diary").read_text()


def test_an_endpoint_that_stays_silent_or_refuses_stops_the_run_in_words(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.says = [(500, "")] * 2
    with pytest.raises(DataError, match="gave status 500 2 times for c0"):
        list(Ear(Hearing(url=endpoint.url, attempts=2), tmp_path / "diary").check(CLIPS[:1], Ledger()))
    endpoint.says = [(401, "")]
    with pytest.raises(ConfigError, match="refused a clip with status 401"):
        list(Ear(Hearing(url=endpoint.url), tmp_path / "diary").check(CLIPS[:1], Ledger()))
    with pytest.raises(ConfigError, match="environment variable NO_KEY is empty"):
        list(
            Ear(Hearing(url=endpoint.url, key_variable="NO_KEY"), tmp_path / "diary").check(
                CLIPS[:1], Ledger()
            )
        )
    with pytest.raises(DataError, match="gave ConnectError 1 times"):
        list(Ear(Hearing(url="http://127.0.0.1:9/v1", attempts=1), tmp_path / "d").check(CLIPS[:1], Ledger()))


def test_disagreement_is_the_word_error_rate() -> None:
    assert disagreement(list("abcd"), list("axc")) == 0.5
    assert disagreement(["a"], ["a", "b", "c"]) == 2.0
    assert disagreement([], []) == 0.0
