"""What a voice tells: a clip's mean is drawn to the word that is true of it, and padding is not heard."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from model.checkpoints import tokenizers
from training.data.synthesise.voices import Voice
from training.listen import row_losses
from training.turns import UNSCORED
from training.voice import REGIONS, SEXES, UNTOLD, VoiceWords, told

WIDTH = 32


@pytest.fixture(scope="module")
def embeddings() -> torch.Tensor:
    return torch.randn(512, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def words(embeddings: torch.Tensor) -> VoiceWords:
    return VoiceWords(tokenizers.small(512), embeddings, 20.0)


def of(word: str, embeddings: torch.Tensor, tokens: int) -> torch.Tensor:
    """Speech that means a word [tokens, WIDTH]."""
    ids = tokenizers.small(512)(word, add_special_tokens=False)["input_ids"]
    return embeddings[ids].mean(0).expand(tokens, WIDTH)


def test_a_voice_tells_its_sex_and_region_or_neither() -> None:
    assert told(Voice((("bf_alice", 1.0),))) == (list(SEXES).index("female"), list(REGIONS).index("British"))
    assert told(Voice((("am_liam", 1.0),))) == (list(SEXES).index("male"), list(REGIONS).index("American"))
    blend = Voice((("af_river", 0.5), ("bf_alice", 0.5)))
    assert told(blend)[1] is None


def test_the_true_word_costs_least_and_padding_nothing(words: VoiceWords, embeddings: torch.Tensor) -> None:
    man, woman = (of(word, embeddings, 6) for word in SEXES.values())
    speech, counts = torch.stack([man, woman]), torch.tensor([6, 6])
    right = words.loss(speech, counts, [(0, None), (1, None)])
    wrong = words.loss(speech, counts, [(1, None), (0, None)])
    assert right < 0.1 < 3 < wrong
    padded = functional.pad(speech, (0, 0, 0, 9), value=5.0)
    torch.testing.assert_close(words.loss(padded, counts, [(0, None), (1, None)]), right)


def test_only_what_is_told_counts(words: VoiceWords, embeddings: torch.Tensor) -> None:
    man = of(SEXES["male"], embeddings, 4)
    speech, counts = torch.stack([man, man, man]), torch.tensor([4, 4, 4])
    some = words.loss(speech, counts, [(0, None), UNTOLD, UNTOLD])
    torch.testing.assert_close(some, words.loss(speech[:1], counts[:1], [(0, None)]))
    assert float(words.loss(speech, counts, [UNTOLD] * 3)) == 0
    both = words.loss(speech[:1], counts[:1], [(0, 2)])
    region = words.loss(speech[:1], counts[:1], [(None, 2)])
    torch.testing.assert_close(both, (some + region) / 2)


def test_speech_learns_what_its_voice_tells(words: VoiceWords) -> None:
    speech = torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(1), requires_grad=True)
    counts, answers = torch.tensor([5, 3, 5, 4]), [(0, 0), (1, 1), UNTOLD, (1, 2)]
    before = words.loss(speech, counts, answers)
    before.backward()
    grad = speech.grad
    assert grad is not None
    assert not grad[2].any() and not grad[1, 3:].any() and grad[1, :3].any()
    after = words.loss(speech.detach() - 0.5 * grad, counts, answers)
    assert after < before


def test_a_row_costs_the_sum_of_its_scored_tokens() -> None:
    logits = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([[1, 2, UNSCORED, UNSCORED], [UNSCORED, 3, 4, 5], [UNSCORED] * 4])
    found = row_losses(logits, targets)
    each = [functional.cross_entropy(logits[row], targets[row], reduction="sum") for row in range(2)]
    torch.testing.assert_close(found, torch.stack([*each, torch.zeros(())]))
