"""Rows about several clips of a corpus, one after another: long speech out of short clips.

A model that has heard sentences alone leaves whole sentences out where it hears ten of them, though CTC
reads those clips as well as short ones: it is the decoder that must learn to go on. The encoder has no part
in it: the states are those of each clip alone, while in serving it hears all of a window.
"""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from random import Random
from types import MappingProxyType
from typing import Any

from model.geometry import SAMPLE_RATE, STATE_SAMPLES, states_in
from training.asking import clip_of
from training.data.synthesise.texts.templates import sentence
from training.errors import DataError

JOINED = ("asr", "sqa")  # tasks: all that is said, and a question about one of the clips
SECONDS = (10.0, 28.0)  # of clips together; a window has 30
STATE_S = STATE_SAMPLES / SAMPLE_RATE
TRIES = 4  # draws that do not fit, until it is enough
MOST_DRAWS = 1_000  # of first clips, until one has company
PAUSE = 15  # states that are heard after a clip before the next one
CONVERSATIONS = 0.3  # of joined transcripts, where voices are known
LONGEST_TURN = 8.0  # s


def joined_rows(
    rows: Sequence[dict[str, Any]],
    wanted: Mapping[str, int],
    tail: int,
    seed: int,
    voices: Mapping[str, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """So many rows of each task about several clips of `rows`, of which one speaks alone in each.

    Where `voices` says by the clips' ids who speaks, some transcripts are of two who take turns. The `parts`
    of a row are the shard, first state and number of states of each clip; the last keeps `tail` states after
    its sound. Raises DataError where no two clips fit together.
    """
    spoken = [row for row in rows if row["task"] == "asr" and "<" not in row["answer"]]
    alone = {_place(row) for row in spoken}
    questions = [row for row in rows if row["task"] == "sqa"]
    about = {_place(row) for row in questions}
    # A question is answered by one clip only: there is none about the others.
    asked = {"asr": spoken, "sqa": [row for row in questions if _place(row) in alone]}
    others = {"asr": spoken, "sqa": [row for row in spoken if _place(row) not in about]}
    turns = _turns(spoken, voices)
    chance = Random(f"joining/{seed}")
    found = []
    for task, count in wanted.items():
        for number in range(count):
            talks = task == "asr" and len(turns) > 1 and chance.random() < CONVERSATIONS
            first, together = (
                _conversation(turns, chance) if talks else _company(asked[task], others[task], chance)
            )
            if task == "asr":
                said = [sentence(row["answer"].strip()) for row in together]
                if talks:
                    said = [f"<Speaker{place % 2 + 1}>: {words}" for place, words in enumerate(said)]
                answer = " ".join(said)
            else:
                chance.shuffle(together)
                answer = first["answer"]
            own = {"id": f"joined-{number:05}-{task}", "answer": answer}
            found.append(_joined(together, first | own, tail))
    return found


def _company(
    firsts: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], chance: Random
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A row, and it with others after it, until none that is drawn fits in.

    Raises DataError where no two fit.
    """
    for _ in range(MOST_DRAWS if firsts and others else 0):
        first, longest = chance.choice(firsts), chance.uniform(*SECONDS)
        together, seconds, misses = [first], first["duration"], 0
        while misses < TRIES:
            more = chance.choice(others)
            if seconds + 1 + more["duration"] > longest or _place(more) in map(_place, together):
                misses += 1
                continue
            together.append(more)
            seconds += more["duration"] + PAUSE * STATE_S
        if len(together) > 1:
            return first, together
    raise DataError(
        f"No two clips of this corpus fit into {SECONDS[1]:.0f} s together. Take `join` out of the config."
    )


def _turns(spoken: Sequence[dict[str, Any]], voices: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The short clips of each voice that has several."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in spoken:
        if row["duration"] <= LONGEST_TURN and (voice := voices.get(clip_of(row))):
            found[voice].append(row)
    return {voice: clips for voice, clips in sorted(found.items()) if len(clips) > 1}


def _conversation(
    turns: Mapping[str, Sequence[dict[str, Any]]], chance: Random
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The first of some clips, and all of them: two voices in turn, until there is no more room or word."""
    longest = chance.uniform(*SECONDS)
    one, other = (chance.sample(turns[voice], len(turns[voice])) for voice in chance.sample([*turns], 2))
    together: list[dict[str, Any]] = []
    seconds = 0.0
    for row in chain.from_iterable(zip(one, other, strict=False)):
        if len(together) > 1 and seconds + 1 + row["duration"] > longest:
            break
        together.append(row)
        seconds += row["duration"] + PAUSE * STATE_S
    return together[0], together


def _joined(together: Sequence[dict[str, Any]], row: dict[str, Any], tail: int) -> dict[str, Any]:
    """`row` about clips one after another."""
    *before, last = together
    parts = [(*_place(each), _states(each, PAUSE)) for each in before]
    duration = sum(count for *_, count in parts) * STATE_S + last["duration"]
    parts.append((*_place(last), _states(last, tail)))
    return row | {"parts": parts, "kept": sum(count for *_, count in parts), "duration": duration}


def _states(row: Mapping[str, Any], after: int) -> int:
    """How many states a clip and `after` more take."""
    return int(min(row["kept"], states_in(round(row["duration"] * SAMPLE_RATE), after)))


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["shard"], row["start"]
