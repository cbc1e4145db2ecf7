"""One example to one system: its sound cut, each piece asked about, the answers joined."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

from evaluation import asking, sound
from evaluation.core import Answer, Example
from evaluation.endpoint import Endpoint
from evaluation.errors import DataError, RegistryError
from evaluation.gathered import Gathered
from evaluation.registry import Dataset
from evaluation.stream import Reply
from evaluation.systems import System
from evaluation.trouble import Trouble

_WRITE_DOWN = "Please transcribe this speech."  # to a cascade's recogniser that is a chat model


class Caller:
    """Asks a system about the clips of a data set. Use with `async with`."""

    def __init__(self, system: System, dataset: Dataset, rows: Mapping[str, System]) -> None:
        """`rows` hold a cascade's halves. Raises RegistryError where the system cannot do the task."""
        self.system, self.dataset = system, dataset
        ears = rows[system.asr] if system.kind == "cascade" else system
        recogniser = ears.kind == "transcription"
        into_english = dataset.task == "st" and bool(asking.INTO_ENGLISH.search(dataset.id))
        self._route = "translations" if into_english else "transcriptions"
        self._cuts = dataset.task == "asr" or recogniser or system.kind == "cascade"
        done_by_ear = dataset.task == "asr" or (into_english and recogniser)
        if system.kind == "transcription" and not done_by_ear:
            raise RegistryError(
                f"{system.title} only writes speech down or translates it into English; {dataset.id} asks "
                "for more. Choose a chat system or a cascade."
            )
        self._ears = Endpoint(ears)
        self._text = Endpoint(rows[system.text]) if system.kind == "cascade" and not done_by_ear else None
        self._endpoints = [self._ears, *([self._text] if self._text else [])]

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        for endpoint in self._endpoints:
            await endpoint.close()

    @property
    def models(self) -> list[str]:
        """What answers, as the endpoints name it."""
        return [endpoint.model for endpoint in self._endpoints]

    async def find(self) -> None:
        """Look whether all is there. Raises EndpointError."""
        for endpoint in self._endpoints:
            await endpoint.find()

    async def answer(self, example: Example) -> Answer:
        """Ask. Raises EndpointError where the whole run must end; a clip that fails is an answer with a
        problem.
        """
        gathered = Gathered(example)
        try:
            # A cascade's rule is for its text model: its recogniser's words count as they are.
            rule = "whole" if self.system.kind == "cascade" else self.system.counts
            await self._hear(example, gathered, rule)
            if self._text:
                await self._reply(self._text, example, gathered)
        except Trouble as trouble:
            gathered.fail(trouble)
        except DataError as error:
            gathered.fail(Trouble(str(error), again=False))
        return gathered.answer()

    async def _hear(self, example: Example, gathered: Gathered, rule: str) -> None:
        """One piece of sound after the other, decoded while the one before is answered for."""
        ears, ask = self._ears.system, self._ear(example.instruction)
        cut = sound.pieces(
            example.audio,
            pieces_s=ears.pieces_s if self._cuts else 0.0,
            head_s=0.0 if self._cuts else ears.head_s,
        )
        while (samples := await asyncio.to_thread(_next, cut)) is not None:
            gathered.audio_s += samples.size / sound.SAMPLE_RATE
            reply = await ask(sound.wav(samples))
            gathered.add(reply, asking.counted(rule, reply.text, self.dataset.task))

    def _ear(self, instruction: str) -> Callable[[bytes], Awaitable[Reply]]:
        """How the hearing half is asked about a piece."""
        ears = self._ears
        if ears.system.kind == "transcription":
            form = asking.transcription_form(ears.system, ears.model)
            return lambda wav: ears.listen(self._route, wav, form)
        words = asking.fill(ears.system.prompt, {"instruction": _WRITE_DOWN if self._text else instruction})
        return lambda wav: ears.chat(asking.chat_body(ears.system, ears.model, words, wav))

    async def _reply(self, text: Endpoint, example: Example, gathered: Gathered) -> None:
        """A cascade's second half: the text model's answer to what was heard."""
        heard = gathered.heard_only()
        values = {"transcript": heard, "instruction": example.instruction}
        # An instruction that was spoken is all there is to follow, and is fed alone.
        words = heard if self.dataset.task == "si" else asking.fill(self.system.prompt, values)
        reply = await text.chat(asking.chat_body(text.system, text.model, words))
        gathered.add(reply, asking.counted(self.system.counts, reply.text, self.dataset.task))


def _next(cut: Iterator[sound.Pcm]) -> sound.Pcm | None:
    return next(cut, None)
