"""What passes between the parts: an example is asked, its answer kept, then scored, and all of it summed up.

    data -> Example -> run -> Answer (answers.jsonl) -> score -> Score (scores.jsonl) and Result (result.json)

A run's folder is OUT/<system>/<dataset>/ with those files; `kept` reads lines, and `written` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from evaluation.errors import RunError

ANSWERS, SCORES, RESULT = "answers.jsonl", "scores.jsonl", "result.json"


@dataclass(frozen=True)
class Example:
    """One clip and what is asked about it."""

    id: str  # the same in every run, unlike any other of the data set
    audio: bytes  # a whole file as it is stored: WAV, FLAC, MP3
    instruction: str  # what the system is asked, with the choices
    reference: str
    question: str = ""  # what the judge reads; empty: the instruction
    choices: tuple[str, ...] = ()
    group: str = ""  # scores are also summed up by it: MMAU's task, the bundled set's kind of speech
    rejected: tuple[str, ...] = ()  # words that make an answer wrong, such as the other gender


@dataclass(frozen=True)
class Answer:
    """What a system answered, or why it did not. A line of answers.jsonl."""

    id: str
    instruction: str
    question: str
    reference: str
    answer: str  # as it came, nothing cut or cleaned
    problem: str = ""  # not empty: there is no answer, and this sentence says why
    choices: tuple[str, ...] = ()
    group: str = ""
    rejected: tuple[str, ...] = ()
    audio_s: float = 0.0  # seconds of sound sent
    first_token_s: float = 0.0
    total_s: float = 0.0
    tokens: int = 0  # generated, as the endpoint counts them; 0: it did not say
    tries: int = 1
    cache: str = ""  # the controller's x-meralion-cache
    finish: str = ""  # OpenAI's finish_reason
    heard: str = ""  # a cascade's transcript
    counted: str | None = None  # the part that is scored, where the system's rule takes one; None: all of it
    again: bool = False  # of a problem: the endpoint was at fault and not the clip, so a later run asks again

    @property
    def scored(self) -> str:
        """What metrics and judges read."""
        return self.answer if self.counted is None else self.counted


@dataclass(frozen=True)
class Score:
    """How good one answer is. A line of scores.jsonl."""

    id: str
    value: (
        float  # WER and rates as fractions; a judge's rating on its scale; BLEU of one line is 0 (see detail)
    )
    ok: bool = True  # False: no answer, or no rating that could be read; it counts as the worst value
    group: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)  # edits and words; the judge's reply and reason


@dataclass(frozen=True)
class Result:
    """One system on one data set. result.json."""

    system: str
    dataset: str
    metric: str  # wer, wer_part4, bleu, judge, mmau, contains
    value: float  # as AudioBench prints it: WER a fraction; BLEU, judge, mmau and contains 0 to 100
    low: float  # the 95 % interval by bootstrap over clips
    high: float
    n: int  # clips in the run
    answered: int
    success_rate: float  # share of clips with an answer and, where one is asked, a judge's rating
    groups: Mapping[str, float] = field(default_factory=dict)  # the value by group
    scale: int | None = None  # of a judge: 5 or 1
    judge: str = ""  # model at host, as asked
    tokenizer: str = ""  # of BLEU
    signature: str = ""  # versions of what computed it
    audio_s: float = 0.0
    whole: bool = True  # False: of a part of the data set (--limit)
    without_failures: float | None = None  # the value over the clips with an answer and, of a judge, a rating
    made: str = ""  # the date, ISO 8601


Line = TypeVar("Line", Answer, Score)


def kept(path: Path, kind: type[Line]) -> Iterator[Line]:
    """The lines of a file, the last of each id; none where there is no file.

    A last line without its end was being written when the run was killed, and is left out. Raises RunError.
    """
    if not path.exists():
        return
    known = {each.name for each in fields(kind)}
    found: dict[str, Line] = {}
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            continue
        try:
            values = json.loads(line)
            for key in ("choices", "rejected"):
                if key in values:
                    values[key] = tuple(values[key])
            one = kind(**{key: value for key, value in values.items() if key in known})
        except (ValueError, TypeError) as error:
            raise RunError(
                f"{path}, line {number}, is not of this program ({error}). "
                "Move the file away to ask these clips again."
            ) from None
        found[one.id] = one
    yield from found.values()


def written(line: Answer | Score | Result) -> bytes:
    """A line of a file, with its end."""
    return json.dumps(asdict(line), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_result(path: Path) -> Result:
    """A result.json. Raises RunError."""
    try:
        return Result(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path} cannot be read as a result ({error}). Score the run again.") from None
