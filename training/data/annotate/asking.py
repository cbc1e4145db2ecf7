"""Ask what has not been asked, many at once, and keep every answer the moment it comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tqdm import tqdm

from training.data.annotate.endpoint import Client, NoAnswer
from training.data.annotate.log import AnswerLog
from training.data.annotate.questions import Question
from training.errors import DataError, TrainingError

GIVE_UP_AFTER = 20  # questions in a row that got no answer: the endpoint is not there


@dataclass
class Tally:
    """What this run asked: replies, and why there was none."""

    answered: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed_in_a_row: int = 0


def pending(questions: Iterable[Question], log: AnswerLog, client: Client) -> list[Question]:
    """The questions that have no answer yet."""
    return [question for question in questions if question.key(client.endpoint) not in log]


async def ask(
    questions: list[Question], log: AnswerLog, client: Client, tally: Tally, progress: tqdm[None]
) -> None:
    """Ask all of them, `at_once` side by side. Raises TrainingError where it makes no sense to go on."""
    waiting = iter(questions)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(client.endpoint.at_once, len(questions))):
                group.create_task(_work(waiting, log, client, tally, progress))
    except* TrainingError as errors:
        raise errors.exceptions[0] from None


async def _work(
    waiting: Iterator[Question], log: AnswerLog, client: Client, tally: Tally, progress: tqdm[None]
) -> None:
    for question in waiting:
        try:
            reply = await client.ask(question.prompt)
        except NoAnswer as failure:
            tally.unanswered[failure.reason] += 1
            tally.failed_in_a_row += 1
            if tally.failed_in_a_row >= GIVE_UP_AFTER:
                raise DataError(
                    f"{client.endpoint.url} left {GIVE_UP_AFTER} questions in a row without an answer (the "
                    f"last: {failure.reason}). See whether it runs; what was answered is kept, so run this "
                    "again."
                ) from None
        else:
            log.add(question.key(client.endpoint), question, client.endpoint.model, reply)
            tally.answered += 1
            tally.failed_in_a_row = 0
            tally.prompt_tokens += reply.prompt_tokens
            tally.completion_tokens += reply.completion_tokens
        progress.update()
