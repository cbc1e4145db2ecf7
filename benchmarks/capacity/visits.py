"""What visitors do when they are there. Every assumption is a field of `Mix`, with its reason.

Every visitor has a lot of its own, so that a visit is the same whatever serves it and however many come.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmarks import event
from benchmarks.capacity.arrivals import SHAPES
from benchmarks.capacity.profile import ProfileError
from benchmarks.capacity.questions import Question, Visit

_CHOSEN = "chosen; nobody has counted it"
_EVENT = "as benchmarks/event.py, which draws a trace"


def _rises(span: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= span[0] <= span[1]:
        raise ValueError("it must be two numbers, the fewest and the most, neither below 0")
    return span


Span = Annotated[tuple[int, int], AfterValidator(_rises)]
"""The fewest and the most of something, all between equally likely."""


class Mix(BaseModel):
    """Who asks what: assumptions, none of them counted at an event yet."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    press_samples: float = Field(
        default=0.9, ge=0, le=1, description=f"visitors who press samples; {_CHOSEN}"
    )
    samples: Span = Field(default=(1, 3), description=f"samples that one of them presses; {_EVENT}")
    asked_of_sample: Span = Field(default=(1, 2), description=f"questions about each; {_EVENT}")
    own_words: float = Field(
        default=event.OWN_WORDS,
        ge=0,
        le=1,
        description=f"of these, in own words, not those suggested; {_EVENT}",
    )
    popularity: float = Field(
        default=event.POPULARITY,
        ge=0,
        description=f"Zipf's exponent over the samples, the first ones first; {_EVENT}",
    )
    speak: float = Field(
        default=event.RECORDS, ge=0, le=1, description=f"visitors who record something; {_EVENT}"
    )
    asked_of_own: Span = Field(
        default=(1, 4), description=f"questions about it, after having it written down; {_EVENT}"
    )
    own_median_s: float = Field(
        default=18.0,
        gt=0,
        description=f"recordings, the middle one; {_EVENT}; the samples' middle one has 27 s",
    )
    own_sigma: float = Field(
        default=0.6, ge=0, description="their spread, log-normal; of the samples' lengths it is 0.4"
    )
    own_longest_s: float = Field(
        default=120.0, gt=0, description="the longest; the paper's demo takes 2 minutes"
    )
    short_tokens: Span = Field(default=(8, 60), description=f"an answer in a sentence or two; {_EVENT}")
    long_tokens: Span = Field(default=(50, 160), description=f"every other answer: a summary; {_EVENT}")
    spoken_tokens: float = Field(
        default=event.SPOKEN, gt=0, description=f"tokens of a transcript for each second; {_EVENT}"
    )
    think_s: float = Field(
        default=event.THINK_S,
        ge=0,
        description=f"mean time to think of the next question, exponential; {_EVENT}",
    )
    read_tokens: float = Field(
        default=event.WORDS_READ,
        gt=0,
        description=f"tokens of an answer read a second, before thinking; {_EVENT}",
    )
    patience_s: float = Field(
        default=20.0, gt=0, description=f"without a word, after which every other visitor leaves; {_CHOSEN}"
    )
    patience_sigma: float = Field(default=0.5, ge=0, description="its spread, log-normal; " + _CHOSEN)


@dataclass(frozen=True)
class Sample:
    """A clip of the demo's own, and how many tokens the answers to its suggested questions have."""

    clip: str
    audio_s: float
    tasks: tuple[str, ...]


def mix(file: Path | None = None) -> Mix:
    """Return the assumptions, changed by a TOML file if there is one. Raises ProfileError."""
    if file is None:
        return Mix()
    try:
        return Mix.model_validate(tomllib.loads(file.read_text("utf-8")))
    except OSError as error:
        raise ProfileError(f"{file} cannot be read ({error.strerror}). Name a file with --visits.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{file} is not valid TOML: {error}. Mend that line.") from None
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ProfileError(
            f"{file}: {at}: {first['msg']}. The assumptions are listed in {Path(__file__).name}."
        ) from None


def draw(shape: str, visitors: int, seed: int, assumed: Mix, spread: float = 0.0) -> list[Visit]:
    """Return an event's visits in the order of arrival; `spread` is the profile's."""
    at = SHAPES[shape].draw(visitors, np.random.default_rng(seed))
    return [
        Visit(float(moment), f"v{number}", tuple(_questions(f"{seed} {number}", number, assumed, spread)))
        for number, moment in enumerate(at)
    ]


def from_trace(requests: Sequence[event.Request], assumed: Mix) -> list[Visit]:
    """Return a trace's requests, each at its moment whatever became of those before it."""
    met: dict[str, set[str]] = {}
    for one in requests:
        met.setdefault(one.clip, set()).add(one.owner)
    visits = []
    for number, one in enumerate(requests):
        lot = random.Random(f"patience {number}")
        question = Question(
            one.clip,
            one.audio_s,
            f"{number}",  # a trace does not say what was asked: no two are the same
            one.tokens,
            patience_s=_patience_s(lot, assumed),
            public=len(met[one.clip]) > 1,
        )
        visits.append(Visit(one.arrival_s, one.owner, (question,)))
    return visits


def _questions(seed: str, number: int, assumed: Mix, spread: float) -> Iterator[Question]:
    lot = random.Random(seed)
    pause_s = 0.0
    presses = lot.random() < assumed.press_samples
    speaks = lot.random() < assumed.speak
    if presses:
        for sample in lot.choices(
            samples(), cum_weights=_weights(assumed.popularity), k=_of(lot, assumed.samples)
        ):
            for _ in range(_of(lot, assumed.asked_of_sample)):
                suggested = lot.randrange(len(sample.tasks))
                own = lot.random() < assumed.own_words
                task = "own" if own else sample.tasks[suggested]
                tokens = _tokens(
                    lot if own else random.Random(f"{sample.clip} {suggested}"), task, sample.audio_s, assumed
                )
                words = f"{number} {lot.random()}" if own else f"suggested {suggested}"
                yield _question(
                    lot, sample.clip, sample.audio_s, words, tokens, pause_s, assumed, spread, True
                )
                pause_s = tokens / assumed.read_tokens + lot.expovariate(1 / max(assumed.think_s, 1e-9))
    if speaks or not presses:
        audio_s = assumed.own_median_s * lot.lognormvariate(0.0, assumed.own_sigma)
        audio_s = min(max(audio_s, 1.0), assumed.own_longest_s)
        pause_s += audio_s  # it is recorded first
        for turn in range(1 + _of(lot, assumed.asked_of_own)):
            tokens = _tokens(lot, "own" if turn else "transcribe", audio_s, assumed)
            clip = f"own {number}"
            yield _question(lot, clip, audio_s, str(turn), tokens, pause_s, assumed, spread, False)
            pause_s = tokens / assumed.read_tokens + lot.expovariate(1 / max(assumed.think_s, 1e-9))


def _question(
    lot: random.Random,
    clip: str,
    audio_s: float,
    words: str,
    tokens: int,
    pause_s: float,
    assumed: Mix,
    spread: float,
    public: bool,
) -> Question:
    factor = lot.lognormvariate(-(spread**2) / 2, spread) if spread else 1.0
    patience_s = _patience_s(lot, assumed)
    return Question(clip, audio_s, words, tokens, pause_s, patience_s, public, factor)


def _tokens(lot: random.Random, task: str, audio_s: float, assumed: Mix) -> int:
    if task == "transcribe":
        return max(4, round(assumed.spoken_tokens * audio_s))
    if task == "summarise":
        return lot.randint(*assumed.long_tokens)
    if task == "own":
        return lot.randint(*lot.choice((assumed.short_tokens, assumed.long_tokens)))
    return lot.randint(*assumed.short_tokens)


def _patience_s(lot: random.Random, assumed: Mix) -> float:
    return assumed.patience_s * lot.lognormvariate(0.0, assumed.patience_sigma)


def _of(lot: random.Random, span: Span) -> int:
    return lot.randint(*span)


@cache
def samples() -> tuple[Sample, ...]:
    """The demo's samples, in the manifest's order, which is the pages'."""
    manifest = json.loads(event.MANIFEST.read_text("utf-8"))["samples"]
    return tuple(
        Sample(one["sha256"][:8], one["seconds"], tuple(prompt["task"] for prompt in one["prompts"]))
        for one in manifest
    )


@cache
def _weights(exponent: float) -> tuple[float, ...]:
    return tuple(accumulate(1 / rank**exponent for rank in range(1, len(samples()) + 1)))
