"""A frozen encoder's states of a corpus, computed once: the mini model's training reads them, not audio.

    python -m training.features --config training/configs/mini.yaml

Every clip is encoded in a whole window of 30 s. Of the 1,500 states those of the sound and a little after it
are kept, and all of them for clips of dev and test and for one in `full_every` of train: the model must know
the silence that it will be served. With `short` all but those of train are encoded without that silence, and
served so. A clip that several rows ask about is encoded once. Killed and run again it goes on, and
ends with the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model.geometry import ENCODER_STRIDE, WINDOW_STATES, ClipError, states_in
from model.processing import checked_clip, mel_windows
from training import parts
from training.config import load
from training.data import schema
from training.data.files import write_text, written_whole
from training.errors import CheckpointMismatch, DataError
from training.errors import run as run_command
from training.feature_store import ROWS, STATES, WORDS, shard_path
from training.mini_config import FeaturesConfig, MiniRun
from training.parts import load_encoder

ABOUT = "about"  # the entry of a shard's metadata


@dataclass(frozen=True)
class Encoding:
    """Which encoder, and how."""

    encoder: str
    config: FeaturesConfig
    tuned_layers: int = 0  # that are left out

    def says(self) -> dict[str, Any]:
        """What the states depend on."""
        names = ("precision", "tail", "full_every", "short")
        found = {"encoder": self.encoder} | {name: getattr(self.config, name) for name in names}
        return found | ({"tuned_layers": self.tuned_layers} if self.tuned_layers else {})

    def load(self) -> Encoder:
        """The encoder in its arithmetic. Raises ConfigError."""
        return Encoder(load_encoder(self.encoder), self.config.precision, self.tuned_layers)

    def kept(self, samples: int, key: str, split: str) -> int:
        """How many of a clip's 1,500 states are kept."""
        is_train = split == "train"
        if int(key[:8], 16) % self.config.full_every == 0 if is_train else not self.config.short:
            return WINDOW_STATES
        return states_in(samples, self.config.tail)


@dataclass(frozen=True)
class Shard:
    """One corpus' shard and what is made of it."""

    source: Path
    target: Path
    split: str
    keys: tuple[str, ...]  # of the clips that it holds first, in order

    def stamp(self, encoding: Encoding) -> str:
        """Changes with the shard's bytes, its clips, and how they are encoded."""
        digest = hashlib.sha256(repr((self.keys, self.split, encoding.says())).encode())
        with self.source.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


class Encoder:
    """The frozen encoder in its arithmetic; it takes windows shorter than 30 s too."""

    def __init__(self, loaded: parts.Encoder, precision: str, left_out: int = 0) -> None:
        """Without its last `left_out` layers and what follows them."""
        self._extractor = loaded.extractor
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._encoder = loaded.model.eval().requires_grad_(False).to(self._dtype)
        if left_out:
            self._encoder.layers = self._encoder.layers[:-left_out]
            self._encoder.layer_norm = nn.Identity()

    @torch.inference_mode()
    def __call__(self, clip: np.ndarray, states: int) -> Tensor:
        """The first `states` [states, d_model] of a clip (samples,) in a window of so many, float16.

        One at a time: a batch gains nothing on a core.
        """
        mel = torch.from_numpy(mel_windows(self._extractor, clip))[..., : states * ENCODER_STRIDE]
        return self._encoder.hear(mel.to(self._dtype))[0].half()


def build(corpus: Path, folder: Path, splits: tuple[str, ...], encoding: Encoding) -> dict[str, Any]:
    """Encode the splits of a corpus into `folder`; shards that are there already are kept.

    Returns rows, rows left out, clips, states, clips encoded now, and seconds. Raises DataError and
    CheckpointMismatch.
    """
    _claim(folder, encoding)
    started = time.monotonic()
    report = dict.fromkeys(("rows", "left_out", "clips", "states", "encoded"), 0)
    for split in splits:
        shards = _shards(corpus, folder, split)
        waiting = [shard for shard in shards if not _is_done(shard, encoding)]
        for done, encoded in enumerate(_each(waiting, encoding), 1):
            report["encoded"] += encoded
            _say(f"{corpus} {split}", done, len(waiting), time.monotonic() - started)
        for name, count in _index(folder, split, shards).items():
            report[name] += count
    return report | {"seconds": round(time.monotonic() - started, 1)}


def encode_shard(shard: Shard, encoding: Encoding, encoder: Encoder) -> int:
    """Write the states of one corpus' shard; how many clips were encoded."""
    places: dict[str, tuple[int, int]] = {}
    kept_parts: list[Tensor] = []
    start = 0
    for key, clip in _clips(shard):
        kept = encoding.kept(clip.size, key, shard.split)
        window = kept if encoding.config.short else WINDOW_STATES
        kept_parts.append(encoder(clip, window)[:kept].clone())
        places[key] = (start, kept)
        start += kept
    if not places:
        raise DataError(f"No clip of {shard.source} can be used. Build that corpus again.")
    with written_whole(shard.target) as beside:
        # One entry: safetensors writes several in an order that differs from run to run.
        said = {ABOUT: json.dumps({"stamp": shard.stamp(encoding), "places": places})}
        save_file({STATES: torch.cat(kept_parts)}, beside, metadata=said)
        beside.chmod(0o644)  # safetensors writes for the owner alone
    return len(places)


def _clips(shard: Shard) -> Iterator[tuple[str, np.ndarray]]:
    """The shard's own clips; one that cannot be decoded is named and left out."""
    wanted = set(shard.keys)
    for key, context, name in _contexts(shard.source):
        if key not in wanted:
            continue
        wanted.remove(key)
        try:
            yield key, checked_clip(schema.decode(context), 1)
        except (DataError, ClipError) as error:
            sys.stderr.write(f"Left out: {name} of {shard.source}: {error}\n")


def _shards(corpus: Path, folder: Path, split: str) -> list[Shard]:
    """A split's shards that hold a clip first, with those clips. Raises DataError where there is no split."""
    paths = schema.shards(corpus, split)
    if not paths:
        raise DataError(f"{corpus} has no split {split}. Build the corpus, or name another one.")
    seen: set[str] = set()
    shards = []
    for number, path in enumerate(paths):
        keys = dict.fromkeys(key for key, _, _ in _contexts(path) if key not in seen)
        seen.update(keys)
        shards.append(Shard(path, shard_path(folder, split, number), split, tuple(keys)))
    return shards


def _contexts(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """Every row's sound with its key and its name, a row group at a time."""
    try:
        for batch in pq.ParquetFile(path).iter_batches(schema.ROW_GROUP_ROWS, columns=["context"]):
            for context in batch["context"].to_pylist():
                sound = context["bytes"] or b""
                yield hashlib.sha256(sound).hexdigest(), sound, context["path"]
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read ({error}). Build the corpus again.") from None


def _each(waiting: list[Shard], encoding: Encoding) -> Iterator[int]:
    """Encode shards in processes of their own, each of one thread; clips encoded, in the shards' order."""
    if encoding.config.workers == 1 or len(waiting) < 2:
        encoder = encoding.load() if waiting else None
        yield from (encode_shard(shard, encoding, encoder) for shard in waiting if encoder)
        return
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(encoding.config.workers, spawn, _start, (encoding,)) as pool:
        try:
            yield from pool.map(_work, waiting)
        except BrokenProcessPool:
            raise DataError(
                "A process that encodes was killed, most likely for memory. Finished shards are kept: run it "
                "again, with features.workers=1 where memory is short."
            ) from None


_mine: tuple[Encoding, Encoder]  # a process' own


def _start(encoding: Encoding) -> None:
    global _mine
    torch.set_num_threads(1)
    _mine = encoding, encoding.load()


def _work(shard: Shard) -> int:
    return encode_shard(shard, *_mine)


def _is_done(shard: Shard, encoding: Encoding) -> bool:
    if not shard.keys:
        return True
    try:
        return bool(_said(shard.target)["stamp"] == shard.stamp(encoding))
    except (OSError, SafetensorError, KeyError):
        return False


def _said(path: Path) -> dict[str, Any]:
    """What a shard of states says of itself."""
    with safe_open(path, "pt") as file:
        found: dict[str, Any] = json.loads((file.metadata() or {})[ABOUT])
    return found


def _index(folder: Path, split: str, shards: Iterable[Shard]) -> dict[str, int]:
    """Write the rows of a split with where their states are."""
    places: dict[str, tuple[int, int, int]] = {}
    rows: list[dict[str, Any]] = []
    left_out = 0
    for number, shard in enumerate(shards):
        if shard.keys:
            found = _said(shard.target)["places"]
            places |= {key: (number, start, kept) for key, (start, kept) in found.items()}
        words = pq.read_table(shard.source, columns=list(WORDS)).to_pylist()
        for row, (key, _, _) in zip(words, _contexts(shard.source), strict=True):
            if key in places:
                rows.append(row | dict(zip(("shard", "start", "kept"), places[key], strict=True)))
            else:
                left_out += 1
    with written_whole(folder / f"{split}.parquet") as beside:
        pq.write_table(pa.Table.from_pylist(rows, ROWS), beside)
    states = sum(kept for _, _, kept in places.values())
    return {"rows": len(rows), "left_out": left_out, "clips": len(places), "states": states}


def _claim(folder: Path, encoding: Encoding) -> None:
    """Say in `folder` how its states are made. Raises CheckpointMismatch where they were made otherwise."""
    path = folder / "features.json"
    if not path.is_file():
        write_text(path, json.dumps(encoding.says(), indent=1) + "\n")
        return
    found = json.loads(path.read_text("utf-8"))
    says = encoding.says()
    if differing := [name for name in {**found, **says} if found.get(name) != says.get(name)]:
        raise CheckpointMismatch(
            f"{folder} was made with another {', '.join(differing)}. Name another features.folder, or delete "
            "this one."
        )


def _say(what: str, done: int, count: int, seconds: float) -> None:
    left = seconds / done * (count - done)
    sys.stderr.write(f"{what}: {done} of {count} shards encoded, {left / 60:.0f} min left\n")


def of_run(run: MiniRun) -> dict[str, dict[str, Any]]:
    """Encode a run's synthetic corpus and its human one; what was done for each."""
    assert run.listen.model.encoder
    encoding = Encoding(run.listen.model.encoder, run.features, run.tuned_layers)
    return {
        "corpus": build(run.listen.data.train, folder_of(run, "corpus"), ("train", "dev"), encoding),
        "human": build(run.human, folder_of(run, "human"), ("dev", "test"), encoding),
    }


def folder_of(run: MiniRun, which: str) -> Path:
    """Where the states of the "corpus" or of the "human" speech of a run lie."""
    return run.features.folder / which


def main() -> None:
    """Encode the corpora of a config's run, and print what was done."""
    parser = argparse.ArgumentParser(
        prog="python -m training.features", description="Encode the mini model's corpora once."
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a setting")
    options = parser.parse_args()
    for name, report in of_run(load(MiniRun, options.config, options.set)).items():
        sys.stdout.write(json.dumps({"speech": name, **report}) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
