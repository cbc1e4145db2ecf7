"""Machines and models to plan for, on paper."""

from __future__ import annotations

from dataclasses import replace

from model.layouts import BY_MODEL_TYPE
from model.serve.machine import GIB, Gpu, Machine
from model.serve.plan import Model

X86 = frozenset({"avx2", "avx512f"})
LAPTOP = Machine(tuple(range(8)), frozenset({"avx2"}), 12 * GIB)
SMALL = Machine((0, 1), X86 | {"avx512_bf16"}, 22 * GIB)
SERVER = Machine(tuple(range(32)), X86 | {"avx512_bf16", "amx_bf16"}, 120 * GIB)
H100 = Gpu("NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, 9.0)
RTX_8 = Gpu("NVIDIA GeForce RTX 3070", 8 * GIB, 7 * GIB + GIB // 2, 8.6)
T4 = Gpu("Tesla T4", 15 * GIB, 15 * GIB - GIB // 4, 7.5)


def with_gpus(*gpus: Gpu) -> Machine:
    return replace(SERVER, gpus=gpus)


# MERaLiON-2-10B by its published sizes: Whisper-large-v3's encoder, the gated adapter, Gemma2-9B.
TEN_B = Model(
    "MERaLiON-2-10B",
    BY_MODEL_TYPE["meralion2"],
    parameters=637_000_000 + 228_000_000 + 9_241_705_984,
    quantisable=9_241_705_984 - 256_000 * 3_584,
    weight_bytes=2 * 10_106_705_984,
    kv_bytes=42 * 2 * 8 * 256 * 2,  # layers x (key, value) x heads x width x 2 bytes
    positions=8_192,
    soft_cap=True,
)
# Whisper base's encoder with SmolLM2 135M.
OWN = Model(
    "own",
    BY_MODEL_TYPE["meralion_audiollm"],
    parameters=165_000_000,
    quantisable=106_000_000,
    weight_bytes=660_000_000,
    kv_bytes=30 * 2 * 3 * 64 * 2,
    positions=8_192,
    soft_cap=False,
)
