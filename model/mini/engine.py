"""The small audio LLM as a model of the embedded engine: asked as `model.embedded.cascade.Cascade` is.

It hears the sound itself, so `Account.asr_ms` is the time to hear and to read the prompt, `llm_ms` that to
write.

A question it answers in three steps: it writes down what it hears, quotes the sentence of it that most likely
tells, and answers with the sound and its own transcript before it. That makes twice as many of our samples'
questions right as to answer from the sound at once (MODEL_CARD.md).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.audio_limits import SAMPLE_RATE
from model.embedded import evidence, intents, prompts
from model.embedded.answer import Account, Event, Turn
from model.embedded.begun import Begun
from model.embedded.in_thread import from_thread
from model.embedded.intents import Task
from model.embedded.listener import Listener
from model.embedded.recogniser import Recognised
from model.embedded.text_model import Sampling, TextModelError
from model.embedded.tracing import span
from model.errors import BadRequest
from model.geometry import MIN_SAMPLES, ClipError, windows_in
from model.long_audio.forms import Task as WhisperTask
from model.long_audio.readings import gap, shared_out
from model.long_audio.windows import cut
from model.mini.audio_llm import AudioLLM
from model.mini.choice import Choice
from model.mini.shipped import Shipped
from model.mini.tokenizer import Words
from model.mini.writer import Asked, PromptTooLong, Writer
from model.prompts import TRANSCRIBE, TRANSLATE

INSTRUCTIONS: dict[WhisperTask, str] = {
    "transcribe": TRANSCRIBE,
    "translate": TRANSLATE.format(language="English"),
}
_MARKS = re.compile(r"<Speaker\d+>:\s*")  # of who speaks, in transcripts
NOT_MEASURED = "This small model has not learnt to do that well."
CANNOT = "I cannot do that yet. {why} Ask me to {tasks}."
NO_CLIP = "I answer about what I hear, and there is no clip. Send one, and ask me to {tasks}."
IN_WORDS = {
    Task.TRANSCRIBE: "transcribe the clip",
    Task.TRANSLATE: "translate it into English",
    Task.SUMMARISE: "summarise it",
    Task.ANSWER: "answer a question about it",
    Task.TALK: "talk with you",
    Task.SPEAKER: "tell a man from a woman",
    Task.PERSON: "say more of who speaks",
    Task.SOUND: "say what else is heard",
}


class Mini:
    """A small audio LLM of the paper's architecture, loaded once and shared."""

    def __init__(self, model: AudioLLM, config: Shipped, words: Words) -> None:
        """As `AudioLLM.load` gives them."""
        self._config, self._words = config, words
        self._writer = Writer(model, config, words)
        able = config.measured.tasks
        self.unsupported: Mapping[Task, str] = {task: NOT_MEASURED for task in Task if task not in able}
        """What the model cannot do and why, for `/v1/models`."""
        self._able = " or ".join(IN_WORDS[task] for task in able)
        self._listener = Listener(self)

    @classmethod
    def load(cls, folder: Path, cache: Path, threads: int = 1) -> Mini:
        """A shipped model over the packaged weights. Raises ModelError, WeightsError."""
        return cls(*AudioLLM.load(folder, cache, threads))

    @property
    def languages(self) -> list[str]:
        """Codes of the languages that it was measured on."""
        return sorted(self._config.measured.languages)

    async def answer(
        self, turns: list[Turn], sampling: Sampling, account: Account, begun: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Answer the last turn of a conversation; closing the iterator stops the model.

        What of the answer is `begun` already is left out.

        Raises:
            ForeignBeginning: this answer does not begin like that.
            TextModelError: the conversation does not fit.
            BadRequest: a clip is too short to be heard.
        """
        clips = [clip for turn in turns for clip in turn.clips]
        account.audio_seconds = sum(clip.size for clip in clips) / SAMPLE_RATE
        if refusal := self._refusal(turns, clips):
            if rest := Begun(begun).beyond(refusal):
                yield Event(text=rest)
            return
        said = Begun(begun)
        if self._is_long_dictation(turns[-1], clips, sampling):
            # With a new clip in the turn, that clip is meant; a follow-up means all of them.
            async for piece in self._listener.listen_all(
                list(turns[-1].clips) or clips, "transcribe", account
            ):
                if rest := said.beyond(piece):
                    yield Event(text=rest)
            return
        try:
            self._writer.ids(self._asked(turns, clips, sampling, ""))  # now, and not after much listening
            if [intent.task for intent in intents.understand(turns[-1].text)] == [Task.ANSWER]:
                heard = ""
                async with aclosing(self._evidence(turns[-1].text, clips, account, said)) as events:
                    async for event in events:
                        heard += event.heard
                        yield event
                if not heard:
                    return
                turns = self._with_transcript(turns, clips, heard, sampling)
            text, _ = said.written()
            asked = self._asked(turns, clips, sampling, text)
            if asked.most_tokens < 1:
                account.finish_reason = "length"
                return
            async with aclosing(self._write(asked, account)) as pieces:
                async for piece in pieces:
                    new = piece if text else piece.lstrip()
                    text += new
                    if new:
                        yield Event(text=new, written=True)
        except PromptTooLong as error:
            raise TextModelError("context_length_exceeded", str(error)) from error
        except ClipError as error:
            raise BadRequest("audio_unfit", str(error), "messages") from error

    async def _evidence(
        self, question: str, clips: list[NDArray[np.int16]], account: Account, said: Begun
    ) -> AsyncGenerator[Event, None]:
        """What is heard, and the sentence of it that most likely tells; or that there is no speech."""
        heard = ""
        async with aclosing(self._listener.tell(clips, account)) as events:
            async for event in events:
                heard += event.heard
                if event.heard:
                    yield event
                elif rest := said.beyond(event.text):
                    yield Event(text=rest)
        if rest := said.beyond(evidence.quoted(_MARKS.sub("", heard), question)):
            yield Event(text=rest)

    def _with_transcript(
        self, turns: list[Turn], clips: list[NDArray[np.int16]], heard: str, sampling: Sampling
    ) -> list[Turn]:
        """The conversation with what was heard before its question; without, where there is no room."""
        text = prompts.ANSWER.messages(_MARKS.sub("", heard), turns[-1].text)[-1]["content"]
        longer = [*turns[:-1], replace(turns[-1], text=text)]
        try:
            length = len(self._writer.ids(self._asked(longer, clips, sampling, "")))
        except PromptTooLong:
            return turns
        return longer if length + prompts.ANSWER.max_tokens <= self._config.generation.context else turns

    async def _write(self, asked: Asked, account: Account) -> AsyncGenerator[str, None]:
        began = heard = time.monotonic()
        account.prompt_tokens += len(self._writer.ids(asked))
        try:
            with span("answer"):
                async with aclosing(from_thread(self._writer.write(asked))) as steps:
                    async for step in steps:
                        if step.token is None:
                            heard = time.monotonic()
                            continue
                        account.completion_tokens += 1
                        account.finish_reason = step.finish_reason or account.finish_reason
                        yield step.text
        finally:
            account.asr_ms += (heard - began) * 1000
            account.llm_ms += (time.monotonic() - heard) * 1000

    def _asked(
        self, turns: list[Turn], clips: list[NDArray[np.int16]], sampling: Sampling, begun: str
    ) -> Asked:
        longest = self._config.generation.longest(sum(clip.size for clip in clips) / SAMPLE_RATE)
        return Asked(
            clips,
            self._words.prompt(turns, begun),
            # `longest` bounds all of the answer, `sampling` what is new.
            min(sampling.max_tokens, longest - len(self._words.ids(begun, ()))),
            Choice(sampling.temperature, sampling.top_p, sampling.seed),
            sampling.stop,
        )

    def _refusal(self, turns: list[Turn], clips: list[NDArray[np.int16]]) -> str:
        """Why a conversation is not answered; empty where it is."""
        if not clips:
            return NO_CLIP.format(tasks=self._able)
        for intent in intents.understand(turns[-1].text):
            task = intent.task
            if task is Task.SUMMARISE and task in self.unsupported and intents.asks_about(turns[-1].text):
                task = Task.ANSWER  # a question that a summary answers too, where one can be had
            if task in self.unsupported or intent.language:
                return CANNOT.format(why=NOT_MEASURED, tasks=self._able)
        return ""

    def _is_long_dictation(self, last: Turn, clips: list[NDArray[np.int16]], sampling: Sampling) -> bool:
        """Whether no more than a transcript is asked for, of more than is written down at once."""
        if [intent.task for intent in intents.understand(last.text)] != [Task.TRANSCRIBE]:
            return False
        if sum(windows_in(clip.size) for clip in clips) > 1:
            return True
        rules, seconds = self._config.generation, clips[0].size / SAMPLE_RATE
        if seconds <= rules.window or sampling.temperature or sampling.stop:
            return False  # other words than the likeliest, or an end of one's own, are had in one go
        return sampling.max_tokens >= rules.longest(seconds)

    def recognise(
        self,
        pcm: NDArray[np.int16],
        task: WhisperTask = "transcribe",
        language: str | None = None,
        word_times: bool = False,
        careful: bool = False,
    ) -> Iterator[str | Recognised]:
        """Read a clip of any length, shape (samples,) at 16 kHz, as `Recogniser.recognise` does.

        Times of words are estimates: this model tells what was said in a window, not when.
        """
        said = ""
        for window in cut(pcm, self._config.generation.window):
            piece = pcm[round(window.start * SAMPLE_RATE) : round(window.end * SAMPLE_RATE)]
            if piece.size < MIN_SAMPLES:
                continue
            turn = Turn("user", INSTRUCTIONS[task], (piece,))
            asked = self._asked([turn], [piece], Sampling(max_tokens=self._config.generation.context), "")
            reading = Recognised(window, language or self.languages[0])
            heard = time.monotonic()
            for step in self._writer.write(asked):
                if step.token is None:
                    heard = time.monotonic()
                    continue
                reading.tokens.append(step.token)
                new = step.text if reading.text else step.text.lstrip()
                if new:
                    yield new if reading.text else gap(said, new) + new
                reading.text += new
            said += reading.text
            reading.llm_ms = (time.monotonic() - heard) * 1000
            if word_times:
                reading.words = shared_out(reading.text, window.speech)
            yield reading
