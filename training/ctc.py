"""CTC of an adapter's outputs against a decoder's own token embeddings: speech becomes the decoder's words.

Logits are the scaled cosine of each audio token to the embeddings of the tokens that transcripts use, and
to a learnt blank (Graves et al., 2006). With the language model's loss alone nothing of the audio is learnt
in the time that this takes to hear most words. Its greedy reading is a cheap check of what the adapter
hears.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE = 20.0  # of cosines at the start, then learnt: random vectors of 576 differ by cosines of 0.04
BLANK = 0  # its place; token n of the vocabulary is at n + 1
SPACE = "Ġ"  # in names of tokens of bytes
WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


class SpokenWords:
    """Transcripts as CTC writes them: words in lower case without marks, each with a space before it."""

    def __init__(self, tokenizer: Any, vocabulary: Sequence[int]) -> None:
        """`vocabulary`: ids in the decoder's tokenizer."""
        self.tokenizer = tokenizer
        self.vocabulary = list(vocabulary)
        self._places = {id_: place for place, id_ in enumerate(self.vocabulary, 1)}

    @classmethod
    def of(cls, tokenizer: Any, texts: Iterable[str], parts: bool = False) -> SpokenWords:
        """The words of `texts`, and with `parts` the pieces that their tokens can be written in."""
        used = {id_ for text in texts for id_ in token_ids(tokenizer, text)}
        if parts:
            halves = _halves(tokenizer, used)
            used |= {half for pairs in halves.values() for pair in pairs for half in pair}
        return cls(tokenizer, sorted(used))

    def in_parts(self, target: list[int], share: float, chance: Random) -> list[int]:
        """A target, a `share` of its tokens written as two others, where the vocabulary has them."""
        found: list[int] = []
        for place in target:
            pairs = self._parts.get(place, ())
            found += chance.choice(pairs) if pairs and chance.random() < share else (place,)
        return found

    @cached_property
    def _parts(self) -> dict[int, list[tuple[int, int]]]:
        """The ways to write a place of the vocabulary as two."""
        return {
            self._places[id_]: kept
            for id_, pairs in _halves(self.tokenizer, self.vocabulary).items()
            if (
                kept := [
                    (self._places[a], self._places[b]) for a, b in pairs if {a, b} <= self._places.keys()
                ]
            )
        }

    def targets(self, text: str) -> list[int] | None:
        """A transcript as places in the vocabulary; None where it has no words or one that is not known."""
        places = [self._places.get(id_) for id_ in token_ids(self.tokenizer, text)]
        return [place for place in places if place] if places and None not in places else None

    def text(self, places: Iterable[int]) -> str:
        """The words at places of the vocabulary."""
        ids = [self.vocabulary[place - 1] for place in places]
        return str(self.tokenizer.decode(ids)).strip()


class CtcHead(nn.Module):
    """Log-probabilities of the blank and of each token of a vocabulary, from embeddings of speech."""

    def __init__(self, embeddings: Tensor) -> None:
        """`embeddings` [vocabulary, hidden] are the decoder's own and stay as they are."""
        super().__init__()
        self.register_buffer("tokens", functional.normalize(embeddings.float(), dim=-1), persistent=False)
        self.blank = nn.Parameter(torch.randn(embeddings.shape[1]) / math.sqrt(embeddings.shape[1]))
        self.scale = nn.Parameter(torch.tensor(math.log(SCALE)))

    def forward(self, speech: Tensor) -> Tensor:
        """Speech embeddings [batch, tokens, hidden] to log-probabilities [batch, tokens, 1 + vocabulary]."""
        known = torch.cat([functional.normalize(self.blank, dim=0)[None], self.tokens])
        cosines = functional.normalize(speech.float(), dim=-1) @ known.T
        return (self.scale.exp() * cosines.float()).log_softmax(-1)


def ctc_loss(log_probs: Tensor, lengths: Sequence[int], targets: Sequence[Sequence[int]]) -> Tensor:
    """Loss of a target's token, the mean over a batch of `log_probs` [batch, tokens, 1 + vocabulary].

    Row n has `lengths[n]` tokens. One whose target does not fit in there counts as 0; `fits` tells.
    """
    flat = torch.tensor([place for target in targets for place in target])
    sizes = torch.tensor([len(target) for target in targets])
    found = functional.ctc_loss(
        log_probs.transpose(0, 1), flat, torch.tensor(lengths), sizes, BLANK, "sum", zero_infinity=True
    )
    return found / max(int(sizes.sum()), 1)


def fits(target: Sequence[int], length: int) -> bool:
    """Whether CTC can write `target` in `length` steps: a blank must part two equal tokens."""
    repeats = sum(one == other for one, other in pairwise(target))
    return len(target) + repeats <= length


def greedy(log_probs: Tensor) -> list[int]:
    """The likeliest reading of one clip's [tokens, 1 + vocabulary]: places, without blanks and repeats."""
    best = torch.unique_consecutive(log_probs.argmax(-1))
    return [int(place) for place in best if place != BLANK]


def _halves(tokenizer: Any, ids: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
    """The pairs of tokens that each token can be cut into; the first keeps the space before a word."""
    known: dict[str, int] = tokenizer.get_vocab()
    names = {id_: name for name, id_ in known.items()}
    return {
        id_: [
            (known[name[:at]], known[name[at:]])
            for name in [names[id_]]
            for at in range(1 + (name[0] == SPACE), len(name))
            if name[:at] in known and name[at:] in known
        ]
        for id_ in ids
    }


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of the words of a text, as they are heard: no case, no marks."""
    spoken = "".join(f" {word}" for word in WORDS.findall(text.lower().replace("’", "'")))
    ids: list[int] = tokenizer(spoken, add_special_tokens=False)["input_ids"]
    return ids
