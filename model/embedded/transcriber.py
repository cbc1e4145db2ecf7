"""A recogniser as a model of its own: it writes down what is said, and refuses all else.

One of many languages also translates into English.
"""

from collections.abc import AsyncGenerator

from model.audio_limits import SAMPLE_RATE
from model.embedded import intents
from model.embedded.answer import Account, Event, Turn
from model.embedded.begun import PART, Begun
from model.embedded.cascade import CANNOT_TRANSLATE
from model.embedded.intents import Task
from model.embedded.listener import Listener
from model.embedded.recogniser import Recogniser
from model.embedded.text_model import Sampling
from model.long_audio.forms import Task as WhisperTask

_NOT_HOW = "This model writes down what is said; it does not hear who speaks or how."
UNSUPPORTED = {
    Task.SUMMARISE: "This model writes down what is said; it does not summarise.",
    Task.ANSWER: "This model writes down what is said; it does not answer questions.",
    Task.SPEAKER: _NOT_HOW,
    Task.PERSON: _NOT_HOW,
    Task.SOUND: "This model writes down what is said; it does not hear other sounds.",
    Task.TALK: "This model writes down what is said; it does not talk.",
}
"""What no recogniser can do and why, for `/v1/models` and for who asks it."""
ENGLISH_ONLY = {Task.TRANSLATE: "This model writes down English; it does not translate."}
CANNOT = "I cannot do that. {why} Ask me to transcribe the clip."
NO_CLIP = "I write down what is said in a clip, and there is none. Send one, and ask me to transcribe it."


class Transcriber:
    """Takes conversations as `Cascade` does; sampling means nothing to it, as it is always greedy."""

    def __init__(self, recogniser: Recogniser) -> None:
        """Share a loaded model."""
        self._listener = Listener(recogniser)
        self.unsupported = UNSUPPORTED if len(recogniser.languages) > 1 else ENGLISH_ONLY | UNSUPPORTED

    async def answer(
        self, turns: list[Turn], _sampling: Sampling, account: Account, begun: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Answer the last turn, but for what of it is `begun` already. Raises ForeignBeginning."""
        said = Begun(begun)
        async for piece in self._parts(turns, account):
            if rest := said.beyond(piece):
                yield Event(text=rest)

    async def _parts(self, turns: list[Turn], account: Account) -> AsyncGenerator[str, None]:
        clips = [clip for turn in turns for clip in turn.clips]
        account.audio_seconds = sum(clip.size for clip in clips) / SAMPLE_RATE
        if not clips:
            yield NO_CLIP
            return
        for number, intent in enumerate(intents.understand(turns[-1].text), 1):
            if number > 1:
                yield PART
            if intent.task in self.unsupported:
                yield CANNOT.format(why=self.unsupported[intent.task])
                continue
            if intent.language:
                yield CANNOT_TRANSLATE.format(language=intent.language.title())
                continue
            task: WhisperTask = "translate" if intent.task is Task.TRANSLATE else "transcribe"
            # With a new clip in the turn, that clip is meant; a follow-up means all of them.
            async for piece in self._listener.listen_all(list(turns[-1].clips) or clips, task, account):
                yield piece
