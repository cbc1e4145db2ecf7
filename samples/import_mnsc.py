"""Bring real Singlish clips of the Multitask National Speech Corpus (MNSC) beside our synthetic ones.

    HF_TOKEN=... python -m samples.import_mnsc --limit 5    # from the hub; needs access to the gated dataset
    python -m samples.import_mnsc --folder DIR --limit 5    # from its parquet files in DIR

The clips go to `samples/mnsc/`, which git ignores, with a manifest of the same form as ours. They are for the
person who accepted the dataset's terms: do not pass them on.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from model.audio import AudioError, decode, seconds, wav_bytes
from samples.scripts import FOLDER

DATASET = "MERaLiON/Multitask-National-Speech-Corpus-v1"
PAGE = f"https://huggingface.co/datasets/{DATASET}"
LICENCE = f"MNSC's own terms, see {PAGE}"
NOTE = "Real recordings of MNSC, for the person who accepted its terms. Do not pass them on."
TARGET = FOLDER / "mnsc"
SUBSETS = (
    "ASR-PART1-Test",
    "ASR-PART2-Test",
    "ASR-PART3-Test",
    "ASR-PART4-Test",
    "SQA-PART3-Test",
    "SDS-PART3-Test",
)
COLUMNS = ["context", "instruction", "answer"]
# Parts 1 and 2 are read aloud in standard English; from part 3 on people talk freely.
READ_ALOUD = re.compile(r"PART[12]\b")
SPEAKER_TAG = re.compile(r"<Speaker\s*(\d+)>\s*:?\s*", re.IGNORECASE)
TASKS = {
    "ASR": "transcribe",
    "SQA": "answer",
    "SDS": "summarise",
    "AR": "speaker",
    "GR": "speaker",
    "PQA": "speaker",
}


Rows = Generator[dict[str, Any], None, None]


class ImportFailed(RuntimeError):
    """Nothing could be brought in; the message says why and what to do."""


def rows_of_folder(folder: Path, subset: str) -> Rows:
    """Rows of the parquet files whose path names the subset."""
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise ImportFailed(f"There are no parquet files in {folder}. Name the folder that holds the dataset.")
    named = [path for path in files if subset in path.as_posix()]
    for path in named:
        with path.open("rb") as file:
            yield from rows_of_file(file)


def rows_of_hub(subset: str) -> Rows:
    """Rows of the subset's first file, of which only the needed blocks are fetched."""
    import huggingface_hub
    from huggingface_hub import errors as hub

    try:
        files = huggingface_hub.HfFileSystem()
        paths = sorted(str(path) for path in files.glob(f"datasets/{DATASET}/{subset}/*.parquet"))
        if not paths:
            raise ImportFailed(
                f"The dataset has no subset {subset} that you may read. Accept its terms at {PAGE}."
            )
        with files.open(paths[0]) as file:
            yield from rows_of_file(file)
    except hub.OfflineModeIsEnabled as error:
        raise ImportFailed(
            "HF_HUB_OFFLINE is set. Unset it, or use --folder with files that you have."
        ) from error
    except (
        hub.RepositoryNotFoundError,
        hub.LocalTokenNotFoundError,
        FileNotFoundError,
        PermissionError,
    ) as error:
        raise ImportFailed(
            f"The hub does not let you read {DATASET}. "
            f"Accept its terms at {PAGE}, then set HF_TOKEN to your own token."
        ) from error
    except ImportFailed:
        raise
    except (
        Exception
    ) as error:  # the hub's client lets those of its HTTP library through, which change with it
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImportFailed(
            f"The hub could not be reached ({reason}). "
            "Check the network, or use --folder with files that you have."
        ) from error


def rows_of_file(file: Any) -> Rows:
    """Rows of one parquet file, few at a time."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
        if missing := set(COLUMNS) - set(table.schema_arrow.names):
            raise ImportFailed(
                f"The file has no column {', '.join(sorted(missing))}; it is not in MNSC's form."
            )
        batches = table.iter_batches(batch_size=4, columns=COLUMNS)
        for batch in batches:
            yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ImportFailed(f"A parquet file could not be read: {error}") from error


def _text(value: Any) -> str:
    """Instruction and answer are strings in some releases and {"text": ...} in others."""
    return str(value.get("text") or "") if isinstance(value, dict) else str(value or "")


def entry(row: dict[str, Any], subset: str, number: int, target: Path) -> dict[str, Any] | None:
    """Write one clip as 16 kHz WAV and return its manifest row; None when its audio cannot be decoded."""
    context = row["context"] or {}
    try:
        pcm = decode(context.get("bytes") or b"")
    except AudioError:
        return None
    name = f"mnsc-{subset.lower().removesuffix('-test')}-{number:03}"
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name}.wav"
    path.write_bytes(wav_bytes(pcm))
    task = TASKS.get(subset.split("-")[0], "answer")
    instruction, answer = _text(row["instruction"]), _text(row["answer"])
    tags = SPEAKER_TAG.findall(answer)
    spoken = SPEAKER_TAG.sub("", answer).strip()
    prompt: dict[str, Any] = {"task": task, "text": instruction or "Please transcribe this speech."}
    if task not in ("transcribe", "summarise"):
        prompt["answers"] = [answer]
    return {
        "id": name,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seconds": round(seconds(pcm), 2),
        "group": "singapore" if READ_ALOUD.search(subset) else "singlish",
        "title": f"MNSC {subset.removesuffix('-Test')} {number}",
        "synthetic": False,
        "transcript": spoken if task == "transcribe" else "",
        "speakers": max(1, len(set(tags))),
        "voices": [],
        "made_with": f"recorded; {DATASET}, {subset}",
        "turns": [],
        "prompts": [prompt],
        "reference": [answer] if task == "summarise" else [],
    }


def bring(folder: Path | None, subsets: list[str], limit: int, target: Path = TARGET) -> list[dict[str, Any]]:
    """Up to `limit` clips of each subset into `target`, manifest last. Raises ImportFailed."""
    rows: list[dict[str, Any]] = []
    for subset in subsets:
        brought = 0
        with closing(rows_of_folder(folder, subset) if folder else rows_of_hub(subset)) as source:
            for row in source:
                if brought == limit:
                    break
                if found := entry(row, subset, brought + 1, target):
                    rows.append(found)
                    brought += 1
        print(f"{subset}: {brought} clips")
    if not rows:
        raise ImportFailed(
            f"No clip was found for {', '.join(subsets)}. Choose subsets of the dataset with --subset."
        )
    manifest = {"version": 1, "synthetic": False, "note": NOTE, "licence": LICENCE, "samples": rows}
    (target / "manifest.json").write_text(
        json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="read parquet files from here instead of the hub")
    parser.add_argument("--subset", nargs="+", default=list(SUBSETS), help="folders of the dataset")
    parser.add_argument("--limit", type=int, default=3, help="clips of each subset")
    arguments = parser.parse_args()
    try:
        rows = bring(arguments.folder, arguments.subset, arguments.limit)
    except ImportFailed as error:
        raise SystemExit(str(error)) from error
    print(f"{len(rows)} clips are in {TARGET.relative_to(FOLDER.parent)}; they stay on this machine.")


if __name__ == "__main__":
    main()
