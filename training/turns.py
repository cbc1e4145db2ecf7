"""Rows as tokens: the turn that serving sends, then answer and end of turn, which alone are learnt."""

from __future__ import annotations

from typing import Any

from model.geometry import states_of
from model.prompts import CONTROL_TOKENS
from training.errors import ConfigError

UNSCORED = -100  # the label that a loss leaves out


class UnfitRow(Exception):
    """A row that cannot become an example; the message is a reason such as "its answer is empty"."""


class Turns:
    """Writes token ids and labels with a model's own processor and chat template."""

    def __init__(self, processor: Any, max_tokens: int) -> None:
        """`processor` is an AudioLLMProcessor. Raises ConfigError where its template has no end of turn."""
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._max_tokens = max_tokens
        self.end_of_turn = self._end_of_turn()

    def encode(self, instruction: str, answer: str, samples: int) -> tuple[list[int], list[int]]:
        """Ids and labels of a row about a clip of `samples`; labels are -100 but for answer and end of turn.

        Raises UnfitRow: an answer that is empty or holds a control token, or more tokens than are allowed.
        """
        answer = answer.strip()
        if not answer:
            raise UnfitRow("its answer is empty")
        if found := next((token for token in CONTROL_TOKENS if token in answer), None):
            raise UnfitRow(f"its answer holds the control token {found}")
        prompt = self._prompt_ids(instruction, self.places(samples))
        target = [*self._ids(answer), self.end_of_turn]
        if len(prompt) + len(target) > self._max_tokens:
            raise UnfitRow(f"it takes {len(prompt) + len(target)} tokens, more than {self._max_tokens}")
        return prompt + target, [UNSCORED] * len(prompt) + target

    def places(self, samples: int) -> int:
        """How many places a clip of `samples` has in a prompt."""
        return int(self._processor.tokens_of(samples))

    def window_states(self, samples: int) -> tuple[int, ...]:
        """How many encoder states of each window of a clip are heard; empty where it is all of them."""
        tail = self._processor.tail
        return () if tail is None else tuple(states_of(samples, tail))

    def _prompt_ids(self, instruction: str, audio_tokens: int) -> list[int]:
        speech = self._processor.speech_token_id
        ids = self._ids(self._text([_asked(instruction)], add_generation_prompt=True))
        return [id_ for found in ids for id_ in ([found] * (audio_tokens if found == speech else 1))]

    def _text(self, turns: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        text: str = self._processor.apply_chat_template(
            turns, add_generation_prompt=add_generation_prompt, tokenize=False
        )
        return text

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def _end_of_turn(self) -> int:
        """The token that the template writes after an answer."""
        said = "yes"
        prompt = self._text([_asked("?")], add_generation_prompt=True)
        whole = self._text([_asked("?"), {"role": "assistant", "content": said}], add_generation_prompt=False)
        after = self._ids(whole.removeprefix(prompt + said)) if whole.startswith(prompt + said) else []
        if not after:
            raise ConfigError(
                "The decoder's chat template does not close an answer with a token of its own. "
                "Choose an instruction-tuned decoder."
            )
        return after[0]


def _asked(instruction: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": instruction}]}
