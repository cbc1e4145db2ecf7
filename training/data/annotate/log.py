"""Answers as they come, a line each: what was answered is not asked again, whenever the work is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data.annotate.endpoint import Reply
from training.data.annotate.questions import Question
from training.errors import DataError


class AnswerLog:
    """An append-only JSONL of replies by question's key. A last line that a kill cut short is taken away."""

    def __init__(self, path: Path) -> None:
        """Raises DataError where a line in the middle is none of ours."""
        self.path = path
        self._replies: dict[str, Reply] = {}
        if path.exists():
            self._read()

    def __contains__(self, key: str) -> bool:
        return key in self._replies

    def __getitem__(self, key: str) -> Reply:
        return self._replies[key]

    def add(self, key: str, question: Question, model: str, reply: Reply) -> None:
        """Keep a reply, on disk before it is used. Raises DataError where the disk is full."""
        line = {"key": key, "row": question.row, "task": question.task, "model": model} | vars(reply)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error.strerror}. What was answered before is kept; "
                "make room and run the same command again."
            ) from error
        self._replies[key] = reply

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                entry: Mapping[str, Any] = json.loads(line)
                reply = Reply(*(entry[name] for name in Reply.__dataclass_fields__))
                self._replies[entry["key"]] = reply
            except (ValueError, KeyError, TypeError):
                raise DataError(
                    f"Line {number} of {self.path} is not one of its answers. Take it out and run again."
                ) from None
        if whole < len(content):
            os.truncate(self.path, whole)
