"""A judge rates answers: any chat endpoint, one prompt a scale, replies kept raw in judgements.jsonl.

A judgement is of one answer by one judge with one prompt on one scale, and is looked up by all four, so that
none is asked for twice and none is mixed up. As in AudioBench, a reply may take 512 tokens and a failure
counts 0 and lowers the success rate. Ours: temperature 0 rather than unset, and a reply that follows no form
is asked for twice more, warmer, since the same request would bring the same reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from evaluation import asking, toml_file
from evaluation import folder as folders
from evaluation.core import Answer
from evaluation.endpoint import Endpoint
from evaluation.errors import EndpointError, RegistryError
from evaluation.journal import Journal
from evaluation.judgements import JUDGEMENTS, Judgement, hashed, needs_judge, of, said_by
from evaluation.metrics import judge as ratings
from evaluation.reading import for_each
from evaluation.retrying import Streak
from evaluation.systems import System
from evaluation.trouble import Trouble

PROMPTS = Path(__file__).with_name("judge_prompts.toml")
TOKENS = 512  # of a reply
LONGEST = (
    4_000  # characters of an answer that a judge reads; its server's context is 4,096 tokens in AudioBench
)
MARK = "\n[The rest of the answer, {left:,} characters, is left out here.]"
_TIMES = 3  # a reply without a rating is asked for again twice
_WARMER = 0.7  # temperature of these


@dataclass(frozen=True)
class Judge:
    """Who rates, and with which words."""

    system: System
    prompts: Mapping[int, str]  # by scale
    model: str = ""  # as found at the endpoint

    @property
    def id(self) -> str:
        """Model and host, as every result names it."""
        return f"{self.model or self.system.model} at {self.system.host}"

    def prompt_hash(self, scale: int) -> str:
        """Which words, in short."""
        return hashed(self.prompts[scale])


def load_prompts(file: Path = PROMPTS) -> Mapping[int, str]:
    """A judge's prompts by scale. Raises RegistryError."""
    tables = toml_file.read(file, advice="Name another with --judge-prompts.")
    try:
        prompts = {scale: str(tables[f"scale_{scale}"]["prompt"]).strip() for scale in (5, 1)}
    except (LookupError, TypeError) as error:
        raise RegistryError(
            f"{file} needs tables [scale_5] and [scale_1], each with `prompt` ({error}). See {PROMPTS.name}."
        ) from None
    for scale, prompt in prompts.items():
        for place in ("{reference}", "{answer}", "{question}"):
            if place not in prompt:
                raise RegistryError(f"{file}, [scale_{scale}]: `prompt` must contain {place}.")
    return prompts


def words(judge: Judge, scale: int, answer: Answer) -> tuple[str, int]:
    """What the judge reads about one answer, and how many characters of it are left out."""
    text, left = answer.scored, max(0, len(answer.scored) - LONGEST)
    if left:
        text = text[:LONGEST] + MARK.format(left=left)
    question = answer.question or answer.instruction
    values = {"reference": answer.reference, "answer": text, "question": question}
    return asking.fill(judge.prompts[scale], values), left


def judge(
    folder: Path,
    answers: Iterable[Answer],
    scale: int,
    judge: Judge,
    *,
    concurrency: int | None = None,
    bar: bool = True,
) -> Judge:
    """Have every answer rated that is not yet. Returns the judge as found. Raises EvaluationError."""
    with folders.held(folder):
        return asyncio.run(_all(folder, list(filter(needs_judge, answers)), scale, judge, concurrency, bar))


async def _all(
    folder: Path, answers: list[Answer], scale: int, judge: Judge, concurrency: int | None, bar: bool
) -> Judge:
    endpoint = Endpoint(judge.system)
    try:
        await endpoint.find()
        judge = Judge(judge.system, judge.prompts, endpoint.model)
        said = said_by(folder, judge.id, judge.prompt_hash(scale), scale)
        known = {key for key, one in said.items() if not one.again}
        fresh = [answer for answer in answers if (answer.id, of(answer)) not in known]
        at_once = concurrency or judge.system.concurrency
        with (
            Journal(folder / JUDGEMENTS) as journal,
            tqdm(
                total=len(fresh), desc=f"judge {folder.name}", unit="answer", disable=None if bar else True
            ) as progress,
        ):
            await for_each(fresh, at_once, _Bench(endpoint, judge, scale, journal, progress).rate)
    finally:
        await endpoint.close()
    return judge


class _Bench:
    """Rates answers."""

    def __init__(
        self, endpoint: Endpoint, judge: Judge, scale: int, journal: Journal, progress: tqdm[None]
    ) -> None:
        self._endpoint, self._judge, self._scale = endpoint, judge, scale
        self._journal, self._progress = journal, progress
        self._streak = Streak(judge.system.patience)

    async def rate(self, answer: Answer) -> None:
        """Keep a judgement of one answer. Raises EndpointError."""
        judgement = await self._judged(answer)
        self._journal.append(judgement.line)
        self._progress.update()
        if self._streak.is_over(judgement.again):
            raise EndpointError(
                f"The judge, {self._judge.id}, has not replied {self._streak.length} times in a row; the "
                f"last reason: {judgement.problem} What it said before is kept. Give the same command again "
                "to go on."
            )

    async def _judged(self, answer: Answer) -> Judgement:
        text, left = words(self._judge, self._scale, answer)
        system = self._judge.system.model_copy(update={"max_tokens": TOKENS})
        body = asking.chat_body(system, self._endpoint.model, text)
        replies: list[str] = []
        problem, again = "", False
        try:
            while len(replies) < _TIMES:
                warmth = {"temperature": _WARMER} if replies else {}
                replies.append((await self._endpoint.chat(body | warmth)).text)
                if ratings.rating(replies[-1], self._scale) is not None:
                    break
            else:
                problem = f"The judge followed no form in {_TIMES} replies."
        except Trouble as trouble:
            problem, again = str(trouble), trouble.again
        prompt = self._judge.prompt_hash(self._scale)
        return Judgement(
            answer.id, self._judge.id, prompt, self._scale, of(answer), tuple(replies), problem, again, left
        )
