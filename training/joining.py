"""Rows about several clips of a corpus, one after another: long speech out of short clips.

A model that has heard sentences alone leaves whole sentences out where it hears ten of them, though CTC
reads those clips as well as short ones: it is the decoder that must learn to go on.
"""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from model.geometry import SAMPLE_RATE, STATE_SAMPLES, states_in

JOINED = ("asr", "sqa")  # tasks: all that is said, and a question about one of the clips
SECONDS = (10.0, 28.0)  # of clips together; a window has 30
STATE_S = STATE_SAMPLES / SAMPLE_RATE
TRIES = 4  # draws that do not fit, until it is enough
PAUSE = 15  # states that are heard after a clip before the next one


def joined_rows(
    rows: Sequence[dict[str, Any]], wanted: Mapping[str, int], tail: int, seed: int
) -> list[dict[str, Any]]:
    """So many rows of each task about clips of `rows`, of which one speaks alone in each.

    Their `parts` are the shard, first state and number of states of each clip; the last keeps `tail` states
    after its sound.
    """
    spoken = [row for row in rows if row["task"] == "asr" and "<" not in row["answer"]]
    alone = {_place(row) for row in spoken}
    asked = {"asr": spoken, "sqa": [row for row in rows if row["task"] == "sqa" and _place(row) in alone]}
    chance = Random(f"joining/{seed}")
    found = []
    for task, count in wanted.items():
        for number in range(count if asked[task] else 0):
            first = chance.choice(asked[task])
            together = _company(first, spoken, chance)
            if task == "asr":
                answer = " ".join(_sentence(row["answer"]) for row in together)
            else:
                chance.shuffle(together)
                answer = first["answer"]
            found.append(
                _joined(together, first | {"id": f"joined-{number:05}-{task}", "answer": answer}, tail)
            )
    return found


def _company(first: dict[str, Any], others: Sequence[dict[str, Any]], chance: Random) -> list[dict[str, Any]]:
    """A row and others after it, until no other that is drawn fits in."""
    longest = chance.uniform(*SECONDS)
    together, seconds, misses = [first], first["duration"], 0
    while misses < TRIES:
        more = chance.choice(others)
        if seconds + 1 + more["duration"] > longest:
            misses += 1
            continue
        together.append(more)
        seconds += more["duration"] + PAUSE * STATE_S
    return together


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


def _sentence(text: str) -> str:
    """A transcript that another may follow."""
    text = text.strip()
    return text if text[-1:] in ".?!" else f"{text}."
