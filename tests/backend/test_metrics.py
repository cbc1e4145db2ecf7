"""What Prometheus reads: well-formed, complete, right, and with labels that callers cannot choose."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from backend import metrics
from backend.answer import Done, Token, Usage
from backend.metrics import Metrics
from backend.timing import MISS, Timing
from tests.backend.conftest import Start, question, row, streamed
from tests.backend.fake_engine import FakeEngine, breaks_after, says
from tests.backend.test_models import until_up
from tests.model import clips

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Samples:
    """Every sample by name and labels; the parser refuses what is not well-formed."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples
            samples[key] = sample.value
    return samples


def value(client: httpx.Client, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    found = [
        number
        for (sample, said), number in read(client.get("/metrics").text).items()
        if sample == name and labels.items() <= dict(said).items()
    ]
    assert found, f"no {name} with {labels}"
    return sum(found)


def test_the_readme_names_every_metric(client: httpx.Client) -> None:
    readme = (Path(metrics.__file__).parent / "README.md").read_text("utf-8")
    names = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    ours = {name for name in names if name.startswith("meralion_") and not name.endswith("_created")}
    assert sorted(name for name in ours if f"`{name}`" not in readme) == []


def test_answers_are_counted_and_clocked(client: httpx.Client, engine: FakeEngine) -> None:
    until_up(client)
    engine.default = says("a", "b", "c", gap_s=0.05)
    for _ in range(3):
        streamed(client, question(temperature=0))
    client.post("/v1/chat/completions", json=question("Another?", temperature=0))
    whole = {"model": "tiny", "whole": "yes"}
    assert value(client, "meralion_answers_total", cache="miss", **whole) == 2
    assert value(client, "meralion_answers_total", cache="hit", **whole) == 2
    assert value(client, "meralion_time_to_first_token_seconds_count", model="tiny", cache="miss") == 2
    assert value(client, "meralion_inter_token_seconds_count", model="tiny", cache="miss") == 2
    assert 0.004 < value(client, "meralion_inter_token_seconds_sum", model="tiny", cache="miss") < 2
    assert value(client, "meralion_answer_tokens_sum", model="tiny", cache="miss") == 6
    assert value(client, "meralion_queue_seconds_count", model="tiny", cache="miss") == 2
    assert value(client, "meralion_cache_hits_total") == 2
    assert value(client, "meralion_instance_asked_total") == 2
    assert value(client, "meralion_instance_state", state="up") == 1
    assert value(client, "meralion_instance_breaker", state="closed") == 1
    assert value(client, "meralion_instance_places") == 16
    assert value(client, "meralion_model_waiting", model="tiny") == 0
    assert value(client, "process_resident_memory_bytes") > 1e7
    route = {"method": "POST", "route": "/v1/chat/completions", "status": "200"}
    assert value(client, "meralion_requests_total", **route) == 4


def test_what_is_heard_and_spoken_is_counted_too(client: httpx.Client) -> None:
    until_up(client)
    wav = clips.plain_wav()
    form = {"model": "tiny"}
    assert client.post("/v1/audio/transcriptions", files={"file": ("a", wav)}, data=form).status_code == 200
    assert client.post("/v1/audio/speech", json={"model": "tiny", "input": "Hi"}).status_code == 200
    assert value(client, "meralion_answers_total", model="tiny", cache="bypass", whole="yes") == 2
    assert value(client, "meralion_audio_seconds_count", model="tiny") == 1
    assert value(client, "meralion_audio_seconds_sum", model="tiny") > 0
    assert value(client, "meralion_decode_seconds_count", model="tiny") == 1


def test_an_answer_that_broke_off_is_not_whole(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), retries=0)
    until_up(client)
    engine.default = breaks_after("a")
    streamed(client, question())
    assert value(client, "meralion_answers_total", model="tiny", whole="no") == 1


def test_no_caller_can_make_a_series(client: httpx.Client, engine: FakeEngine) -> None:
    """Whatever is asked, the labels stay those of routes, models and fixed words."""
    until_up(client)
    engine.default = says("a", "b")

    def words() -> set[str]:
        """What labels say, but for buckets: the times between tokens have them only once some came apart."""
        samples = read(client.get("/metrics").text)
        return {word for _, labels in samples for label, word in labels if label != "le"}

    def ask(name: str) -> None:
        client.get(f"/{name}")
        client.get(f"/v1/files/{name}")
        client.get(f"/v1/models/{name}")
        client.request(name, "/v1/models")
        client.post("/v1/chat/completions", json={**question(), "model": name, name: name})
        client.post("/v1/chat/completions", json=question(), headers={"x-request-id": name})

    ask("durian")
    client.get("/metrics")
    before = words()
    for turn in range(5):
        ask(f"durian{turn}")
    assert words() == before
    assert "durian" not in client.get("/metrics").text.lower()


def test_noting_an_answer_costs_little() -> None:
    ours = Metrics()
    timing = Timing()
    timing.cache = MISS
    timing.saw(Token("a"))
    timing.saw(Token("b"), Done("stop", Usage(1, 2)))
    ours.answer("tiny", timing)
    gc.collect()
    started = time.perf_counter()
    for _ in range(1_000):
        ours.answer("tiny", timing)
        ours.request("POST", "/v1/chat/completions", 200, 0.1)
    assert time.perf_counter() - started < 1.0  # 1 ms each is far more than it takes


def test_two_controllers_in_one_process_count_apart(start: Start, engine: FakeEngine) -> None:
    first, second = start(row([engine.url])), start(row([engine.url]))
    until_up(first)
    until_up(second)
    streamed(first, question())
    assert value(first, "meralion_instance_asked_total") == 1
    assert value(second, "meralion_instance_asked_total") == 0
