"""Rows, shards and the index: what is written is what is read, and what is wrong is said."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from training.data import schema
from training.errors import DataError

NOISE = np.random.default_rng(0).integers(-3000, 3000, 16_000, np.int16)


def rows(count: int) -> list[dict[str, object]]:
    return [
        schema.row(
            NOISE[: 8_000 + n], id=f"a-{n}", instruction="Transcribe.", answer="hm", task="asr", source="s"
        )
        for n in range(count)
    ]


def test_a_shard_holds_the_samples_to_the_bit_in_row_groups_of_64(tmp_path: Path) -> None:
    path = tmp_path / "train" / "a.parquet"
    assert schema.write_shard(path, rows(130)) == 130
    table = schema.read_shard(path)
    sound = schema.decode(table["context"][129]["bytes"].as_py())
    assert np.array_equal(np.rint(sound * 32_768).astype(np.int16), NOISE[:8_129])
    assert table["duration"][129].as_py() == 8_129 / 16_000
    assert [pq.ParquetFile(path).metadata.row_group(n).num_rows for n in range(3)] == [64, 64, 2]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    schema.write_shard(tmp_path / "a.parquet", rows(3))
    schema.write_shard(tmp_path / "b.parquet", iter(rows(3)))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_datasets_knows_that_context_is_sound(tmp_path: Path) -> None:
    schema.write_shard(tmp_path / "a.parquet", rows(2))
    features = datasets.Dataset.from_parquet(str(tmp_path / "a.parquet"), cache_dir=str(tmp_path)).features
    assert isinstance(features["context"], datasets.Audio)
    assert features["context"].sampling_rate == 16_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "singing"}, "task 'singing'"),
        ({"answer": " "}, "no answer"),
        ({"id": "a/b"}, "an id that a file can be named by"),
        ({"duration": 31.0}, "is 31.0 s long"),
        ({"context": {"bytes": b"", "path": "b.flac"}}, "names its audio 'b.flac'"),
    ],
)
def test_a_row_that_is_none_is_refused_by_name_and_nothing_is_written(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        schema.write_shard(tmp_path / "a.parquet", [rows(1)[0] | change])
    assert not list(tmp_path.iterdir())


def test_sound_of_another_rate_or_none_at_all_is_named() -> None:
    import io

    import soundfile

    sink = io.BytesIO()
    soundfile.write(sink, np.zeros((100, 2)), 8_000, format="FLAC")
    with pytest.raises(DataError, match="8,000 Hz and 2 channels"):
        schema.decode(sink.getvalue())
    with pytest.raises(DataError, match="cannot be decoded"):
        schema.decode(b"no sound")


def test_a_broken_or_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet is missing"):
        schema.read_shard(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        schema.read_shard(tmp_path / "a.parquet")
    schema.write_index(tmp_path / "a.parquet", [])
    with pytest.raises(DataError, match="has the columns id string"):
        schema.read_shard(tmp_path / "a.parquet")


FILL = """
import resource, signal, sys
from pathlib import Path
from tests.training.data.test_schema import rows
from training.data import schema
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
schema.write_shard(Path(sys.argv[1]), rows(64))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on the size of files")
def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "a.parquet")], capture_output=True, text=True, check=False
    )
    assert "could not be written" in done.stderr and os.strerror(errno.EFBIG) in done.stderr
    assert not list(tmp_path.iterdir())
