"""Clips to words; a transcript is kept for a while, so that a second question hears none of it again."""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from model.audio import pcm_sha256
from model.embedded.answer import Account, Clip, Event
from model.embedded.in_thread import from_thread
from model.embedded.recogniser import Recognised, Recogniser
from model.embedded.tracing import span
from model.long_audio.forms import Task

if TYPE_CHECKING:
    from model.mini.engine import Mini

KEPT_TRANSCRIPTS = 128

NO_SPEECH = (
    "I could not hear any speech in this clip. Try one in which somebody speaks, closer to the microphone."
)
ALREADY_ENGLISH = "\n\n(The clip is in English already.)"


class Listener:
    """A recogniser, and what it heard of the last clips."""

    def __init__(self, recogniser: "Recogniser | Mini") -> None:
        """Share a loaded model."""
        self._recogniser = recogniser
        self._transcripts: OrderedDict[tuple[str, Task], str] = OrderedDict()

    async def tell(self, clips: list[Clip], account: Account) -> AsyncGenerator[Event, None]:
        """What is heard on the way to an answer; where nothing is, `NO_SPEECH` as the answer."""
        async with aclosing(self.listen_all(clips, "transcribe", account)) as pieces:
            async for piece in pieces:
                yield Event(text=piece) if piece == NO_SPEECH else Event(heard=piece)

    async def listen_all(self, clips: list[Clip], task: Task, account: Account) -> AsyncGenerator[str, None]:
        """The words of one clip, or of several with a heading each; `NO_SPEECH` when there are none."""
        spoken = False
        for number, clip in enumerate(clips, 1):
            line_break = "\n" if number > 1 else ""
            heading = f"{line_break}Clip {number}: " if len(clips) > 1 else ""
            async for piece in self._listen(clip, task, account):
                yield heading + piece
                heading = ""
                spoken = True
        if not spoken:
            yield NO_SPEECH

    async def _listen(self, clip: Clip, task: Task, account: Account) -> AsyncGenerator[str, None]:
        key = (pcm_sha256(clip), task)
        if key in self._transcripts:
            self._transcripts.move_to_end(key)
            if self._transcripts[key]:
                yield self._transcripts[key]
            return
        began = time.monotonic()
        text = language = ""
        try:
            with span("transcribe"):
                async for piece in from_thread(self._recogniser.recognise(clip, task)):
                    if isinstance(piece, Recognised):
                        account.completion_tokens += len(piece.tokens)
                        account.asr_ms -= piece.llm_ms
                        account.llm_ms += piece.llm_ms
                        language = piece.language
                        continue
                    piece = piece if text else piece.lstrip()
                    text += piece
                    if piece:
                        yield piece
        finally:
            account.asr_ms += (time.monotonic() - began) * 1000
        if text and task == "translate" and language == "en":
            yield ALREADY_ENGLISH
            text += ALREADY_ENGLISH
        self._transcripts[key] = text
        if len(self._transcripts) > KEPT_TRANSCRIPTS:
            self._transcripts.popitem(last=False)
