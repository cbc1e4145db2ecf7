"""Many independent pieces of work on all cores: by Ray Data, here or on a cluster, or by plain processes.

A piece is done by a function that leaves its result in a file and may be called again, so a worker that is
lost costs a piece. A piece that takes three workers with it is named, and the run stops.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from training.data.files import trouble
from training.data.settings import Machine
from training.errors import ConfigError, DataError, TrainingError

Work = Callable[[dict[str, Any]], dict[str, Any]]
"""What is done with a piece: takes and gives JSON; the piece has a `name`."""

ATTEMPTS = 3
BLOCKS = 2_000  # of Ray Data, at most: each costs the driver some memory


class Engine:
    """Does work; `folder` is on a disk that all workers see, and notes who is at what."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.cpus = machine.cpus or os.cpu_count() or 1
        self._folder = folder

    def each(self, work: Work, pieces: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Results in the order in which they are ready.

        Raises what a worker raised as a TrainingError, and DataError for a piece that workers die of.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for note in self._folder.iterdir():
            note.unlink()
        for result in self._results(partial(_one, work, str(self._folder)), pieces):
            if "error" in result:
                raise _KINDS.get(result["kind"], DataError)(result["error"])
            yield result

    def _results(self, work: Work, pieces: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    def _lost(self, reason: str) -> DataError:
        """Who was being worked on when workers died."""
        names = sorted(note.name for note in self._folder.iterdir())
        tried = {name: _attempts(self._folder / name) for name in names}
        worst = [name for name in names if tried[name] == max(tried.values())][:5]
        return DataError(
            f"A worker was lost ({reason}) while at {', '.join(worst) or 'nothing'}. Give it more memory or "
            "fewer `machine.cpus` and run the same command again; it goes on from there. If that happens at "
            "the same one again, look at that file, or leave it out by naming it under `skip`."
        )


class Processes(Engine):
    """Plain processes of this machine."""

    def _results(self, work: Work, pieces: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.cpus, len(pieces)) or 1, spawning, _one_thread) as pool:
            try:
                for done in as_completed([pool.submit(work, piece) for piece in pieces]):
                    yield done.result()
            except BrokenProcessPool:
                raise self._lost("killed or out of memory") from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


class RayData(Engine):
    """Ray Data: the same on two cores and on a cluster."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        super().__init__(machine, folder)
        import ray.data

        self._ray = ray
        if not ray.is_initialized():
            _start(machine, self.cpus)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)

    def _results(self, work: Work, pieces: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        rows = [{"piece": json.dumps(piece)} for piece in pieces]
        if not rows:
            return
        done = self._ray.data.from_items(rows, override_num_blocks=min(len(rows), BLOCKS)).map_batches(
            partial(_batch, work), batch_size=1, num_cpus=1
        )
        try:
            for row in done.iter_rows():
                yield json.loads(row["result"])
        except self._ray.exceptions.RayError as error:
            crashed = (
                self._ray.exceptions.WorkerCrashedError,
                self._ray.exceptions.OutOfMemoryError,
                self._ray.exceptions.NodeDiedError,
                self._ray.exceptions.ObjectLostError,
            )
            if isinstance(error, crashed):
                raise self._lost(type(error).__name__) from None
            raise


def engine(machine: Machine, folder: Path) -> Engine:
    """The engine that the config names. Raises ConfigError where a cluster cannot be reached."""
    return RayData(machine, folder) if machine.engine == "ray" else Processes(machine, folder)


class Progress:
    """A line on standard error: how much is done, and how long the rest will take."""

    EVERY = 1.0  # s on a terminal, ten times that in a log

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._said = self._first = 0.0

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        self._first = self._first or now
        terminal = sys.stderr.isatty()
        if self._done == self._total or now - self._said >= self.EVERY * (1 if terminal else 10):
            self._said = now
            text = f"{self._what} {self._done:,} of {self._total:,}{self._left(now)}"
            sys.stderr.write(f"\r\x1b[K{text}" if terminal else f"{text}\n")
            if terminal and self._done == self._total:
                sys.stderr.write("\n")
            sys.stderr.flush()

    def _left(self, now: float) -> str:
        """By the pace since the first, which came late because the workers had to start."""
        if self._done in (1, self._total):
            return ""
        return f", {_spoken((now - self._first) / (self._done - 1) * (self._total - self._done))} left"


def _spoken(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def _batch(work: Work, batch: dict[str, Any]) -> dict[str, list[str]]:
    _one_thread()
    return {"result": [json.dumps(work(json.loads(str(piece)))) for piece in batch["piece"]]}


def _one(work: Work, folder: str, piece: dict[str, Any]) -> dict[str, Any]:
    """Do a piece under a note that stays if the worker dies, and grows by a line for each that does."""
    note = Path(folder, piece["name"])
    try:
        with _noted(note):
            return work(piece)
    except TrainingError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except OSError as error:
        return {"error": trouble(note, error), "kind": DataError.__name__}


@contextmanager
def _noted(note: Path) -> Iterator[None]:
    with note.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if _attempts(note) > ATTEMPTS:
        raise DataError(
            f"{ATTEMPTS} workers died at {note.name}. Look at what it is made of; "
            "to go on without it, name it under `skip` in the config."
        )
    yield
    note.unlink(missing_ok=True)


def _attempts(note: Path) -> int:
    return note.read_text().count("\n")


_KINDS: dict[str, type[TrainingError]] = {
    kind.__name__: kind for kind in (TrainingError, ConfigError, DataError)
}


def _one_thread() -> None:
    """Every core has its own process: threads in them would only get in each other's way."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _start(machine: Machine, cpus: int) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        if machine.address:
            _reach(machine.address)
            ray.init(address=machine.address, **quiet)
        else:
            # Results are a few bytes: what is made goes to the disk and not through Ray's memory.
            ray.init(num_cpus=cpus, include_dashboard=False, object_store_memory=100 * 1024**2, **quiet)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise ConfigError(
            f"Ray could not be started ({' '.join(str(error).split())[:200]}). Mend `machine`, or set "
            "machine.engine to processes to work on this machine alone."
        ) from None


def _reach(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            pass
