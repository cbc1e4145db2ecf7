"""Clips one after another: the answer says what is heard, and the parts are the clips' own states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from training.errors import DataError
from training.feature_store import ROWS as SCHEMA
from training.feature_store import STATES, Features, shard_path
from training.joining import PAUSE, SECONDS, joined_rows

TAIL = 50


def clip(number: int, seconds: float, task: str = "asr", answer: str = "") -> dict[str, Any]:
    """A row about clip `number`, the only one of its shard, of which all 30 s are kept."""
    return {
        "id": f"clip-{number}-{task}",
        "task": task,
        "source": "synthetic",
        "instruction": "Which number?" if task == "sqa" else "Write.",
        "answer": answer or f"It is {number}",
        "duration": seconds,
        "shard": number,
        "start": 0,
        "kept": 1_500,
    }


ROWS = [
    *(clip(number, 1.0 + number % 7) for number in range(40)),
    *(clip(number, 1.0 + number % 7, "sqa", str(number)) for number in range(0, 40, 2)),
    clip(40, 6.0, answer="<Speaker1>: Can. <Speaker2>: Cannot."),
    clip(40, 6.0, "sqa", "forty"),
    clip(41, 25.0),
]


def test_all_that_is_said_is_written_in_order_up_to_a_window() -> None:
    joined = joined_rows(ROWS, {"asr": 300}, TAIL, 1)
    assert len({row["id"] for row in joined}) == 300
    for row in joined:
        shards = [shard for shard, _, _ in row["parts"]]
        assert row["answer"] == " ".join(f"It is {shard}." for shard in shards)
        assert 40 not in shards  # two speak there
        assert len(shards) == len({*shards}) > 1
        sound = sum(ROWS[shard]["duration"] for shard in shards[:-1])
        assert row["duration"] <= SECONDS[1] + 1
        for shard, start, count in row["parts"][:-1]:
            heard = ROWS[shard]["duration"] * 50 + PAUSE
            assert start == 0 and heard <= count < heard + 15
        last = next(each for each in ROWS if each["shard"] == shards[-1])
        assert row["parts"][-1][2] >= last["duration"] * 50 + TAIL
        assert row["kept"] == sum(count for _, _, count in row["parts"]) <= 1_500
        assert row["duration"] >= sound + last["duration"]
    assert len({len(row["parts"]) for row in joined}) > 3
    assert joined == joined_rows(ROWS, {"asr": 300}, TAIL, 1) != joined_rows(ROWS, {"asr": 300}, TAIL, 2)


def test_some_are_of_two_who_take_turns() -> None:
    voices = {f"clip-{number}": ("bella", "liam", "river")[number % 3] for number in range(39)}
    joined = joined_rows(
        ROWS, {"asr": 300, "sqa": 50}, TAIL, 1, voices | {"clip-41": "bella", "clip-39": "once"}
    )
    talks = [row for row in joined if row["answer"].startswith("<Speaker1>: ")]
    assert 50 < len(talks) < 150 and all(row["task"] == "asr" for row in talks)
    for row in talks:
        shards = [shard for shard, _, _ in row["parts"]]
        marks = [f"<Speaker{place % 2 + 1}>: It is {shard}." for place, shard in enumerate(shards)]
        assert row["answer"] == " ".join(marks)
        heard = [voices[f"clip-{shard}"] for shard in shards]
        assert len({*heard[::2]}) == len({*heard[1::2]}) == 1 and heard[0] != heard[1]
        assert len(shards) == len({*shards}) > 1 and row["kept"] <= 1_500
    assert len({len(row["parts"]) for row in talks}) > 3


def test_a_question_is_about_one_of_the_clips_at_any_place() -> None:
    joined = joined_rows(ROWS, {"sqa": 200}, TAIL, 1)
    places = set()
    for row in joined:
        assert row["instruction"] == "Which number?"
        shards = [shard for shard, _, _ in row["parts"]]
        places.add([str(shard) for shard in shards].index(row["answer"]))
        asked = [shard for shard in shards if shard % 2 == 0]  # clips that are asked about have even numbers
        assert [str(shard) for shard in asked] == [row["answer"]] and len(shards) > 1
    assert len(places) > 2
    assert joined_rows(ROWS, {}, TAIL, 1) == []


@pytest.mark.parametrize("rows", [[], [clip(1, 25.0), clip(2, 26.0)], [clip(1, 2.0)]])
def test_clips_that_do_not_fit_together_are_told(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="Take `join` out of the config"):
        joined_rows(rows, {"asr": 1}, TAIL, 1)


def test_states_of_several_clips_are_read_one_after_another(tmp_path: Path) -> None:
    for number in range(2):
        states = torch.full((1_500, 4), float(number + 1)).half()
        save_file({STATES: states}, shard_path(tmp_path, "train", number))
    pq.write_table(pa.Table.from_pylist(ROWS[:2], SCHEMA), tmp_path / "train.parquet")
    features = Features(tmp_path, "train")
    row = {**ROWS[0], "parts": [(1, 0, 30), (0, 15, 45)], "kept": 75}
    assert features.states(row)[:, 0].tolist() == [2.0] * 30 + [1.0] * 45
    assert len(features.states(row | {"kept": 60})) == 60
    assert len(features.states(ROWS[0])) == 1_500
