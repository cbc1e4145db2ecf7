"""Transcripts as a Whisper's decoder reads and writes them: prompt, words, end of text; no times.

    read     <|startoftranscript|> <|en|> <|transcribe|> <|notimestamps|>  Can  lah
    written                   -100   -100           -100              Can  lah  <|endoftext|>

The prompt is given, never guessed, so it is not scored: a corpus of one language would unlearn the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from training.errors import ConfigError
from training.examples import Example, note_of
from training.turns import UNSCORED, UnfitRow


class Transcripts:
    """Writes token ids and labels of transcripts for one language."""

    def __init__(self, tokenizer: WhisperTokenizer, language: str, max_tokens: int) -> None:
        """`max_tokens` is what the decoder has positions for. Raises ConfigError for an unknown language."""
        self.tokenizer = tokenizer
        self._max_tokens = max_tokens
        if language not in LANGUAGES and language not in TO_LANGUAGE_CODE:
            raise ConfigError(
                f"model.language: Whisper knows no language {language!r}. Write a code such as en."
            )
        tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
        self.prompt: list[int] = tokenizer.prefix_tokens

    def encode(self, instruction: str, answer: str, samples: int) -> tuple[list[int], list[int]]:
        """What the decoder reads and what it is to write, equally long; -100 is not scored.

        Raises UnfitRow: a transcript that is empty, holds a control token, or has more tokens than the
        decoder has positions.
        """
        words = answer.strip()
        if not words:
            raise UnfitRow("its transcript is empty")
        if "<|" in words:
            raise UnfitRow("its transcript holds a control token")
        # A space first: so Whisper was taught, and so it writes.
        target = self.tokenizer(f" {words}", add_special_tokens=False)["input_ids"]
        read = [*self.prompt, *target]
        if len(read) > self._max_tokens:
            raise UnfitRow(f"its transcript takes {len(read)} tokens, more than {self._max_tokens}")
        scored = [*target, self.tokenizer.eos_token_id]
        return read, [UNSCORED] * (len(self.prompt) - 1) + scored

    def window_states(self, samples: int) -> tuple[int, ...]:
        """None: every window is heard whole."""
        return ()


class TranscriptCollator:
    """Pads examples on the right to one batch."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """A batch: the model's arguments, and `note`, a BatchNote.

        `input_features` [batch, mel_bins, 3000]; `decoder_input_ids` and `labels` [batch, tokens].
        """
        width = max(len(example.ids) for example in examples)
        ids, labels = (
            torch.tensor([row + [value] * (width - len(row)) for row in rows])
            for rows, value in (
                ([example.ids for example in examples], self._pad),
                ([example.labels for example in examples], UNSCORED),
            )
        )
        return {
            "input_features": torch.from_numpy(np.concatenate([example.features for example in examples])),
            "decoder_input_ids": ids,
            "labels": labels,
            "note": note_of(examples),
        }
