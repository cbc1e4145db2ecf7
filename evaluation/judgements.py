"""What judges said, a line each in judgements.jsonl: by which judge, with which prompt, on which scale, of
what.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.core import Answer
from evaluation.errors import MetricError, RunError
from evaluation.metrics import judge as ratings

JUDGEMENTS = "judgements.jsonl"


@dataclass(frozen=True)
class Judgement:
    """A judge's word on one answer."""

    id: str
    judge: str  # model at host
    prompt: str  # its hash
    scale: int
    of: str  # the hash of what was judged
    replies: tuple[str, ...] = ()  # raw, in order; the last is the one that counts
    problem: str = ""
    again: bool = False  # the endpoint was at fault, so a later run asks again
    shortened: int = 0  # characters of the answer that the judge did not see

    @property
    def reply(self) -> str:
        """The one that counts."""
        return self.replies[-1] if self.replies else ""

    @property
    def rating(self) -> float | None:
        """On its scale; None where the reply follows no form."""
        return ratings.rating(self.reply, self.scale)

    @property
    def line(self) -> bytes:
        """Of the file, with its end."""
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"


def hashed(*texts: str) -> str:
    """Which texts, in short."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def of(answer: Answer) -> str:
    """All that a judgement hangs on: an answer that changes is judged anew."""
    return hashed(answer.reference, answer.question or answer.instruction, answer.scored)


def needs_judge(answer: Answer) -> bool:
    """An answer that is not there, or is empty, is wrong without one."""
    return not answer.problem and bool(answer.scored.strip())


def read(folder: Path) -> list[Judgement]:
    """All judgements of a folder, in the order they came. Raises RunError."""
    path = folder / JUDGEMENTS
    found: list[Judgement] = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.exists() else (), 1):
        if not line.endswith(b"\n"):  # it was being written when the run was killed
            continue
        try:
            values = json.loads(line)
            found.append(Judgement(**{**values, "replies": tuple(values["replies"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{path}, line {number}, is not of this program ({error}). Move the file away."
            ) from None
    return found


def said_by(folder: Path, judge: str, prompt: str, scale: int) -> Mapping[tuple[str, str], Judgement]:
    """What one judge has said with one prompt on one scale, by the clip's id and what was judged."""
    mine = (one for one in read(folder) if (one.judge, one.prompt, one.scale) == (judge, prompt, scale))
    return {(one.id, one.of): one for one in mine}


def the_one_judge(folder: Path, scale: int, judge: str = "") -> tuple[str, str]:
    """Judge and prompt of a folder's judgements, of which there must be one pair. Raises MetricError."""
    pairs = list(dict.fromkeys((one.judge, one.prompt) for one in read(folder) if one.scale == scale))
    fitting = [pair for pair in pairs if not judge or judge == pair[0]]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise MetricError(
            f"No judge{f' {judge}' if judge else ''} has rated {folder} yet. Name one with --judge."
        )
    told = "; ".join(f"{name}, prompt {prompt}" for name, prompt in fitting)
    raise MetricError(
        f"{folder} is rated more than once ({told}). Name one with --judge: they are never mixed."
    )
