"""Rows become examples and batches; what is unfit is named, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.training import tiny
from training import config as configs
from training.audiollm_config import AudioLLMRun, SpecAugmentConfig
from training.build_model import Built, build
from training.errors import DataError
from training.examples import Collator, Examples
from training.turns import UNSCORED, Turns

RATE = 16_000


class Rows:
    """Rows in memory."""

    def __init__(self, *answers: str, seconds: float = 2.0, broken: tuple[int, ...] = ()) -> None:
        rng = np.random.default_rng(0)
        self._rows = [
            {
                "audio": rng.normal(0, 0.1, int(seconds * RATE)).astype(np.float32),
                "instruction": tiny.QUESTION,
                "answer": answer,
                "id": f"row-{number}",
            }
            for number, answer in enumerate(answers)
        ]
        for number in broken:
            self._rows[number]["audio"][5] = np.nan  # type: ignore[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.checkpoint(folder / "model")
    settings = tiny.settings(folder / "run", folder / "model", folder)
    return build(configs.parse(AudioLLMRun, settings, "test"))


def examples(built: Built, rows: Rows, **options: Any) -> Examples:
    processor = built.processor
    return Examples(rows, Turns(processor, 256), processor.feature_extractor, **options)


def test_an_unfit_row_is_named_and_the_next_fit_one_stands_in(built: Built) -> None:
    found = examples(built, Rows("a", "", "b <eos>", "c", "long " * 200, "e", broken=(5,)))
    assert [found[n].id for n in range(6)] == ["row-0", "row-3", "row-3", "row-3", "row-0", "row-0"]
    assert found[0].left_out == ()
    assert found[1].left_out == (
        "row-1: its answer is empty",
        "row-2: its answer holds the control token <eos>",
    )
    assert "row-4: it takes" in found[4].left_out[0] and "not numbers" in found[4].left_out[1]
    note = Collator(0)([found[n] for n in range(6)])["note"]
    assert len(note.left_out) == 2 + 1 + 2 + 1


def test_a_row_that_stands_in_for_one_that_cannot_be_read_says_so(built: Built) -> None:
    rows = Rows("a")
    rows[0]["left_out"] = ("row-9: it cannot be decoded",)
    assert examples(built, rows)[0].left_out == ("row-9: it cannot be decoded",)


def test_a_corpus_of_unfit_rows_stops_the_run(built: Built) -> None:
    with pytest.raises(
        DataError, match="3 rows in a line cannot be used, such as row-0: its answer is empty"
    ):
        examples(built, Rows("", " ", "\n"))[0]


def test_masks_hang_on_seed_and_place_alone(built: Built) -> None:
    rows, augment = Rows("a", "a", seconds=10), SpecAugmentConfig()
    plain = examples(built, rows)
    first, again = (examples(built, rows, augment=augment, seed=3) for _ in range(2))
    other = examples(built, rows, augment=augment, seed=4)
    assert np.array_equal(first[0].features, again[0].features)
    assert not np.array_equal(first[0].features, other[0].features)
    zeros = [(made.features == 0).all(1)[0] for made in (plain[0], first[0], first[1])]
    assert zeros[0].sum() == 0 and zeros[1].any() and not np.array_equal(zeros[1], zeros[2])
    assert not zeros[1][1_000:].any()  # 10 s are 1,000 frames; the rest is padding


def test_scoring_the_answers_positions_alone_gives_the_loss_of_all(built: Built) -> None:
    found = examples(built, Rows("short", "a rather longer answer", "mid one"))
    three = [found[n] for n in range(3)]
    batch = Collator(0)(three)
    width = batch["input_ids"].shape[1]
    assert width % 8 == 0 and len(batch["logits_to_keep"]) < width / 2
    whole = torch.tensor([[*each.labels, *[UNSCORED] * (width - len(each.labels))] for each in three])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "input_features")}
    built.model.eval()
    with torch.no_grad():
        all_positions = built.model(**inputs, labels=whole).loss
        batch.pop("note")
        few = built.model(**batch).loss
    assert few.item() == pytest.approx(all_positions.item(), rel=1e-6)


def test_a_batch_pads_what_no_row_can_see(built: Built) -> None:
    found = examples(built, Rows("short", "a rather longer answer"))
    alone, both = Collator(0)([found[0]]), Collator(0)([found[0], found[1]])
    built.model.eval()
    with torch.no_grad():
        logits = [
            built.model(
                **{name: batch[name] for name in ("input_ids", "attention_mask", "input_features")}
            ).logits
            for batch in (alone, both)
        ]
    length = len(found[0].ids)
    torch.testing.assert_close(logits[0][0, :length], logits[1][0, :length], rtol=1e-4, atol=1e-4)
