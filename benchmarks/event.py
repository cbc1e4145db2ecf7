"""Make a trace of visitors at an event: who asks when, about which sound, for how many tokens.

.venv/bin/python -m benchmarks.event

Writes benchmarks/traces/event.jsonl. It is drawn from the shape below with a fixed seed, not recorded: it
holds nobody's visit. A real one can be replayed in its place (`benchmarks.balance --trace FILE`): a first
line with a `note`, then one JSON array a request: `arrival_s`, `owner`, `clip` (a hash), `audio_s`, `tokens`.

The shape: people come one by one, and after each presentation a crowd at once. All click samples, some of
them far more often than others, and ask what is suggested or, three times in ten, a question of their own.
Every other one then records something, has it written down, and asks one to four questions about it. What was
asked about a sample word for word before is left out, since the controller's cache answers it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from benchmarks.report import RESULTS

FILE = RESULTS.with_name("traces") / "event.jsonl"
COMMAND = ".venv/bin/python -m benchmarks.event"
SEED = 20_250_307
MANIFEST = RESULTS.parents[1] / "samples" / "manifest.json"

LENGTH_S = 600.0  # the event's busiest ten minutes
VISITORS = 1_700
CROWDS_S = (150.0, 420.0)  # when a presentation ends
OF_A_CROWD = 0.3  # of all visitors, who come within CROWD_S of one
CROWD_S = 15.0
POPULARITY = 1.1  # Zipf's exponent over the samples
OWN_WORDS = 0.3  # of the questions about samples
RECORDS = 0.5  # of the visitors
THINK_S = 14.0  # between an answer and the next question, beside the time to read it
WORDS_READ = 4.0  # tokens a second
SPOKEN = 3.3  # tokens of transcript a second of speech


@dataclass(frozen=True)
class Request:
    """One request that reaches the balancer."""

    arrival_s: float
    owner: str
    clip: str
    audio_s: float
    tokens: int


@dataclass(frozen=True)
class Sample:
    """A clip of the demo's own, and how many questions about it are suggested."""

    clip: str
    audio_s: float
    prompts: int


def main() -> None:
    """Write the trace."""
    requests = list(visits(random.Random(SEED)))
    note = {"note": f"Drawn, not recorded: {COMMAND}", "fields": list(Request.__dataclass_fields__)}
    lines = [json.dumps(note), *(json.dumps(astuple(one), separators=(",", ":")) for one in requests)]
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(requests)} requests about {len({one.clip for one in requests})} sounds: {FILE}")


def read(file: Path) -> list[Request]:
    """Return a trace's requests."""
    lines = file.read_text("utf-8").splitlines()[1:]
    return [Request(*json.loads(line)) for line in lines]


def visits(draw: random.Random) -> Iterator[Request]:
    """Give the requests of all visitors, in the order in which they come."""
    samples = _samples(draw)
    requests = [one for number in range(VISITORS) for one in _visit(draw, f"v{number}", samples)]
    met: set[tuple[str, str]] = set()
    for request, question in sorted(requests, key=lambda pair: pair[0].arrival_s):
        if 0 <= request.arrival_s < LENGTH_S and (question, request.clip) not in met:
            met |= {(question, request.clip)} if question else set()
            yield request


def _samples(draw: random.Random) -> list[Sample]:
    manifest = json.loads(MANIFEST.read_text("utf-8"))["samples"]
    samples = [Sample(one["sha256"][:8], one["seconds"], len(one["prompts"])) for one in manifest]
    draw.shuffle(samples)
    return samples


def _visit(draw: random.Random, owner: str, samples: list[Sample]) -> Iterator[tuple[Request, str]]:
    """Give one visitor's requests, each with the suggested question's name, or none for own words."""
    now = draw.uniform(-60.0, LENGTH_S)
    if draw.random() < OF_A_CROWD * len(CROWDS_S):
        now = draw.choice(CROWDS_S) + draw.expovariate(1 / CROWD_S)
    popularity = [1 / rank**POPULARITY for rank in range(1, len(samples) + 1)]
    for sample in draw.choices(samples, popularity, k=draw.randint(1, 3)):
        for _ in range(draw.randint(1, 2)):
            question = f"suggested {draw.randrange(sample.prompts)}" if draw.random() > OWN_WORDS else ""
            yield (request := _request(draw, now, owner, sample.clip, sample.audio_s)), question
            now = request.arrival_s + _pause_s(draw, request)
    if draw.random() < RECORDS:
        audio_s = round(min(max(draw.lognormvariate(2.9, 0.6), 2.0), 180.0), 2)  # 18 s in the middle
        clip = hashlib.sha256(f"{owner} {audio_s}".encode()).hexdigest()[:8]
        now += audio_s
        first = Request(round(now, 2), owner, clip, audio_s, max(4, int(SPOKEN * audio_s)))
        yield first, ""
        now += _pause_s(draw, first)
        for _ in range(draw.randint(1, 4)):
            yield (request := _request(draw, now, owner, clip, audio_s)), ""
            now += _pause_s(draw, request)


def _request(draw: random.Random, now: float, owner: str, clip: str, audio_s: float) -> Request:
    tokens = draw.choice((draw.randint(8, 60), draw.randint(50, 160)))  # an answer, or a summary
    return Request(round(now, 2), owner, clip, audio_s, tokens)


def _pause_s(draw: random.Random, request: Request) -> float:
    return request.tokens / WORDS_READ + draw.expovariate(1 / THINK_S)


if __name__ == "__main__":
    main()
