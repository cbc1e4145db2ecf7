"""Transcripts against what a recogniser hears: from a file, or from any /v1/audio/transcriptions."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import httpx

from training.data.clips import Clip
from training.data.files import write_text
from training.data.ledger import Ledger
from training.data.schema import encode_flac
from training.data.settings import Hearing
from training.data.tags import words
from training.errors import ConfigError, DataError

PAUSE = 2.0  # s before the second attempt, doubled before each further one
RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}


class Ear:
    """Hears clips. What an endpoint said is kept in `diary`, so that no clip is asked about twice."""

    def __init__(self, hearing: Hearing, diary: Path) -> None:
        self._hearing = hearing
        self._diary = diary
        self._known = _heard(hearing.file) if hearing.file else _resumed(diary)

    def check(self, clips: Sequence[Clip], rows: Ledger) -> Iterator[Clip]:
        """The clips that are heard as they are written; the others go into `rows`.

        Raises DataError where the endpoint stays silent, ConfigError where it refuses.
        """
        for clip, heard in zip(clips, self._texts(clips), strict=True):
            if clip.text and heard is None:
                rows.repair("not_heard", clip.id)
            elif clip.text and heard is not None:
                share = disagreement(words(clip.text), words(heard))
                if share > self._hearing.most_wrong:
                    rows.drop(
                        "disagrees", f"{clip.id}, {share:.2f}: {clip.text[:60]!r}, heard {heard[:60]!r}"
                    )
                    continue
            yield clip

    def _texts(self, clips: Sequence[Clip]) -> list[str | None]:
        new = [clip for clip in clips if clip.text and clip.id not in self._known]
        if self._hearing.url and new:
            self._diary.parent.mkdir(parents=True, exist_ok=True)
            with (
                httpx.Client(timeout=self._hearing.timeout_s) as client,
                self._diary.open("a", encoding="utf-8") as diary,
                ThreadPoolExecutor(self._hearing.at_once) as pool,
            ):
                for clip, text in zip(new, pool.map(lambda clip: self._ask(client, clip), new), strict=True):
                    self._known[clip.id] = text
                    diary.write(json.dumps({"id": clip.id, "text": text}) + "\n")
                    diary.flush()
        return [self._known.get(clip.id) for clip in clips]

    def _ask(self, client: httpx.Client, clip: Clip) -> str:
        url = f"{self._hearing.url}/audio/transcriptions"
        sound = encode_flac(clip.pcm)
        for attempt in range(self._hearing.attempts):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                answer = client.post(
                    url,
                    headers=_key(self._hearing.key_variable),
                    data={"model": self._hearing.model, "response_format": "json", "temperature": "0"},
                    files={"file": (f"{clip.id}.flac", sound, "audio/flac")},
                )
                if answer.is_success:
                    return str(answer.json()["text"])
                if answer.status_code not in RETRIED:
                    raise ConfigError(
                        f"{url} refused a clip with status {answer.status_code}. Mend `rules.hearing`: "
                        "its url, model or key_variable."
                    )
                reason = f"status {answer.status_code}"
            except httpx.HTTPError as error:
                reason = type(error).__name__
            except (ValueError, KeyError, TypeError):
                reason = "an answer without `text`"
        raise DataError(
            f"{url} gave {reason} {self._hearing.attempts} times for {clip.id}. "
            "See to the endpoint and run the same command again; it goes on from there."
        )


def disagreement(truth: Sequence[str], heard: Sequence[str]) -> float:
    """Word error rate of `heard`: insertions, deletions and substitutions by the number of true words."""
    costs = list(range(len(heard) + 1))
    for row, word in enumerate(truth, 1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(heard, 1):
            best = min(costs[column] + 1, costs[column - 1] + 1, diagonal + (word != other))
            diagonal, costs[column] = costs[column], best
    return costs[-1] / max(1, len(truth))


def _key(variable: str | None) -> Mapping[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable, "")
    if not key:
        raise ConfigError(f"The environment variable {variable} is empty. Put the endpoint's key into it.")
    return {"Authorization": f"Bearer {key}"}


@lru_cache(maxsize=1)
def _heard(file: Path) -> dict[str, str]:
    try:
        return _parsed(file, file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}). Mend `rules.hearing.file`.") from None


def _resumed(diary: Path) -> dict[str, str]:
    """What a run before wrote, without the line in which it was killed."""
    if not diary.exists():
        return {}
    text = diary.read_text("utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(diary, whole)
    return _parsed(diary, whole)


def _parsed(path: Path, text: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
            found[str(entry["id"])] = str(entry["text"])
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{path}, line {number} is no JSON with `id` and `text`. Mend the line."
            ) from None
    return found
