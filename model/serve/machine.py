"""What this machine has: CPU instructions, memory that is free, GPUs."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, Arm
_CGROUPS = (  # folder, limit, use, and what of it are files that the kernel drops first; of version 2 and 1
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class Gpu:
    """One graphics card: memory in bytes, `capability` as in CUDA (9.0: Hopper)."""

    name: str
    memory: int
    free: int
    capability: float


@dataclass(frozen=True)
class Machine:
    """The CPUs this process may use, their flags, bytes of memory that are free, and the GPUs."""

    cpus: tuple[int, ...]
    flags: frozenset[str]
    memory: int
    gpus: tuple[Gpu, ...] = ()

    @property
    def has_bfloat16(self) -> bool:
        """Whether the CPU computes in bfloat16 by itself; others imitate it, many times slower."""
        return bool(self.flags & _BFLOAT16_FLAGS)


def look() -> Machine:
    """Look at this machine, as far as this process may use it."""
    return Machine(_cpus(), _flags(), _free_memory(), _gpus())


def _cpus() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _flags() -> frozenset[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return frozenset(value.split())
    return frozenset()


def _free_memory() -> int:
    """Bytes that could be had now: the kernel's estimate, or less where a container is limited to less."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder, limit, used, droppable in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            free = min(free, _left(Path(folder), limit, used, droppable))
    return max(free, 0)


def _left(cgroup: Path, limit: str, used: str, droppable: str) -> int:
    """Bytes left to a cgroup; what it has read, such as weights, counts as used until it is dropped."""
    left = int((cgroup / limit).read_text()) - int((cgroup / used).read_text())
    with contextlib.suppress(OSError, ValueError):
        for line in (cgroup / "memory.stat").read_text().splitlines():
            name, _, size = line.partition(" ")
            if name == droppable:
                return left + int(size)
    return left


def _gpus() -> tuple[Gpu, ...]:
    """NVIDIA's cards, those that CUDA_VISIBLE_DEVICES leaves visible."""
    try:
        listed = subprocess.run(
            [
                "nvidia-smi",
                "--query-gpu=index,uuid,name,memory.total,memory.free,compute_cap",
                "--format=csv,noheader,nounits",
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return gpus_in(listed, os.environ.get("CUDA_VISIBLE_DEVICES"))


def gpus_in(listed: str, visible: str | None) -> tuple[Gpu, ...]:
    """Read nvidia-smi's table: index, uuid, name, MiB in all, MiB free, capability."""
    found: dict[str, Gpu] = {}
    uuids: dict[str, str] = {}
    for line in listed.splitlines():
        parts = [part.strip() for part in line.split(",")]
        with contextlib.suppress(ValueError):  # "[N/A]" on cards that do not tell
            index, uuid, name, total, free, capability = parts
            found[index] = Gpu(name, int(total) * MIB, int(free) * MIB, float(capability))
            uuids[uuid] = index
    if visible is None:
        return tuple(found.values())
    named = [item.strip() for item in visible.split(",") if item.strip()]
    chosen = [uuids.get(item, item) for item in named]
    return tuple(found[index] for index in chosen if index in found)
