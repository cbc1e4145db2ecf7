"""What the real controller is asked in the check: a seeded trace of arrivals, nobody waiting for anybody.

Half of the questions are about new recordings, a quarter follow up on one asked about before, a quarter are
about six of the demo's samples and mostly the same as somebody else's.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass

import numpy as np

from backend.audio import Clip
from benchmarks import event
from benchmarks.capacity.asking import WORDINGS, Sound
from benchmarks.capacity.questions import Question, Visit
from benchmarks.table1.clips import Clips
from model.audio import decode

OWN_S = (5.0, 16.0)
TOKENS = (12, 32)
NEW, FOLLOWS = 0.5, 0.25
SAMPLES, SAMPLE_WORDINGS = 6, 2
FOLLOWS_AFTER_S = (8.0, 60.0)


@dataclass(frozen=True)
class Load:
    """The same questions for the controller and for the simulator."""

    visits: tuple[Visit, ...]
    sounds: dict[str, Sound]  # by the question's clip


def draw(rate: float, seconds: float, seed: int) -> Load:
    """Return a Poisson stream of `rate` questions a second for so long."""
    lot = random.Random(seed)
    clips = Clips(seed)
    sounds: dict[str, Sound] = {}
    visits: list[Visit] = []
    samples = _samples(sounds)
    begun: list[tuple[float, str, str, float]] = []  # when, who, clip, s
    asked: dict[str, int] = {}
    at = 0.0
    while (at := at + lot.expovariate(rate)) < seconds:
        number, tokens, kind = len(visits), lot.randint(*TOKENS), lot.random()
        earlier = [
            one
            for one in begun
            if FOLLOWS_AFTER_S[0] <= at - one[0] <= FOLLOWS_AFTER_S[1] and asked[one[2]] < 4
        ]
        public = False
        if kind < NEW or (kind < NEW + FOLLOWS and not earlier):
            owner, audio_s = f"capacity-visitor-{number:06d}", round(lot.uniform(*OWN_S), 1)
            pcm = clips.pcm(audio_s, number)
            clip = Clip(pcm, public=False).trait
            sounds[clip] = Sound(clips.wav(audio_s, number))
            begun.append((at, owner, clip, audio_s))
            asked[clip] = 1
            words = WORDINGS[0]
        elif kind < NEW + FOLLOWS:
            _, owner, clip, audio_s = lot.choice(earlier)
            words = WORDINGS[asked[clip]]
            asked[clip] += 1
        else:
            owner, public = f"capacity-visitor-{number:06d}", True
            clip, audio_s = lot.choice(samples)
            words = WORDINGS[lot.randrange(SAMPLE_WORDINGS)]
            tokens = TOKENS[1]  # an answer's bound is part of what is asked
        question = Question(clip, audio_s, words, tokens, patience_s=1e6, public=public)
        visits.append(Visit(at, owner, (question,)))
    return Load(tuple(visits), sounds)


def varied(load: Load, spread: float, seed: int) -> list[Visit]:
    """Return its visits with every sound as hard to read as a lot says, the same one always the same."""
    found = []
    for visit in load.visits:
        (question,) = visit.questions
        name = hashlib.sha256(f"{seed} {question.clip}".encode()).digest()
        normal = np.random.default_rng(int.from_bytes(name[:8])).normal()
        factor = float(np.exp(spread * normal - spread**2 / 2))
        found.append(
            Visit(
                visit.at,
                visit.owner,
                (
                    Question(
                        question.clip,
                        question.audio_s,
                        question.words,
                        question.tokens,
                        patience_s=question.patience_s,
                        public=question.public,
                        factor=factor,
                    ),
                ),
            )
        )
    return found


def _samples(sounds: dict[str, Sound]) -> list[tuple[str, float]]:
    """Return the shortest samples by clip and length, and put in how they are sent: as the files they are."""
    manifest = json.loads(event.MANIFEST.read_text("utf-8"))["samples"]
    chosen = sorted(manifest, key=lambda one: one["seconds"])[:SAMPLES]
    found = []
    for one in chosen:
        data = (event.MANIFEST.parent / one["file"]).read_bytes()
        clip = Clip(decode(data), public=True).trait
        sounds[clip] = Sound(data, "mp3")
        found.append((clip, one["seconds"]))
    return found
