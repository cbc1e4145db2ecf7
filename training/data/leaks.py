"""Is a test set heard in training? By the samples, by who speaks, and by the words.

    python -m training.data.leaks CORPUS                   train against the corpus' own dev and test
    python -m training.data.leaks CORPUS OTHER [OTHER ...] train against all of other corpora

OTHER is a built corpus (its dev and test are taken) or any folder of Parquet with a column `context`, such
as a subset of MNSC. Ends with status 1 where samples or speakers are shared; words may be, since prompts are
read by many.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from training import errors
from training.data.audio import Recording, sha256
from training.data.ledger import EXAMPLES, Rejected
from training.data.schema import read_index
from training.data.tags import words
from training.errors import DataError

FEWEST_WORDS = 4  # shorter texts, such as "yes" and "thank you", are said everywhere


@dataclass(frozen=True)
class Row:
    """What tells whether a row is heard elsewhere."""

    id: str
    audio: str  # the hash of its samples
    speakers: Sequence[str]
    text: str  # `tags.words`, joined


@dataclass
class Heard:
    """A test set: what it sounds like, who is in it, what is said, each with the first row that has it."""

    audio: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, rows: Iterable[Row]) -> Self:
        """Take in rows."""
        for row in rows:
            self.audio.setdefault(row.audio, row.id)
            for speaker in row.speakers:
                self.speakers.setdefault(speaker, row.id)
            if worth(row.text):
                self.texts.setdefault(row.text, row.id)
        return self

    def shares(self, row: Row) -> dict[str, str]:
        """The rules by which a train row leaks, each with the test row that it shares something with."""
        found = {}
        if row.audio in self.audio:
            found["leaked_audio"] = self.audio[row.audio]
        for speaker in row.speakers:
            if speaker in self.speakers:
                found.setdefault("leaked_speaker", self.speakers[speaker])
        if worth(row.text) and row.text in self.texts:
            found["leaked_text"] = self.texts[row.text]
        return found


def worth(text: str) -> bool:
    """Is a text long enough to be more than a phrase that everybody uses?"""
    return text.count(" ") + 1 >= FEWEST_WORDS


def rows(corpus: Path, splits: Sequence[str]) -> Iterator[Row]:
    """Rows of a built corpus by its index, or of a folder of Parquet by decoding it. Raises DataError."""
    if (corpus / "index.parquet").exists():
        for batch in read_index(corpus).to_batches():
            for row in batch.to_pylist():
                if row["split"] in splits:
                    yield Row(row["id"], row["audio_sha256"], row["speakers"], row["text"])
        return
    files = sorted(corpus.rglob("*.parquet"))
    if not files:
        raise DataError(f"{corpus} holds no Parquet. Name a corpus, or a folder of Parquet with `context`.")
    for file in files:
        yield from _decoded(file)


def report(train: Iterable[Row], test: Heard) -> dict[str, Any]:
    """How much of a training set a test set shares, by the rules above, with examples."""
    count = 0
    shared: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for row in train:
        count += 1
        for rule, other in test.shares(row).items():
            shared[rule] += 1
            if shared[rule] <= EXAMPLES:
                examples.setdefault(rule, []).append(f"{row.id} and {other}")
    return {
        "train_rows": count,
        **{rule: shared[rule] for rule in ("leaked_audio", "leaked_speaker", "leaked_text")},
        "examples": examples,
    }


def _decoded(path: Path) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is not a whole Parquet file ({error}).") from None
    if "context" not in file.schema_arrow.names:
        raise DataError(f"{path} has no column `context` with sound to compare.")
    columns = [name for name in ("context", "answer", "id") if name in file.schema_arrow.names]
    number = 0
    for batch in file.iter_batches(batch_size=16, columns=columns):
        for row in batch.to_pylist():
            number += 1
            id = row.get("id") or f"{path.name}, row {number}"
            try:
                with Recording(row["context"]["bytes"], id) as recording:
                    audio = sha256(recording.read())
            except Rejected as error:
                raise DataError(f"{path}: {error.why}. Take that row out to compare the rest.") from None
            yield Row(id, audio, (), " ".join(words(row.get("answer") or "")))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the report as JSON. Raises DataError where samples or speakers are shared."""
    parser = argparse.ArgumentParser(prog="python -m training.data.leaks", description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path, help="a built corpus; its train rows are checked")
    parser.add_argument(
        "others", type=Path, nargs="*", help="corpora, or folders of Parquet, to check against"
    )
    chosen = parser.parse_args(arguments)
    found = {
        str(other): report(rows(chosen.corpus, ["train"]), Heard().add(rows(other, ["dev", "test"])))
        for other in (chosen.others or [chosen.corpus])
    }
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    leaking = [name for name, part in found.items() if part["leaked_audio"] or part["leaked_speaker"]]
    if leaking:
        raise DataError(
            f"Training shares sound or speakers with {', '.join(leaking)}. Build the corpus again with "
            "`leaks.against` naming it."
        )


if __name__ == "__main__":
    sys.exit(errors.run(main))
