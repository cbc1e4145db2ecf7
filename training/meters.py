"""How fast training goes and what it waits for: tokens/s, samples/s, MFU and the share of data waiting.

The paper's run made 5.8 samples/s a GPU, 8 % of an H100's peak: it was bound by its data, which nothing
showed. Here each logged step does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Tally:
    """What one process has done since the last log line; seconds do not include evaluation or saving."""

    seconds: float = 0.0
    waited: float = 0.0
    samples: float = 0.0
    tokens: float = 0.0
    flops: float = 0.0
    left_out: float = 0.0

    def tensor(self) -> Tensor:
        """The fields in order, to be summed over processes."""
        return torch.tensor([getattr(self, each.name) for each in fields(self)], dtype=torch.float64)


class Meter:
    """Collects a Tally step by step and turns the sum over all processes into rates."""

    def __init__(
        self, peak: float | None, processes: int = 1, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`peak` is one device's FLOP/s; None: MFU is left out."""
        self._peak, self._processes, self._clock = peak, processes, clock
        self._tally = Tally()
        self._begun: float | None = None

    def begin(self) -> None:
        """A step begins: from here on data is waited for."""
        self._begun = self._clock()

    def data_came(self) -> None:
        """The step's batches are there."""
        if self._begun is not None:
            self._tally.waited += self._clock() - self._begun

    def add(self, samples: int, tokens: int, flops: float, left_out: int) -> None:
        """Count a batch."""
        self._tally.samples += samples
        self._tally.tokens += tokens
        self._tally.flops += flops
        self._tally.left_out += left_out

    def end(self) -> None:
        """The step has ended; once more before the next begins changes nothing."""
        if self._begun is not None:
            self._tally.seconds += self._clock() - self._begun
        self._begun = None

    def read(self, summed: Callable[[Tensor], Tensor] = lambda tally: tally) -> dict[str, float]:
        """Rates since the last reading, over all processes; `summed` adds a tensor up over them."""
        total = Tally(*summed(self._tally.tensor()).tolist())
        self._tally = Tally()
        if total.seconds == 0:
            return {}
        seconds = total.seconds / self._processes
        rates = {
            "samples_per_s": total.samples / seconds,
            "tokens_per_s": total.tokens / seconds,
            "tflops_per_device": total.flops / total.seconds / 1e12,
            "data_wait": total.waited / total.seconds,
            "left_out": total.left_out,
        }
        if self._peak:
            rates["mfu"] = total.flops / total.seconds / self._peak
        return rates
