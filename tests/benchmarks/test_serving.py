"""The Table 1 bench: against the real embedded engine, and against an endpoint that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.util
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report, serving
from benchmarks.table1.bench import Bench, Plan
from benchmarks.table1.clips import Clips
from benchmarks.table1.document import Run
from benchmarks.table1.endpoint import Endpoint
from benchmarks.table1.figures import Cell, Spread, Timing
from model.audio import SAMPLE_RATE, decode
from tests.backend.fake_engine import (
    Behaviour,
    Exchange,
    FakeEngine,
    breaks_after,
    chunk,
    ends_after,
    refuses,
    says,
    sends,
    stalls_after,
)
from tests.model.conftest import Engine
from tests.speech import CASCADE, ROOT

SMALL = ["--seconds", "0.5", "--concurrency", "1", "--trials", "2", "--tokens", "2", "--seed", "1"]


@dataclass
class Chat:
    """Answers chat requests one after another as the list says, then as the last of it; the rest is 404."""

    behaviours: Sequence[Behaviour]
    bodies: list[dict[str, object]] = field(default_factory=list)
    clips: list[bytes] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: list[int] = field(default_factory=list)  # after each arrival
    metrics: str = ""

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.path == "/metrics" and self.metrics:
            await sends(self.metrics.format(asked=len(self.bodies)).encode(), content_type="text/plain")(
                exchange
            )
            return
        if exchange.path != "/v1/chat/completions":
            await refuses(404)(exchange)
            return
        number = len(self.bodies)
        self.bodies.append(exchange.json)
        self.clips.append(base64.b64decode(exchange.json["messages"][0]["content"][0]["input_audio"]["data"]))
        self.in_flight += 1
        self.most_in_flight.append(self.in_flight)
        try:
            await self.behaviours[min(number, len(self.behaviours) - 1)](exchange)
        finally:
            self.in_flight -= 1


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    started = FakeEngine("tiny")
    yield started
    started.shut_down()


def answering(fake: FakeEngine, *behaviours: Behaviour) -> Chat:
    chat = Chat(behaviours or (says("Good", " morning"),))
    fake.default = chat
    return chat


def run(url: str, plan: Plan, model: str | None = None) -> Run:
    async def whole() -> Run:
        endpoint = Endpoint(url, timeout_s=60)
        done = Run()
        try:
            await endpoint.connect(model)
            await Bench(plan, endpoint).measure(done)
        finally:
            await endpoint.close()
        return done

    return asyncio.run(whole())


def most_at_once(timings: Sequence[Timing]) -> int:
    """How many requests were in flight at the busiest moment, by their own clocks."""
    # Where one ends in the very moment in which another starts, the end counts first.
    moments = sorted([(timing.sent, 1) for timing in timings] + [(timing.done, -1) for timing in timings])
    return int(max(np.cumsum([step for _, step in moments])))


class TestClips:
    @pytest.mark.parametrize("seconds", [0.1, 2, 4.5, 120])
    def test_a_clip_lasts_exactly_as_long_as_it_should(self, seconds: float) -> None:
        heard = decode(Clips(3).wav(seconds, 0, 1, 0))
        assert heard.size == seconds * SAMPLE_RATE
        assert heard.astype(float).std() > 300  # somebody speaks

    def test_no_two_lots_share_a_clip_and_each_comes_again(self) -> None:
        lots = [
            (part, concurrency, trial) for part in (0, 1, 2) for concurrency in (1, 16) for trial in range(9)
        ]
        sounds = [Clips(seed).wav(2, *lot) for seed in (0, 1) for lot in lots]
        assert len(set(sounds)) == len(sounds)
        assert [Clips(1).wav(2, *lot) for lot in lots] == sounds[len(lots) :]


class TestFigures:
    def test_percentiles_are_numpys(self) -> None:
        times = list(np.random.default_rng(0).gamma(2, 0.1, 120))
        spread = Spread.of(times)
        expected = (np.mean(times), *(np.quantile(times, q) for q in (0.5, 0.95, 0.99)))
        assert (spread.mean, spread.p50, spread.p95, spread.p99) == pytest.approx(expected)

    def test_a_cell_of_known_requests(self) -> None:
        slow = Timing(10.0, (11.0, 11.2, 11.6), 11.7, tokens=5, first_tokens=1)  # 4 tokens in 0.6 s
        fast = Timing(10.0, (10.5, 10.7), 10.8, tokens=3, first_tokens=2)  # 1 token in 0.2 s
        one = Timing(12.0, (12.3,), 12.4, tokens=1)
        cell = Cell(30, 2, 3, 5, [slow, fast, one], began=10.0, ended=13.0)
        assert cell.ttft.mean == pytest.approx((1.0 + 0.5 + 0.3) / 3)
        assert cell.itl.mean == pytest.approx((0.15 + 0.2) / 2)
        assert cell.gaps.p50 == pytest.approx(0.2)
        assert cell.gaps.mean == pytest.approx(0.8 / 3)
        assert cell.tokens_per_second == pytest.approx(9 / 3)
        assert cell.cut_short == 2
        assert np.isnan(Cell(30, 1, 1, 5).ttft.mean)


@pytest.mark.engine
def test_figures_of_the_real_engine_agree_with_each_other(engine: Engine) -> None:
    plan = Plan((2, 4), (1, 2), trials=3, tokens=32, seed=7, pairs=1)
    done = run(engine.url, plan, CASCADE)
    assert [(cell.seconds, cell.concurrency) for cell in done.cells] == [(2, 1), (2, 2), (4, 1), (4, 2)]
    assert not done.failed
    for cell in done.cells:
        assert len(cell.timings) == 3
        assert most_at_once(cell.timings) == cell.concurrency
        for timing in cell.timings:
            assert 0.01 < timing.ttft < timing.end_to_end < 30
            assert timing.tokens >= len(timing.chunks) >= 1
            assert sum(timing.gaps) == pytest.approx(timing.chunks[-1] - timing.chunks[0])
        assert cell.began <= min(timing.sent for timing in cell.timings)
        assert cell.ended >= max(timing.done for timing in cell.timings)
        longest = max(timing.end_to_end for timing in cell.timings)
        assert longest <= cell.ended - cell.began <= sum(timing.end_to_end for timing in cell.timings) + 5
        assert cell.ttft.p50 <= cell.ttft.p95 <= cell.ttft.p99
    # The engine keeps a clip's transcript: were a clip of a cell not fresh, it would come at once.
    assert min(timing.ttft for cell in done.cells for timing in cell.timings) > 0.05
    assert [len(asks.first) for asks in done.twice] == [1, 1]


def test_every_request_has_a_clip_of_its_own_and_the_loop_is_closed(fake: FakeEngine) -> None:
    chat = answering(fake, says("a", "b", gap_s=0.05))
    done = run(fake.url, Plan((0.5, 1), (1, 3), trials=7, tokens=2, seed=5))
    probes = 1
    assert len(chat.clips) == probes + 2 * (7 + 1) + 2 * (7 + 3)
    assert len({hashlib.sha256(clip).digest() for clip in chat.clips}) == len(chat.clips)
    assert Counter(decode(clip).size for clip in chat.clips) == {8_000: 19, 16_000: 18}
    assert max(chat.most_in_flight) == 3
    alone = chat.most_in_flight[: probes + 8]
    assert set(alone) == {1}
    assert all(most_at_once(cell.timings) == cell.concurrency for cell in done.cells)
    asked = chat.bodies[-1]
    wanted = {"temperature": 0, "max_tokens": 2, "min_tokens": 2, "ignore_eos": True, "stream": True}
    assert asked | wanted == asked


def test_tokens_are_told_from_chunks(fake: FakeEngine) -> None:
    async def crowded(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        for ids in ([1, 2], [], [3], [4, 5, 6]):  # an id may have no text, and text no id of its own
            event = chunk({"content": ""})
            event["choices"][0]["token_ids"] = ids
            await exchange.event(event)
            await asyncio.sleep(0.03)
        await exchange.event(chunk({}, "length"))
        await exchange.event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 6}})
        await exchange.event("[DONE]")
        await exchange.end()

    answering(fake, crowded)
    timing = run(fake.url, Plan((0.5,), (1,), trials=1, tokens=6, seed=0)).cells[0].timings[0]
    assert (timing.tokens, timing.first_tokens, len(timing.chunks)) == (6, 2, 3)
    assert timing.counted == "its token ids"
    assert timing.itl == pytest.approx((timing.chunks[-1] - timing.chunks[0]) / 4)
    assert timing.chunks[-1] - timing.chunks[0] > 0.08


def test_failures_are_counted_with_their_reasons(
    fake: FakeEngine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    well = says("a", "b")
    error = b'data: {"error": {"message": "engine dead"}}\n\n'
    middle = [refuses(429, "queue full"), refuses(500, "out of memory"), refuses(429, "queue full")]
    broken = [ends_after("a"), breaks_after("a"), sends(error), says(), sends(b"data: {oops\n\n")]
    answering(fake, well, well, *middle, *broken, stalls_after("a"), well)
    words = [*SMALL, "--trials", "10", "--timeout", "2", "--base-url", fake.url]
    assert serving.main(words) == serving.FAILED
    said = capsys.readouterr().out
    assert "| 0.5 s | 1 | 1 of 10 | 9 |" in said
    for reason in (
        "2 x HTTP 429: queue full",
        "1 x HTTP 500: out of memory",
        "1 x the stream broke off before its end",
        "1 x the connection failed (RemoteProtocolError)",
        "1 x the stream ended with an error: engine dead",
        "1 x the answer held no token",
        "1 x the stream holds what is not JSON",
        "1 x no sign of life for too long (ReadTimeout)",
    ):
        assert f"0.5 s, 1 at once: {reason}" in said


def test_a_cell_whose_warm_up_fails_is_not_measured(fake: FakeEngine) -> None:
    chat = answering(fake, says("a", "b"), refuses(400, "at most 30 s"))
    done = run(fake.url, Plan((0.5,), (2,), trials=5, tokens=2, seed=0))
    assert done.cells[0].failures == {"in the warm-up already: HTTP 400: at most 30 s": 5}
    assert len(chat.bodies) == 3


class TestWhatCannotBeMeasured:
    def sentence(self, capsys: pytest.CaptureFixture[str], url: str, *words: str) -> str:
        assert serving.main([*SMALL, "--base-url", url, *words]) == serving.UNUSABLE
        said = capsys.readouterr()
        assert not said.out
        assert said.err.count("\n") == 1
        return said.err

    def test_nothing_there(self, fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
        fake.close()
        assert f"Nothing answers at {fake.url} (ConnectError)." in self.sentence(capsys, f"{fake.url}/v1/")

    def test_no_address(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "Nothing answers at nowhere" in self.sentence(capsys, "nowhere")

    def test_another_server(self, fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
        assert "does not answer as OpenAI's does" in self.sentence(capsys, f"{fake.url}/else")

    def test_wrong_model(self, fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
        fake.models = ("tiny", "large")
        assert "no model 'huge'. It has: tiny, large." in self.sentence(capsys, fake.url, "--model", "huge")
        assert "Choose a model" in self.sentence(capsys, fake.url)

    def test_no_stream(self, fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
        answering(fake, sends(b'{"choices": []}', content_type="application/json"))
        assert "answers in one piece (application/json)" in self.sentence(capsys, fake.url)

    def test_first_request_fails(self, fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
        answering(fake, refuses(500, "out of memory"))
        said = self.sentence(capsys, fake.url)
        assert f"The first request to {fake.url} failed: HTTP 500: out of memory" in said

    def test_no_key(self, fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
        assert "NO_SUCH_KEY is empty" in self.sentence(capsys, fake.url, "--api-key-env", "NO_SUCH_KEY")

    @pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is here")
    def test_transformers_without_torch(self, fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
        assert ".venv-vllm/bin/python" in self.sentence(capsys, fake.url, "--transformers", "folder")


def test_a_server_that_knows_only_openais_fields(
    fake: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    async def strict(exchange: Exchange) -> None:
        unknown = {"ignore_eos", "min_tokens", "return_token_ids"} & set(exchange.json)
        behave = refuses(400, f"Unrecognized: {min(unknown)}") if unknown else says("a")
        await behave(exchange)

    answering(fake, strict)
    assert serving.main([*SMALL, "--base-url", fake.url]) == 0
    said = capsys.readouterr().out
    assert "does not take ignore_eos and min_tokens" in said
    assert "2 of 2 answers were shorter than asked; the shortest had 1 tokens." in said


def test_the_key_is_sent(
    fake: FakeEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_KEY", "a-secret")
    answering(fake)
    assert serving.main([*SMALL, "--base-url", fake.url, "--api-key-env", "BENCH_KEY"]) == 0
    chats = [exchange for exchange in fake.exchanges if exchange.path.endswith("completions")]
    assert {exchange.headers["authorization"] for exchange in chats} == {"bearer a-secret"}
    assert "a-secret" not in capsys.readouterr().out


def test_vllms_cache_counters_are_read(fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    chat = answering(fake)
    chat.metrics = (
        '# TYPE vllm:mm_cache_hits_total counter\nvllm:mm_cache_hits_total{{engine="0"}} {asked}.0\n'
        'vllm:mm_cache_queries_total{{engine="0"}} 1{asked}.0\nvllm:mm_cache_hits_created{{engine="0"}} 1e9\n'
    )
    assert serving.main([*SMALL, "--base-url", fake.url, "--second-ask", "--pairs", "1"]) == 0
    said = capsys.readouterr().out
    # A warm-up and two requests between the first reading and the last; the counters rise by one with each.
    assert "Over all cells vLLM's caches gave 3 of 3 clips and – prompt tokens." in said
    assert re.search(r"\| 0.5 s \| 1 \| [\d.]+ \| [\d.]+ \| [\d.]+ \| 1 of 1 \| 1 of 1 \| – \| – \|", said)
    first, second = chat.bodies[-2:]
    assert chat.clips[-1] == chat.clips[-2]
    assert first["messages"] != second["messages"]


def test_the_paper_stands_beside_and_the_report_is_written(
    fake: FakeEngine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    fake.models = ("/somewhere/else/tiny-model",)
    answering(fake, says("a", "b", gap_s=0.01))
    words = [
        "--seconds",
        "30",
        "--concurrency",
        "16",
        "--trials",
        "1",
        "--tokens",
        "2",
        "--note",
        "On a chip",
    ]
    assert serving.main([*words, "--model", fake.models[0], "--base-url", fake.url, "--write", "kept"]) == 0
    said = (tmp_path / "kept.md").read_text()
    assert said == capsys.readouterr().out.removesuffix("\n")
    assert re.search(r"\| 30 s \| 16 \| [\d.]+ \| 149.9 \| [\d.]+ \| 16.3 \| [\d.]+ \|", said)
    assert re.search(r"--model tiny-model .*--write kept --seed \d+\n", said)
    assert "/somewhere" not in said
    assert "On a chip." in said


def test_ctrl_c_prints_what_there_is(fake: FakeEngine) -> None:
    chat = answering(fake, says("a", "b"), says("a", "b"), says("a", "b"), stalls_after("a"))
    process = subprocess.Popen(
        [sys.executable, "benchmarks/serving.py", *SMALL, "--trials", "9", "--base-url", fake.url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(chat.bodies) < 4 and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert process.returncode == serving.INTERRUPTED
    assert "Stopped before its end" in said
    assert "| 0.5 s | 1 | 1 of 9 | 0 |" in said
    assert "Traceback" not in errors
    assert "left" in errors


def test_wrong_numbers_are_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--trials", "0"], ["--seconds", "-3"], ["--concurrency", "1", "none"], ["--seed", "-1"]):
        with pytest.raises(SystemExit):
            serving.main(words)
    assert "at least 1 is needed" in capsys.readouterr().err
