"""Rows of a mixture: which, in what order, and what happens when some cannot be read."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch.utils.data import DataLoader, SequentialSampler

from tests.training.data.small_corpus import numbered, write_corpus
from training.data.augment import Augment, Noise, Speed
from training.data.mixture import Mixture, MixtureDataset, Rows, Source, groups
from training.data.schema import decode, read_shard
from training.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 ASR rows with 100 questions among them, in three shards."""
    rows = [row for n in range(100) for row in (*numbered(f"a{n}", 3), *numbered(f"q{n}", 1, "sqa"))]
    return write_corpus(tmp_path_factory.mktemp("corpus"), [rows[:150], rows[150:350], rows[350:]])


@pytest.fixture
def mixture(corpus: Path) -> Mixture:
    return Mixture(
        (
            Source(corpus, tasks=("asr",), weight=0.75),
            Source(corpus, tasks=("sqa",), weight=0.25),
        ),
        seed=5,
        shuffle_groups=1,
    )


def test_a_mixture_keeps_to_its_weights_and_its_tasks(mixture: Mixture) -> None:
    rows = MixtureDataset(mixture, global_batch=16, steps=50)
    assert len(rows) == 800
    tasks = Counter(rows[index]["task"] for index in range(len(rows)))
    assert abs(tasks["asr"] - 600) <= 16
    assert tasks["asr"] + tasks["sqa"] == 800
    asr, sqa = rows.describe()
    assert (asr["rows"], asr["share"], asr["epochs"]) == (300, 0.75, 2.0)
    assert (sqa["rows"], sqa["draws"], sqa["epochs"]) == (100, 200, 2.0)


def test_each_row_of_a_source_is_heard_once_an_epoch(corpus: Path) -> None:
    rows = MixtureDataset(Mixture((Source(corpus),)), global_batch=8, steps=50)
    assert len({rows[index]["id"] for index in range(400)}) == 400


def test_any_ranks_accumulation_and_workers_see_the_same_batches(mixture: Mixture) -> None:
    dataset = MixtureDataset(mixture, global_batch=16, steps=6)
    whole = [dataset[index]["id"] for index in range(len(dataset))]

    def loaded(workers: int, micro_batch: int) -> list[str]:
        loader = DataLoader(
            dataset,
            micro_batch,
            sampler=SequentialSampler(dataset),
            num_workers=workers,
            collate_fn=lambda rows: [row["id"] for row in rows],
        )
        return [id for ids in loader for id in ids]

    assert loaded(0, 4) == loaded(2, 8) == whole
    # Two ranks take turns at micro-batches of four: each holds its own slots, step after step.
    slots = {index % 16 for index in range(len(dataset)) if index // 4 % 2 == 0}
    assert slots == {0, 1, 2, 3, 8, 9, 10, 11}


def test_a_run_goes_on_where_it_stopped(mixture: Mixture) -> None:
    whole = MixtureDataset(mixture, global_batch=16, steps=40)
    later = MixtureDataset(mixture, global_batch=16, steps=60)
    assert [later.place(n) for n in range(16 * 39, 16 * 40)] == [
        whole.place(n) for n in range(16 * 39, 16 * 40)
    ]
    with pytest.raises(IndexError):
        whole[len(whole)]


def test_rows_come_as_they_were_written(corpus: Path) -> None:
    written = {
        row["id"]: row for path in (corpus / "train").iterdir() for row in read_shard(path).to_pylist()
    }
    rows = MixtureDataset(Mixture((Source(corpus),)), 4, 5)
    for index in range(len(rows)):
        row = rows[index]
        assert row["audio"].dtype == np.float32
        np.testing.assert_array_equal(row["audio"], decode(written[row["id"]]["context"]["bytes"]))
        assert {name: row[name] for name in ("answer", "task", "duration")} == {
            name: written[row["id"]][name] for name in ("answer", "task", "duration")
        }


def test_row_groups_are_read_once_while_they_are_needed(corpus: Path) -> None:
    rows = MixtureDataset(Mixture((Source(corpus),), shuffle_groups=1), 1, 400)
    for index in range(400):
        rows[index]
    there = sum(pq.ParquetFile(path).num_row_groups for path in (corpus / "train").iterdir())
    assert rows.store.reads == there
    rows.store.limit = 1  # byte: one group at a time
    for index in range(0, 400, 50):
        rows[index]
    assert len(rows.store._tables) == 1


def test_too_little_memory_is_told_once(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(groups, "LOOK_AFTER", 20)
    for limit, warnings in ((2**20, 0), (1, 1)):
        caplog.clear()
        rows = MixtureDataset(Mixture((Source(corpus),)), 4, 20)
        rows.store.limit = limit
        for index in range(60):
            rows[index]
        assert len([record for record in caplog.records if "cache_mb" in record.getMessage()]) == warnings


def test_a_dataset_goes_to_a_worker_without_its_rows(mixture: Mixture) -> None:
    rows = MixtureDataset(mixture, 4, 10)
    rows[0]
    other = pickle.loads(pickle.dumps(rows))
    assert not other.store._tables
    assert other[7]["id"] == rows[7]["id"]


def test_augmented_rows_repeat_and_change_from_epoch_to_epoch(corpus: Path, mixture: Mixture) -> None:
    loud = Augment(noise=Noise(1.0, (0.0, 0.0)), speed=Speed(1.0, (1.25,)))
    mixture = replace(mixture, augment=loud, sources=(Source(corpus, tasks=("sqa",)),))
    rows, again = (MixtureDataset(mixture, 4, 50) for _ in range(2))
    np.testing.assert_array_equal(rows[3]["audio"], again[3]["audio"])
    assert rows[3]["duration"] == pytest.approx(0.04)
    heard = {index: rows[index] for index in range(200)}
    twice = next((a, b) for a in range(100) for b in range(100, 200) if heard[a]["id"] == heard[b]["id"])
    assert not np.array_equal(*(heard[index]["audio"] for index in twice))


def test_rows_for_evaluation_are_plain_and_in_order(corpus: Path) -> None:
    rows = Rows(corpus, "train", ("sqa",))
    assert [rows[index]["id"] for index in range(len(rows))] == [f"q{n}-0" for n in range(100)]
    some = Rows(corpus, "train", ("sqa",), limit=4)
    assert [some[index]["id"] for index in range(len(some))] == ["q0-0", "q25-0", "q50-0", "q75-0"]


def test_a_row_that_cannot_be_decoded_is_named_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = write_corpus(tmp_path, [numbered("r", 10)])
    path = corpus / "train/00000.parquet"
    spoilt = read_shard(path).to_pylist()
    spoilt[3]["context"]["bytes"] = b"fLaC and nothing"
    spoilt[4]["duration"] = 2.0
    spoilt[7]["answer"] = " "
    pq.write_table(pa.Table.from_pylist(spoilt, read_shard(path).schema), path)
    rows = MixtureDataset(Mixture((Source(corpus),)), 2, 10)
    with caplog.at_level(logging.WARNING):
        heard = [rows[index] for index in range(20)]
    assert {row["id"] for row in heard} == {f"r-{n}" for n in (0, 1, 2, 5, 6, 8, 9)}
    assert {reason.partition(":")[0] for row in heard for reason in row["left_out"]} == {"r-3", "r-4", "r-7"}
    assert ("r-7: it has no answer",) in [row["left_out"] for row in heard]
    assert set(rows.store.unusable) == {"r-3", "r-4", "r-7"}
    assert [record.getMessage() for record in caplog.records if "r-3 " in record.getMessage()] == [
        f"Row r-3 of {path} is not used: it has no audio that can be decoded "
        f"({rows.store.unusable['r-3'].partition('(')[2]}. Another takes its place."
    ]
    assert [row["id"] for row in heard] == [rows[index]["id"] for index in range(20)]


def test_a_row_group_without_a_usable_row_stops_the_run(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, [numbered("r", 2)])
    path = corpus / "train/00000.parquet"
    spoilt = [row | {"answer": ""} for row in read_shard(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(spoilt, read_shard(path).schema), path)
    with pytest.raises(DataError, match=r"00000.parquet can be used \(r-\d: it has no answer\)"):
        Rows(corpus, "train")[0]


def test_what_cannot_be_read_at_all_is_said_in_a_sentence(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [numbered("r", 4), numbered("s", 4)])
    with pytest.raises(DataError, match="holds no shards"):
        MixtureDataset(Mixture((Source(tmp_path / "none"),)), 2, 2)
    with pytest.raises(DataError, match="has no rows"):
        Rows(corpus, "train", ("accent",))
    rows = Rows(corpus, "train")
    (corpus / "train/00001.parquet").unlink()
    rows[0]
    with pytest.raises(DataError, match=r"00001.parquet is missing"):
        rows[4]
    (corpus / "train/00001.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        Rows(corpus, "train")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sources: []", "at least one source"),
        ("sources: [{corpus: a, weight: 0}]", "draws nothing"),
        ("sources: [{corpus: a, weight: 1}, {corpus: b}]", "every source a weight, or none"),
        ("sources: [{corpus: a, tasks: [asrr]}]", "no task 'asrr'"),
        ("sources: [{corpus: a, wieght: 1}]", "Did you mean sources\\[0\\].weight"),
        ("{sources: [{corpus: a}], temperature: 0}", "above 0"),
        ("{sources: [{corpus: a}], augment: {noise: {snr_db: [9, 3]}}}", "lowest and the highest"),
    ],
)
def test_a_wrong_mixture_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mixture.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        Mixture.load(path)


def test_temperature_evens_out_the_shares() -> None:
    sources = (Source(Path("a")), Source(Path("b")))
    assert Mixture(sources).shares([900, 100]) == pytest.approx((0.9, 0.1))
    assert Mixture(sources, temperature=2.0).shares([900, 100]) == pytest.approx((0.75, 0.25))


@pytest.mark.parametrize("name", ["mixture_10b", "mixture_whisper", "mixture_nsc", "mixture_mini"])
def test_the_mixtures_that_come_with_the_project_are_valid(name: str) -> None:
    assert sum(
        source.weight or 0 for source in Mixture.load(Path(f"training/configs/{name}.yaml")).sources
    ) == (pytest.approx(1.0))
