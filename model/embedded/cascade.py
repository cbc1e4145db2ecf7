"""The paper's cascade baseline in miniature: what was heard, then what a text model makes of it (section 4).

`answer` gives events in the order in which they happen: transcript words while Whisper reads, then the answer
word by word.
"""

import time
from collections.abc import AsyncGenerator

from model.audio_limits import SAMPLE_RATE
from model.embedded import evidence, intents, prompts
from model.embedded.answer import Account, Clip, Event, Turn
from model.embedded.begun import PART, Begun
from model.embedded.intents import Intent, Task
from model.embedded.listener import Listener
from model.embedded.prompts import Messages, Template
from model.embedded.recogniser import Recogniser
from model.embedded.text_model import Sampling, TextModel
from model.embedded.tracing import span
from model.long_audio.forms import Task as WhisperTask

_NOT_WHO = (
    "I cannot tell that. I work from the words alone, so I do not hear who speaks, how many people there "
    "are, or how they sound. You can ask me about what was said."
)
CANNOT = {
    Task.SPEAKER: _NOT_WHO,
    Task.PERSON: _NOT_WHO,
    Task.SOUND: (
        "I cannot tell that. I work from the words alone, so I do not hear music, noise or other sounds. "
        "You can ask me about what was said."
    ),
}
CANNOT_TRANSLATE = "I can translate into English only, not into {language}. Try “Translate into English”."

_TEMPLATES = {
    Task.ANSWER: prompts.ANSWER,
    Task.SUMMARISE: prompts.SUMMARISE,
    Task.TALK: prompts.TALK,
}

_NOT_HOW = "This small model works from the words only; it does not hear who speaks or how."
UNSUPPORTED = {
    Task.SPEAKER: _NOT_HOW,
    Task.PERSON: _NOT_HOW,
    Task.SOUND: "This small model works from the words only; it does not hear other sounds.",
}
"""What the model cannot do and why, for `/v1/models`."""


class Cascade:
    """Whisper and the text model, asked as one model."""

    def __init__(self, recogniser: Recogniser, text_model: TextModel) -> None:
        """Share two loaded models."""
        self._listener = Listener(recogniser)
        self._text_model = text_model

    async def answer(
        self, turns: list[Turn], sampling: Sampling, account: Account, begun: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Answer the last turn of a conversation; closing the iterator stops the models.

        What of the answer is `begun` already is left out.

        Raises:
            ForeignBeginning: this answer does not begin like that.
            TextModelError: the conversation does not fit, or the model failed.
        """
        said = Begun(begun)
        async for event in self._parts(turns, sampling, account, said):
            if not event.text or event.written:
                yield event
            elif rest := said.beyond(event.text):
                yield Event(text=rest)

    async def _parts(
        self, turns: list[Turn], sampling: Sampling, account: Account, said: Begun
    ) -> AsyncGenerator[Event, None]:
        clips = [clip for turn in turns for clip in turn.clips]
        account.audio_seconds = sum(clip.size for clip in clips) / SAMPLE_RATE
        if not clips:
            async for event in self._write(_chat(turns), (), sampling, account, said):
                yield event
            return
        wanted = intents.understand(turns[-1].text)
        for number, intent in enumerate(wanted, 1):
            if number > 1:
                yield Event(text=PART)
            said.at_last_part = number == len(wanted)
            async for event in self._do(intent, turns, clips, sampling, account, said):
                yield event

    async def _do(
        self,
        intent: Intent,
        turns: list[Turn],
        clips: list[Clip],
        sampling: Sampling,
        account: Account,
        said: Begun,
    ) -> AsyncGenerator[Event, None]:
        if intent.task in CANNOT:
            yield Event(text=CANNOT[intent.task])
        elif intent.language:
            yield Event(text=CANNOT_TRANSLATE.format(language=intent.language.title()))
        elif intent.task in (Task.TRANSCRIBE, Task.TRANSLATE):
            task: WhisperTask = "transcribe" if intent.task is Task.TRANSCRIBE else "translate"
            # With a new clip in the turn, that clip is meant; a follow-up means all of them.
            async for piece in self._listener.listen_all(list(turns[-1].clips) or clips, task, account):
                yield Event(text=piece)
        else:
            async for event in self._reason(intent, turns, clips, sampling, account, said):
                yield event

    async def _reason(
        self,
        intent: Intent,
        turns: list[Turn],
        clips: list[Clip],
        sampling: Sampling,
        account: Account,
        said: Begun,
    ) -> AsyncGenerator[Event, None]:
        heard = ""
        if intent.task is Task.TALK:
            clips = list(turns[-1].clips) or clips  # what was said before has been answered
        async for event in self._listener.tell(clips, account):
            heard += event.heard
            yield event
        if not heard:
            return
        question = turns[-1].text
        if intent.task is Task.ANSWER and (quote := evidence.quoted(heard, question)):
            yield Event(text=quote)
        template = _TEMPLATES[intent.task]
        messages = _with_history(template, turns, heard)
        limit = template.max_tokens
        async for event in self._write(messages, template.stop, sampling, account, said, limit):
            yield event

    async def _write(
        self,
        messages: Messages,
        stop: tuple[str, ...],
        sampling: Sampling,
        account: Account,
        said: Begun,
        limit: int | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Complete a conversation; `limit` bounds all tokens that are written, `sampling` the new ones."""
        text, is_whole = said.written()
        if is_whole:
            return
        began = time.monotonic()
        most = sampling.max_tokens
        if limit:
            most = max(1, min(most, limit - await self._text_model.count(text)))
        chosen = Sampling(sampling.temperature, sampling.top_p, sampling.seed, most, (*sampling.stop, *stop))
        if text:
            messages = [*messages, {"role": "assistant", "content": text}]
        pieces = self._text_model.complete(messages, chosen)
        try:
            with span("answer"):
                async for piece in pieces:
                    account.prompt_tokens += piece.prompt_tokens
                    account.completion_tokens += piece.completion_tokens
                    account.finish_reason = piece.finish_reason or account.finish_reason
                    new = piece.text if text else piece.text.lstrip()
                    text += new
                    if new:
                        yield Event(text=new, written=True)
        finally:
            await pieces.aclose()
            account.llm_ms += (time.monotonic() - began) * 1000


def _chat(turns: list[Turn]) -> Messages:
    """A conversation without clips, as the text model takes it."""
    messages = [{"role": turn.role, "content": prompts.without_control(turn.text)} for turn in turns]
    if messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": prompts.CHAT.system})
    return messages


def _with_history(template: Template, turns: list[Turn], heard: str) -> Messages:
    """The template with the last question, and before it what was asked and answered about the same clips."""
    messages = template.messages(heard, turns[-1].text)
    earlier = [
        {"role": turn.role, "content": prompts.without_control(turn.text)}
        for turn in turns[:-1]
        if turn.role != "system" and turn.text
    ]
    return [*messages[:-1], *earlier[-4:], messages[-1]]
