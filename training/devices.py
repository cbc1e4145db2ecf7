"""The dense peak of a device, that MFU is a share of."""

from __future__ import annotations

import time

import torch

# TFLOP/s in bf16 without sparsity, from the makers' data sheets; the first name that is part of the device's.
PEAKS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "B200": 2_250.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A40": 150.0,
    "A10": 125.0,
    "RTX 4090": 165.0,
}
CPU_SIDE = 1_024  # of the square matrices that measure a CPU: 2 GFLOP a product
CPU_SECONDS = 0.3


def peak_flops(device: torch.device, dtype: torch.dtype, said: float | None = None) -> float | None:
    """FLOP/s that one device can do: `said` in TFLOP/s, or the table's, or measured on a CPU.

    None where a GPU is not in the table: MFU is then left out.
    """
    if said is not None:
        return said * 1e12
    if device.type == "cpu":
        return measured(dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    known = next((peak for part, peak in PEAKS.items() if part in name), None)
    return None if known is None else known * 1e12


def measured(dtype: torch.dtype) -> float:
    """FLOP/s of products of square matrices on the threads that torch has here: the best of some."""
    left, right = (torch.randn(CPU_SIDE, CPU_SIDE, dtype=dtype) for _ in range(2))
    best = float("inf")
    end = time.perf_counter() + CPU_SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - begin)
    return float(2 * CPU_SIDE**3 / best)
