"""How the two stages and the answer all in one are asked for, and what keeps a question from being asked."""

from __future__ import annotations

from collections.abc import Callable

from ui.cascade import prompt
from ui.cascade.choice import take_key
from ui.cascade.chosen import Chosen, chosen
from ui.cascade.cost import listening
from ui.cascade.stage import Stage
from ui.cascade.state import CascadeState, Hearing, Run
from ui.client import AnswerStream, Client
from ui.clip import Clip, ensure_stored
from ui.connection import wait_until_up
from ui.follow import Opened
from ui.language import t
from ui.session import session
from ui.settings import settings
from ui.tasks import MAX_PROMPT_CHARACTERS
from ui.wire import Event, ModelCard

TRANSCRIBE = "Please transcribe this speech."
DOUBLE_CLICK_S = 1.0


def hear(state: CascadeState, client: Client, clip: Clip | None, model: ModelCard | None) -> None:
    """Let the model write down a new clip; a visitor's own words are kept when only the model is new."""
    before = state.hearing
    if clip is None or model is None or not model.can("transcribe").supported:
        return
    if before is not None and before.clip is clip and (before.model.id == model.id or state.edited):
        return
    if before is not None:
        before.stage.stop()
        state.drop_run()
    state.transcript, state.taken, state.edited, state.problem = "", False, False, ""
    state.set_times += 1
    stage = Stage(TRANSCRIBE, lambda: _ask_about(client, model, TRANSCRIBE, clip))
    state.hearing = Hearing(clip, model, stage)


def ask(client: Client, model: ModelCard | None) -> None:
    """Ask both ways at once, or say what is missing. A second click of a double click asks nothing."""
    visit = session()
    state = visit.part(CascadeState)
    last = state.run
    if model is None or state.busy or (last and last.whole.answer.seconds < DOUBLE_CLICK_S):
        return
    state.take_heard()
    take_key(state)
    clip, question = visit.clip, (state.question or "").strip() or t("cascade.first_question")
    state.problem = _problem(state, clip, question)
    text_model = state.problem or chosen(state)
    if isinstance(text_model, str) or clip is None:
        state.problem = str(text_model)
        return
    visit.go_to("step_answers")
    hearing = state.hearing if state.hearing and state.hearing.clip is clip else None
    state.run = Run(
        cascade=Stage(question, _second_stage(state, client, text_model, question)),
        whole=Stage(question, lambda: _ask_about(client, model, question, clip)),
        hearing=hearing,
        clip=clip,
        listener=model.title,
        thinker=text_model.title,
        thinking=text_model.bill,
        listening=listening(model),
    )


def stop() -> None:
    """End all that is on its way and keep what came."""
    session().part(CascadeState).stop()


def listen_again() -> None:
    """Forget what was heard, so that the page has it written down anew."""
    state = session().part(CascadeState)
    if not state.listening:
        state.hearing, state.edited = None, False


def back_to_heard() -> None:
    """Put what was heard in the place of the visitor's own words."""
    state = session().part(CascadeState)
    state.taken = False
    state.take_heard()


def _problem(state: CascadeState, clip: Clip | None, question: str) -> str:
    if clip is None:
        return t("question.no_clip")
    if len(question) > MAX_PROMPT_CHARACTERS:
        most = f"{MAX_PROMPT_CHARACTERS:,}"
        return t("question.too_long", length=f"{len(question):,}", most=most)
    if not state.listening and not state.transcript.strip():
        return t("cascade.no_words")
    if len(state.transcript) > prompt.MAX_TRANSCRIPT_CHARACTERS:
        return t("cascade.words_too_long", most=f"{prompt.MAX_TRANSCRIPT_CHARACTERS:,}")
    if place := prompt.missing(state.template):
        return t("cascade.template_missing", place=place)
    if len(state.template) > prompt.MAX_TEMPLATE_CHARACTERS:
        return t("cascade.template_too_long", most=f"{prompt.MAX_TEMPLATE_CHARACTERS:,}")
    return ""


def _second_stage(
    state: CascadeState, client: Client, text_model: Chosen, question: str
) -> Callable[[], Opened[Event]]:
    """Return what opens the text model's answer, once the words are there."""
    hearing, words, template = state.hearing, state.transcript, state.template
    still_listening = state.listening

    def opener() -> Opened[Event]:
        # Here, on the answer's own thread: the client takes a second to load.
        from ui.cascade.external import ExternalStream

        transcript = hearing.stage.whole() if hearing and still_listening else words
        transcript = transcript[: prompt.MAX_TRANSCRIPT_CHARACTERS]
        return ExternalStream(text_model.target(client), prompt.messages(template, transcript, question))

    return opener


def _ask_about(client: Client, model: ModelCard, question: str, clip: Clip) -> AnswerStream:
    """Wait for a model that is starting, and open its answer about the sound. Raises ClientError."""
    wait_until_up(client, model.id)
    host = settings()
    file_id = ensure_stored(client, clip)
    return client.ask(model.id, question, file_id, host.max_tokens, host.answer_timeout_s)
