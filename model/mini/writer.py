"""Write an answer: hear the clips, read the prompt, choose token after token.

The work is done in steps: a window, some rows of the prompt, a token. Answers that are written side by side
take turns at them, so the arithmetic has all threads each time and nobody waits for a whole clip; and whoever
stops asking for the next step has stopped the work.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from model.mini import mel
from model.mini.audio_llm import AudioLLM
from model.mini.choice import Choice
from model.mini.decoder import Cache
from model.mini.functional import Array, log_softmax
from model.mini.heads import Heads
from model.mini.shipped import Shipped
from model.mini.stops import Stops
from model.mini.tokenizer import Words

Clip = NDArray[np.int16]  # (samples,) at 16 kHz


class PromptTooLong(ValueError):
    """A prompt leaves no room for an answer; the message says what to do."""


@dataclass(frozen=True)
class Step:
    """A step of the work; the text that it added to the answer, if it did."""

    text: str = ""
    token: int | None = None
    log_prob: float = 0.0  # of the token, before what is banned is taken out
    finish_reason: str = ""  # "stop" or "length" at the last step


@dataclass(frozen=True)
class Asked:
    """What is to be answered, and how."""

    clips: Sequence[Clip]
    prompt: str
    most_tokens: int
    choice: Choice = field(default_factory=Choice)
    stop: tuple[str, ...] = ()


class Writer:
    """A loaded model, shared by all requests."""

    def __init__(self, model: AudioLLM, config: Shipped, words: Words) -> None:
        """As `AudioLLM.load` gives them."""
        self._model, self._config, self._words = model, config, words
        self._heads = Heads()
        self._turn = threading.Lock()

    def ids(self, asked: Asked) -> list[int]:
        """The prompt's tokens. Raises PromptTooLong."""
        tokens = [self._config.tokens_of(clip.size) for clip in asked.clips]
        ids = self._words.ids(asked.prompt, tokens)
        most = self._config.generation.context
        if len(ids) >= most:
            raise PromptTooLong(
                f"The clips and the conversation take {len(ids):,} tokens, and this small model has room for "
                f"{most:,} with the answer. Ask about a shorter clip, or start over."
            )
        return ids

    def write(self, asked: Asked) -> Iterator[Step]:
        """Answer, step by step; the first with a token comes when the clips are heard and the prompt is read.

        Raises ClipError, and PromptTooLong.
        """
        ids = self.ids(asked)
        most = min(asked.most_tokens, self._config.generation.context - len(ids))
        cache = Cache(self._model.decoder.sizes, len(ids) + most)
        state = np.zeros(0, np.float32)
        for read in self._read(ids, asked.clips, cache):
            state = read
            yield Step()
        yield from self._answer(state, cache, asked, most)

    def _read(self, ids: list[int], clips: Sequence[Clip], cache: Cache) -> Iterator[Array]:
        """Put a prompt into the cache in steps; the last gives the state [hidden] after it."""
        clips = list(clips)
        head, inside = self._head(ids, clips)
        key = hashlib.sha256(np.asarray(ids[:head]).tobytes())
        for clip in clips[:inside]:
            key.update(hashlib.sha256(clip.tobytes()).digest())
        with self._turn:
            known = self._heads.load(key.hexdigest(), cache)
        if not known:
            yield from self._put(ids[:head], clips[:inside], cache)
            with self._turn:
                self._heads.keep(key.hexdigest(), cache)
        yield from self._put(ids[head:], clips[inside:], cache)

    def _head(self, ids: list[int], clips: list[Clip]) -> tuple[int, int]:
        """How many tokens there are up to the end of the first clips that stand together, and clips."""
        at = 0
        for is_sound, run in groupby(ids, self._words.speech.__eq__):
            length = len(list(run))
            at += length
            if is_sound:
                ends = np.cumsum([self._config.tokens_of(clip.size) for clip in clips])
                return at, int(np.searchsorted(ends, length)) + 1
        return 0, 0

    def _put(self, ids: list[int], clips: Sequence[Clip], cache: Cache) -> Iterator[Array]:
        speech = []
        for clip in clips:
            for window in mel.windows(clip, self._model.mel_bins, self._config.tail):
                with self._turn:
                    speech.append(self._model.speech_embeddings(window))
                yield speech[-1][-1]
        steps = self._model.prefill(self._model.input_embeddings(ids, speech), cache)
        while True:
            with self._turn:
                states = next(steps, None)
            if states is None:
                return
            yield states[-1]

    def _answer(self, state: Array, cache: Cache, asked: Asked, most: int) -> Iterator[Step]:
        rules = self._config.generation
        guard, stops, stream = rules.guard(), Stops(asked.stop), self._words.stream()
        logits = self._model.decoder.logits(state)
        for number in range(1, most + 1):
            log_probs = log_softmax(logits)
            allowed = logits[: self._words.speech].copy()  # no place of sound, nor what is beyond
            allowed[list(guard.banned())] = -np.inf
            token = asked.choice(allowed)
            log_prob = float(log_probs[token])
            if token in rules.end_tokens:
                yield Step(stops.rest(), token, log_prob, "stop")
                return
            guard.add(token)
            text = stops.add(stream.add(token))
            if stops.found or number == most:
                yield Step(text + stops.rest(), token, log_prob, "stop" if stops.found else "length")
                return
            yield Step(text, token, log_prob)
            with self._turn:
                logits = self._model.next_logits(token, cache)
