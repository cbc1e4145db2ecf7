"""A conversation as a file to take away: a web page that needs nothing else, Markdown, or JSON.

What visitors and models wrote stays text in all of them: it brings in no markup, no script and no address.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template

from ui.beside import beside

_INLINE = re.compile(r"[\\`*_\[\]<>&|~$^!@#]")
_AT_THE_START = re.compile(r"^([-+=:]|\d+(?=[.)]))")
_ADDRESS = re.compile(r"(?i)(://|\bwww\.)")


@dataclass(frozen=True)
class ExportClip:
    """A recording: WAV."""

    title: str
    seconds: float
    wav: bytes


@dataclass(frozen=True)
class ExportTurn:
    """A question and what came of it. `clips` are places in the export's list of clips."""

    question: str
    answer: str
    heard: str = ""
    model: str = ""  # where it is not the conversation's
    times: str = ""  # how long it took, in words
    clips: tuple[int, ...] = ()


@dataclass(frozen=True)
class Words:
    """The labels, in the visitor's language."""

    question: str
    heard: str
    answer: str
    nothing: str
    model: str
    made: str


@dataclass(frozen=True)
class Export:
    """All that goes into the file."""

    title: str
    model: str
    turns: tuple[ExportTurn, ...]
    clips: tuple[ExportClip, ...] = ()
    language: str = "en"


def file_name(ending: str) -> str:
    """Return a name that says when: meralion-2026-11-24.html."""
    return f"meralion-{datetime.now():%Y-%m-%d}.{ending}"


def as_html(export: Export, words: Words, *, with_sound: bool) -> str:
    """Return a web page that asks for nothing: its style inside, and the sound too if that is wanted."""
    style = beside(__file__, "export.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return Template(beside(__file__, "export.html")).substitute(
        language=html.escape(export.language),
        style_hash=f"sha256-{digest}",
        style=style,
        title=html.escape(export.title),
        model=html.escape(words.model),
        clips="\n".join(_clip_html(clip, with_sound) for clip in export.clips),
        turns="\n".join(_turn_html(turn, words, export) for turn in export.turns),
        made=html.escape(words.made),
    )


def as_markdown(export: Export, words: Words) -> str:
    """Return the conversation as Markdown."""
    parts = [f"# {escape(export.title)}", escape(words.model)]
    parts += [f"- {escape(clip.title)} ({clip.seconds:.1f} s)" for clip in export.clips]
    for number, turn in enumerate(export.turns, start=1):
        label = f" ({turn.model})" if turn.model and turn.model != export.model else ""
        parts += [f"## {number}. {escape(words.question)}", _paragraphs(turn.question)]
        if turn.heard.strip():
            parts += [f"### {escape(words.heard)}", _paragraphs(turn.heard)]
        parts += [f"### {escape(words.answer + label)}", _paragraphs(turn.answer or words.nothing)]
        if turn.times:
            parts.append(_paragraphs(turn.times))
    return "\n\n".join([*parts, "---", escape(words.made)]) + "\n"


def as_json(export: Export, *, with_sound: bool) -> str:
    """Return the conversation as data; recordings are base64 of WAV."""
    clips = [
        {"title": clip.title, "seconds": round(clip.seconds, 2)}
        | ({"wav": base64.b64encode(clip.wav).decode()} if with_sound else {})
        for clip in export.clips
    ]
    turns = [
        {
            "question": turn.question,
            "clips": list(turn.clips),
            "heard": turn.heard,
            "answer": turn.answer,
            "model": turn.model or export.model,
            "times": turn.times,
        }
        for turn in export.turns
    ]
    content = {
        "title": export.title,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "language": export.language,
        "model": export.model,
        "clips": clips,
        "turns": turns,
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def escape(text: str) -> str:
    """Return one line of Markdown that shows this text as it is, whatever it holds."""
    line = _INLINE.sub(r"\\\g<0>", " ".join(text.split()))
    line = _ADDRESS.sub(lambda found: ":\\//" if found[0] == "://" else f"{found[0][:-1]}\\.", line)
    return _AT_THE_START.sub(
        lambda found: f"{found[0]}\\" if found[0][0].isdigit() else f"\\{found[0]}", line
    )


def _paragraphs(text: str) -> str:
    """Return Markdown that keeps the text's lines and paragraphs."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join("  \n".join(map(escape, filter(str.strip, part.splitlines()))) for part in paragraphs)


def _clip_html(clip: ExportClip, with_sound: bool) -> str:
    sound = ""
    if with_sound:
        data = base64.b64encode(clip.wav).decode()
        sound = f'<audio controls preload="metadata" src="data:audio/wav;base64,{data}"></audio>'
    return (
        f"<figure><figcaption>{html.escape(clip.title)} · {clip.seconds:.1f} s</figcaption>{sound}</figure>"
    )


def _turn_html(turn: ExportTurn, words: Words, export: Export) -> str:
    model = turn.model if turn.model != export.model else ""
    rows = [(words.question, turn.question, "question"), (words.heard, turn.heard, "heard")]
    rows.append(
        (f"{words.answer} · {model}" if model else words.answer, turn.answer or words.nothing, "answer")
    )
    return f"<article>{''.join(_rows(rows))}{_times(turn.times)}</article>"


def _rows(rows: Iterable[tuple[str, str, str]]) -> Iterable[str]:
    for label, text, kind in rows:
        if text.strip():
            yield f'<h2>{html.escape(label)}</h2><p class="{kind}">{html.escape(text.strip())}</p>'


def _times(times: str) -> str:
    return f'<p class="quiet">{html.escape(times)}</p>' if times else ""
