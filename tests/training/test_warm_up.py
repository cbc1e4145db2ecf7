"""CTC against a decoder's own embeddings: it learns to hear, and it resumes and stops as it should."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.checkpoints import tokenizers
from tests.training import tiny_mini
from tests.training.tiny import losses, write
from training.audiollm_config import SpecAugmentConfig
from training.batches import POOL, Batches
from training.config import load
from training.ctc import BLANK, CtcHead, SpokenWords, ctc_loss, fits, greedy
from training.errors import CheckpointMismatch, ConfigError, DataError, DivergedError
from training.mini_config import MiniRun
from training.variation import VariationConfig, Varied
from training.warm_up import size_loss, size_of, warm_up


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mini.decoder(tmp_path_factory.mktemp("decoder"))


def run_of(folder: Path, decoder: Path, **changes: Any) -> MiniRun:
    """A run in `folder` whose speech are patterns, a new one for each sentence held out."""
    tiny_mini.features(folder / "features/corpus", "train", tiny_mini.SENTENCES, times=8)
    for which in ("corpus", "human"):
        tiny_mini.features(folder / "features" / which, "dev", ["one dollar can", "need kopi lah"])
    values = tiny_mini.settings(folder, "not-loaded", decoder, **changes)
    return load(MiniRun, write(folder / "mini.yaml", values))


def test_the_loss_is_the_sum_over_all_ways_to_say_the_target() -> None:
    scores = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    said = 0.0
    for path in itertools.product(range(3), repeat=4):
        merged = [place for place, _ in itertools.groupby(path) if place != BLANK]
        if merged == [1, 2]:
            said += math.exp(sum(float(scores[0, step, place]) for step, place in enumerate(path)))
    assert float(ctc_loss(scores, [4], [[1, 2]])) == pytest.approx(-math.log(said) / 2, rel=1e-5)


def test_a_target_too_long_for_its_speech_counts_nothing() -> None:
    assert fits([1, 2, 3], 3)
    assert not fits([1, 1, 2], 3)
    scores = torch.zeros(2, 3, 3).log_softmax(-1)
    assert float(ctc_loss(scores, [3, 3], [[1, 1, 2], [1, 2]])) == pytest.approx(
        float(ctc_loss(scores[1:], [3], [[1, 2]])) * 2 / 5
    )


def test_a_reading_drops_blanks_and_repeats() -> None:
    best = torch.tensor([0, 2, 2, 0, 2, 1, 1])
    assert greedy(torch.nn.functional.one_hot(best, 3).float()) == [2, 2, 1]


def test_words_come_back_without_case_and_marks() -> None:
    words = SpokenWords.of(tokenizers.small(512), ["Can lah!", "It's 5 o'clock."])
    target = words.targets("CAN, lah - it’s 5 o'clock")
    assert target
    assert words.text(target) == "can lah it's 5 o'clock"
    assert words.targets("?!") is None
    assert words.targets("Zzz") is None


def test_words_in_parts_are_the_same_words() -> None:
    text = "call the company about the conference"
    words = SpokenWords.of(tokenizers.small(512), [text], parts=True)
    target = words.targets(text)
    assert target
    found = [words.in_parts(target, 0.5, Random(seed)) for seed in range(20)]
    assert {words.text(parts) for parts in found} == {text}
    assert len({tuple(parts) for parts in found}) > 10
    assert words.in_parts(target, 0.0, Random(0)) == target
    whole = SpokenWords.of(tokenizers.small(512), [text])
    assert len(whole.vocabulary) < len(words.vocabulary)


def test_a_clip_varies_with_the_epoch_alone() -> None:
    words = SpokenWords.of(tokenizers.small(512), ["call the company"], parts=True)
    target = words.targets("call the company")
    assert target
    clip = Varied(torch.ones(5 * 2 * len(target), 4), target)
    config = VariationConfig(0.9, SpecAugmentConfig(0.3, 3))
    one, same, other = (clip.by(config, words, 5, name) for name in ("0/0/a", "0/0/a", "0/1/a"))
    assert torch.equal(one.states, same.states) and one.target == same.target
    assert not torch.equal(one.states, other.states)
    masked = int((one.states == 0).all(1).sum())
    assert 0 < masked < len(one.states) and len(one.target) > len(target)
    assert clip.by(VariationConfig(), words, 5, "0/0/a") == clip
    short = Varied(clip.states[: 5 * len(target)], target)
    assert short.by(config, words, 5, "0/0/a").target == target


def test_a_resumed_run_hears_the_same_variations(decoder: Path, tmp_path: Path) -> None:
    changes = {
        "schedule": {"steps": 20, "warmup": 2},
        "every": {"log": 1, "eval": 20, "save": 10, "keep": 9},
        "vary": {"word_parts": 0.3, "mask": {"probability": 0.2, "length": 3}},
    }
    run = run_of(tmp_path, decoder, warm_up=changes)
    warm_up(run)
    found = losses(run.warm_up.run)
    shutil.rmtree(run.warm_up.run / "checkpoint-20")
    warm_up(run, resume=True)
    assert losses(run.warm_up.run) == found


def test_an_embedding_says_its_own_token_and_sizes_do_not_matter() -> None:
    embeddings = torch.randn(20, 64, generator=torch.Generator().manual_seed(1))
    scores = CtcHead(embeddings)(embeddings[None, :, :] * 7)
    assert greedy(scores[0]) == list(range(1, 21))
    assert float(size_loss(embeddings, size_of(embeddings))) < 0.02
    assert float(size_loss(embeddings * 3, size_of(embeddings))) == pytest.approx(math.log(3) ** 2, rel=0.1)


def test_batches_hold_every_item_once_an_epoch_and_lengths_together() -> None:
    lengths = [(7 * item) % 501 for item in range(1_001)]
    batches = Batches(range(1_001), lengths, 4, 600, seed=3)
    epochs = [[item for index in range(250 * n, 250 * (n + 1)) for item in batches[index]] for n in (0, 1)]
    for epoch in epochs:
        assert len(set(epoch)) == 1_000
    assert epochs[0] != epochs[1]
    spread = [
        max(lengths[item] for item in batches[n]) - min(lengths[item] for item in batches[n])
        for n in range(250)
    ]
    assert sum(spread) / 250 < 4 * 501 / POOL
    # Asked from the middle, as after a resume.
    assert Batches(range(1_001), lengths, 4, 600, seed=3)[321] == batches[321]
    assert Batches(range(3), [1, 2, 3], 8, 2, seed=0)[1] != []
    with pytest.raises(IndexError):
        batches[600]


def test_it_learns_to_hear_and_a_resumed_run_is_the_unbroken_one(decoder: Path, tmp_path: Path) -> None:
    # Long enough that what is learnt does not hang on the order of sums, which changes with the threads.
    run = run_of(tmp_path, decoder, warm_up={"schedule": {"steps": 400, "warmup": 10}})
    best = warm_up(run)
    assert best["people"] < 0.5  # of words that training has said, in sentences that it has not
    found = losses(run.warm_up.run)
    assert found[400] < 0.02 * found[1]
    adapter = load_file(run.warm_up.run / "adapter.safetensors")
    assert {name.split(".")[0] for name in adapter} == {"ln_speech", "speech_audio_adapter"}
    # As if it had been killed after step 300.
    shutil.rmtree(run.warm_up.run / "checkpoint-400")
    with pytest.raises(ConfigError, match="--resume"):
        warm_up(run)
    warm_up(run, resume=True)
    assert losses(run.warm_up.run) == found
    other = run_of(tmp_path, decoder, warm_up={"optimiser": {"peak_lr": 1e-4}})
    with pytest.raises(CheckpointMismatch, match=r"warm_up\.optimiser\.peak_lr was 0\.005"):
        warm_up(other, resume=True)


def test_it_ends_where_people_are_not_heard_better_any_more(decoder: Path, tmp_path: Path) -> None:
    every = {"log": 1, "eval": 2, "save": 100, "keep": 1}
    slow = {"optimiser": {"peak_lr": 1e-9}, "every": every, "patience": 2}
    run = run_of(tmp_path, decoder, warm_up=slow)
    best = warm_up(run)
    assert best["step"] == 2
    assert max(losses(run.warm_up.run)) == 6


def test_bad_speech_is_named_and_bad_runs_are_stopped(decoder: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, decoder, warm_up={"optimiser": {"peak_lr": 1e30}})
    texts = [*tiny_mini.SENTENCES, "?!"]
    tiny_mini.features(tmp_path / "features/corpus", "train", texts)
    with pytest.raises(DivergedError, match=r"At step \d+ .* is no number"):
        warm_up(run)
    (left_out,) = (run.warm_up.run / "left_out.jsonl").read_text().splitlines()
    assert json.loads(left_out) == "train-6: it has no word"
    tiny_mini.features(tmp_path / "features/corpus", "train", ["?!"])
    with pytest.raises(DataError, match="has no transcript to learn from"):
        warm_up(run, resume=True)
