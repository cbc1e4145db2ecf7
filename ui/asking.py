"""How a question gets from the page to a model, on its own or with what was said before it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui import samples
from ui.answer import Answer
from ui.client import AnswerStream, Client
from ui.clip import Clip, ensure_stored
from ui.connection import wait_until_up
from ui.conversation import Sampling, Turn, messages
from ui.language import t
from ui.playground_state import Playground
from ui.session import Session, session
from ui.settings import settings
from ui.tasks import MAX_PROMPT_CHARACTERS, READY
from ui.wire import ModelCard
from ui.words import seconds

DOUBLE_CLICK_S = 1.0


def ask(client: Client, model: ModelCard | None) -> None:
    """Ask what the page shows, or say what is missing. A second click of a double click asks nothing."""
    visit = session()
    here = visit.part(Playground)
    question = str(st.session_state.get("prompt", "")).strip()
    last = here.conversation.last
    if model is None or here.busy or (last and _is_double_click(last, question)):
        return
    here.problem = problem_with(question, here, model)
    if here.problem:
        return
    turns = here.conversation.turns
    if here.editing is not None:
        del turns[here.editing :]
        here.editing = None
    elif turns and not turns[-1].answer.progress.text.strip():
        turns.pop()  # it came to nothing, and this question stands in its place
    _put(visit, client, model, question, _stands_alone(question, here.clips))


def ask_again(client: Client, model: ModelCard | None) -> None:
    """Ask the last question once more; its answer takes the place of the one before."""
    visit = session()
    here = visit.part(Playground)
    if model is None or here.busy or here.conversation.last is None:
        return
    turn = here.conversation.turns.pop()
    here.problem, here.editing = "", None
    _put(visit, client, model, turn.question, turn.stands_alone)


def edit(number: int) -> None:
    """Put a question back into the box; the next one asked takes its place and that of all after it."""
    here = session().part(Playground)
    if number < len(here.conversation.turns):
        here.editing = number
        st.session_state["prompt"] = here.conversation.turns[number].question
        session().go_to("step_2")


def problem_with(question: str, here: Playground, model: ModelCard) -> str:
    """Return the sentence for a question that cannot be asked, or "" for one that can."""
    if not here.clips:
        return t("question.no_clip")
    if not question:
        return t("question.empty")
    if len(question) > MAX_PROMPT_CHARACTERS:
        return t("question.too_long", length=f"{len(question):,}", most=f"{MAX_PROMPT_CHARACTERS:,}")
    length = sum(clip.seconds for clip in here.clips)
    if length > model.max_audio_seconds > 0:
        key = "question.clips_too_long" if len(here.clips) > 1 else "question.clip_too_long"
        return t(key, length=seconds(length), most=seconds(model.max_audio_seconds))
    return ""


def _is_double_click(last: Turn, question: str) -> bool:
    return last.question == question and last.answer.seconds < DOUBLE_CLICK_S


def _stands_alone(question: str, clips: Sequence[Clip]) -> bool:
    """Whether a question is one of the page's own, which need nothing that was said before.

    Sent alone it is the same for everybody, so that its answer can be kept and shared.
    """
    if question in READY:
        return True
    collection = samples.load(settings().samples_dir)
    found = (collection.find(clip.sample_id) for clip in clips if clip.sample_id)
    return any(question == ready.text for sample in found if sample for ready in sample.questions)


def _put(visit: Session, client: Client, model: ModelCard, question: str, alone: bool) -> None:
    here = visit.part(Playground)
    turns, clips, sampling = here.conversation.turns, here.clips, here.sampling
    before = [] if alone else list(turns)
    visit.go_to("asked" if turns else "step_3")
    answer = Answer(
        question,
        lambda: _open(client, model.id, before, question, clips, sampling),
        settings().left_alone_s,
    )
    turns.append(Turn(question, answer, model.id, tuple(clip.file_id for clip in clips), alone))


def _open(
    client: Client,
    model_id: str,
    before: Sequence[Turn],
    question: str,
    clips: Sequence[Clip],
    sampling: Sampling,
) -> AnswerStream:
    """Wait for a model that is starting, and open the stream. Raises ClientError."""
    wait_until_up(client, model_id)
    files = [ensure_stored(client, clip) for clip in clips]
    for turn in before:  # a clip that was handed over anew has another id now
        turn.files = tuple(files[: len(turn.files)])
    chosen: dict[str, float | int] = {
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.top_p < 1:
        chosen["top_p"] = sampling.top_p
    said = messages(before, question, files)
    return client.chat(model_id, said, settings().answer_timeout_s, **chosen)
