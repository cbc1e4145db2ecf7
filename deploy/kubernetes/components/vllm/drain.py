"""Keep a vLLM pod that is told to go until its answers have ended: its `preStop`.

Kubernetes takes the pod's address out of DNS when this begins. SETTLE_S later every controller has seen that
and sends nothing new (its discovery_interval_s, and what DNS keeps an answer). Then this waits until vLLM is
idle, WITHIN_S at most in all; what is left is resumed elsewhere by the controllers, as after any failure.
"""

from __future__ import annotations

import os
import time
import urllib.request

BUSY = ("vllm:num_requests_running", "vllm:num_requests_waiting")


def busy(metrics: str) -> float:
    """Return how many requests run or wait."""
    lines = [line for line in metrics.splitlines() if line.split("{")[0].split(" ")[0] in BUSY]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def main() -> None:
    """Wait."""
    url = os.environ.get("METRICS", "http://127.0.0.1:8001/metrics")
    end = time.monotonic() + float(os.environ["WITHIN_S"])
    time.sleep(float(os.environ["SETTLE_S"]))
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own pod
                left = busy(response.read().decode())
        except OSError:  # it has ended by itself
            return
        if not left:
            return
        time.sleep(0.5)


if __name__ == "__main__":
    main()
