"""A corpus of synthetic speech, shard after shard, on all cores. What is finished survives a kill.

A shard depends on the config alone: not on the processes, nor on what was made before it. So a build that was
killed and run again ends with the same bytes as one that was not.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from model.embedded.weights import WeightsError
from training.data.schema import SAMPLE_RATE, SPLITS, row, write_index, write_shard
from training.data.synthesise.clips import Clip, Stage, made
from training.data.synthesise.config import Synthesis
from training.data.synthesise.corpus import begin, describe, finish, is_finished, part, plain
from training.data.synthesise.engines.all import Engines
from training.errors import DataError

WORDS_PER_SECOND = 2.5  # to guess how long a text takes, with SILENCE around it
SILENCE = 0.7  # s
PROGRESS_EVERY = 1.0  # s


class Shard(NamedTuple):
    """The clips `first` to `last` - 1 of a split, in one file."""

    split: str
    number: int
    first: int
    last: int

    def path(self, out: Path) -> Path:
        """Where its rows are."""
        return out / self.split / f"{self.number:05}.parquet"

    def is_made(self, out: Path) -> bool:
        """Were its rows and their part of the index written?"""
        return self.path(out).exists() and part(out, self.split, self.number).exists()


def build(config: Synthesis, only: range | None = None) -> dict[str, Any]:
    """Make what is missing; the figures of the corpus and of this run.

    With `only`, of train only the shards of these numbers: the rest may be made elsewhere, or later.
    Raises DataError: a folder of another config, a full disk, weights that are missing, a lost worker, and
    where `only` names no shard.
    """
    began = time.perf_counter()
    shards = _shards(config)
    wanted = (
        shards if only is None else [each for each in shards if each.split != "train" or each.number in only]
    )
    if only is not None and not any(each.split == "train" for each in wanted):
        last = max((each.number for each in shards if each.split == "train"), default=0)
        raise DataError(f"No shard of train is among {only.start} to {only.stop - 1}: they are 0 to {last}.")
    begin(config)
    finished = is_finished(config.out)
    missing = [] if finished else [each for each in wanted if not each.is_made(config.out)]
    seconds = _by_processes(config, missing) if missing else 0.0
    whole = finished or all(each.is_made(config.out) for each in shards)
    total: dict[str, Any] = (finish(config) if whole else describe(config))["total"]
    wall = time.perf_counter() - began
    return total | {
        "out": str(config.out),
        "processes": _processes(config),
        "wall_s": round(wall, 1),
        "made_now_s": round(seconds, 1),
        "real_time_factor": round(seconds / wall, 2),
    }


def planned(config: Synthesis, sample: int = 400) -> dict[str, Any]:
    """What a build would make, judged by the words of its first clips: nothing is spoken."""
    stage = Stage.of(config, "train")
    words = [made(config, "train", number, stage, None).words for number in range(sample)]
    mean = sum(len(text.split()) for text in words) / sample
    clips = sum(shard.last - shard.first for shard in _shards(config))
    return {
        "clips": clips,
        "hours_about": round(clips * (mean / WORDS_PER_SECOND + SILENCE) / 3600, 2),
        "words_per_clip": round(mean, 1),
        "distinct_texts_of_100": round(100 * len(set(words)) / sample),
        "shards": len(_shards(config)),
        "processes": _processes(config),
    }


def _shards(config: Synthesis) -> list[Shard]:
    """Those of dev first: what is there of train by any time can then be trained on."""
    found = []
    for split in sorted(SPLITS, key=("dev", "train", "test").index):
        clips = getattr(config.clips, split)
        for number, first in enumerate(range(0, clips, config.shard_clips)):
            found.append(Shard(split, number, first, min(first + config.shard_clips, clips)))
    return found


def _processes(config: Synthesis) -> int:
    return config.processes or len(os.sched_getaffinity(0))


def _by_processes(config: Synthesis, missing: list[Shard]) -> float:
    """Make the shards that are missing; the seconds of sound in them."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit ONNX Runtime's threads half alive
    spoken = context.Value("i", 0)
    pool = ProcessPoolExecutor(min(_processes(config), len(missing)), context, _begin, (spoken,))
    seconds = 0.0
    clips = sum(shard.last - shard.first for shard in missing)
    with tqdm(total=clips, unit="clip", desc="Speaking", smoothing=0.02) as progress:
        try:
            running = {pool.submit(_make, config, shard) for shard in missing}
            while running:
                done, running = wait(running, PROGRESS_EVERY, FIRST_COMPLETED)
                seconds += sum(future.result() for future in done)
                progress.update(spoken.value - progress.n)
        except BrokenProcessPool:
            raise DataError(
                "A worker was lost, most often because memory ran out. Finished shards are kept: run the "
                "same command again, with fewer `processes` if it happens twice."
            ) from None
        except WeightsError as error:
            raise DataError(str(error)) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return seconds


def _make(config: Synthesis, shard: Shard) -> float:
    """Speak one shard, in a process of its own; the seconds of its sound."""
    stages, engines = _tools(config)
    engines.begin(_seed(config, shard))
    clips = []
    for number in range(shard.first, shard.last):
        clips.append(made(config, shard.split, number, stages[shard.split], engines))
        _count_one()
    write_shard(shard.path(config.out), _rows(clips, config.source))
    write_index(part(config.out, shard.split, shard.number), _index(clips, shard.split, config.source))
    return sum(clip.pcm.size for clip in clips) / SAMPLE_RATE


def _rows(clips: list[Clip], source: str) -> Iterator[dict[str, Any]]:
    for clip in clips:
        for asked in clip.rows:
            yield row(
                clip.pcm,
                id=f"{clip.id}-{asked.task}",
                instruction=asked.instruction,
                answer=asked.answer,
                task=asked.task,
                source=source,
            )


def _index(clips: list[Clip], split: str, source: str) -> Iterator[dict[str, Any]]:
    for clip in clips:
        for asked in clip.rows:
            yield {
                "id": f"{clip.id}-{asked.task}",
                "split": split,
                "task": asked.task,
                "source": source,
                "duration": clip.pcm.size / SAMPLE_RATE,
                "audio_sha256": hashlib.sha256(clip.pcm.astype("<i2").tobytes()).hexdigest(),
                "speakers": [voice.name for voice in clip.speakers],
                "sexes": [voice.sex for voice in clip.speakers],
                "accents": [voice.region for voice in clip.speakers],
                "text": plain(clip.words),
            }


def _seed(config: Synthesis, shard: Shard) -> int:
    digest = hashlib.blake2b(f"{config.seed}/{shard.split}/{shard.number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


_mine: tuple[dict[str, Stage], Engines] | None = None  # this process' own, made once


def _tools(config: Synthesis) -> tuple[dict[str, Stage], Engines]:
    """The texts and voices of all splits, and what speaks."""
    global _mine
    if _mine is None:
        stages = {split: Stage.of(config, split) for split in SPLITS}
        _mine = stages, Engines(voice for stage in stages.values() for voice in stage.cast.voices)
    return _mine


_spoken: Synchronized[int] | None = None  # a worker's: clips spoken by all of them


def _begin(spoken: Synchronized[int]) -> None:
    """Make a process ready to work, and let it end with its parent, however that ends."""
    global _spoken
    _spoken = spoken
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _count_one() -> None:
    assert _spoken is not None
    with _spoken.get_lock():
        _spoken.value += 1
