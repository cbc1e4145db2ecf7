"""Visitors at once on the demo's pages: how long a page takes to answer a click, and what a visitor costs.

.venv/bin/python -m benchmarks.visitors --visitors 25 --write

`streamlit run Home.py` with its own controller, in front of a mock engine that streams 60 tokens, 20 ms
apart. Each visitor is a Streamlit session of its own over a websocket (`load/browser.py`): opens the
Playground, takes a sample, asks two questions, and on every page changes the language and back, with pauses
of 1 to 4 s as people make them. All are there at once before the first leaves. Everything runs on the same
cores: pages, controller, engine and the visitors themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import report
from benchmarks.load import processes
from benchmarks.load.answers import Tag
from benchmarks.load.browser import Browser
from benchmarks.load.processes import Program

BAR_S, BAR_MB = 2.0, 20.0
TOKENS, GAP_MS = 60, 20
ANSWER_S = TOKENS * GAP_MS / 1000
PAUSE_S = (1.0, 4.0)  # between an answer of the page and the next click
ARRIVALS_S = 8.0  # within which all come
SEED = 20_261_124
QUESTIONS = 2
PAGES = ("", "voice", "cascade", "models")
NAMES = {"": "Playground", "voice": "Voice chat", "cascade": "Cascade", "models": "Models"}
SAMPLES = ("sl-kopi", "sl-hawker", "sg-meeting")
REGISTRY = """
[bench]
title = "Mock"
sentence = "A mock engine that streams."
kind = "chat"
engine = "openai"
instances = ["http://127.0.0.1:{port}"]
default = true
licence = "MIT"
max_audio_seconds = 300

[bench.capabilities]
transcribe = true
translate = true
summarise = true
answer = true
chat = true
"""


@dataclass
class Seen:
    """What all visitors met: seconds by page and kind of click, and what went wrong."""

    runs: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    first_words: list[float] = field(default_factory=list)
    over: list[float] = field(default_factory=list)  # how much longer than its tokens an answer took
    troubles: list[str] = field(default_factory=list)
    whole: int = 0  # visits to the end


def main() -> int:
    """Do what the command line says; 1 where a bar is not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=25)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/visitors.md")
    options = parser.parse_args()
    seen = Seen()
    with ExitStack() as stack:
        engine = stack.enter_context(processes.mock())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pages, url = pages_of(stack, folder, engine)
        asyncio.run(visit(url, Seen(), random.Random(0), 999))  # what the first one loads is for all
        before, spent, began = pages.resident_mb(), pages.cpu_s(), os.times().elapsed
        most = asyncio.run(_event(url, pages, options.visitors, seen))
        cores = (pages.cpu_s() - spent) / (os.times().elapsed - began)
    each_mb = (most - before) / options.visitors
    return _tell(options.visitors, seen, (before, most, each_mb), cores, write=options.write)


def pages_of(stack: ExitStack, folder: Path, engine: Program) -> tuple[Program, str]:
    """Start the demo as a host does."""
    registry = folder / "models.toml"
    registry.write_text(REGISTRY.format(port=engine.ready["port"]))
    port = processes.free_port()
    environment = {
        "MERALION_MODELS": str(registry),
        "MERALION_CACHE_STORE": "none",
        "MERALION_UI_FEEDBACK_DIR": str(folder / "feedback"),
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    command = [sys.executable, "-m", "streamlit", "run", "Home.py", "--server.port", str(port)]
    program = stack.enter_context(processes.running(command, environment, says_ready=False))
    processes.wait_until_up(f"http://localhost:{port}/_stcore/health", program)
    return program, f"http://localhost:{port}"


async def _event(url: str, pages: Program, visitors: int, seen: Seen) -> float:
    """Have all come, do what they do, and stay until the last is done; return the most MB that were taken."""
    draw = random.Random(SEED)
    here = asyncio.Barrier(visitors)
    most = pages.resident_mb()

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, pages.resident_mb())
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    visits = (_guarded(url, seen, random.Random(draw.random()), n, here) for n in range(visitors))
    await asyncio.gather(*visits)
    watching.cancel()
    return max(most, pages.resident_mb())


async def _guarded(url: str, seen: Seen, draw: random.Random, number: int, here: asyncio.Barrier) -> None:
    try:
        await asyncio.sleep(draw.uniform(0, ARRIVALS_S))
        await visit(url, seen, draw, number, here)
        seen.whole += 1
    except Exception as error:
        seen.troubles.append(f"visitor {number}: {type(error).__name__} {error}")
        await here.abort()


async def visit(
    url: str, seen: Seen, draw: random.Random, number: int, here: asyncio.Barrier | None = None
) -> None:
    """One visit, from the first page to the last."""

    async def pause() -> None:
        await asyncio.sleep(draw.uniform(*PAUSE_S) if here else 0.2)

    async with Browser(url) as browser:
        runs = seen.runs
        runs["opening the Playground, anew"].append(await browser.open())
        while not browser.pages or "ask" not in browser.widgets:  # the model is still starting
            await asyncio.sleep(0.5)
            await browser.run()
        await pause()
        sample = SAMPLES[number % len(SAMPLES)]
        runs["Playground: a click"].append(await browser.click(f"sample_{sample}"))
        for turn in range(QUESTIONS):
            await pause()
            tag = Tag(f"v{number}t{turn}", TOKENS, GAP_MS)
            runs["Playground: a click"].append(await browser.enter("prompt", f"What is said? {tag}"))
            await pause()
            first, whole = await browser.click_until("ask", tag.token(0).strip())
            seen.first_words.append(first)
            seen.over.append(whole - ANSWER_S)
            if tag.token(TOKENS - 1).strip() not in browser.texts:
                seen.troubles.append(f"visitor {number}: an answer is not whole")
        for page in (*PAGES[1:], *PAGES):
            await pause()
            runs[f"{NAMES[page]}: opening it"].append(await browser.open(page))
            for language in ("ms", "en"):
                await pause()
                name = {"ms": "Bahasa Melayu", "en": "English"}[language]
                runs[f"{NAMES[page]}: a click"].append(await browser.enter("language", name))
        if here:
            await here.wait()  # all are here at once
        seen.troubles += [f"visitor {number}: {trouble}" for trouble in browser.troubles]


def _tell(visitors: int, seen: Seen, memory: tuple[float, float, float], cores: float, *, write: bool) -> int:
    before, most, each = memory
    rows = [[name, *_row(times)] for name, times in sorted(seen.runs.items())]
    slowest = max(_quantile(times, 0.95) for times in seen.runs.values())
    usable = seen.whole == visitors and not seen.troubles
    rows += [
        ["first word of an answer", *_row(seen.first_words)],
        [f"an answer, beyond the {ANSWER_S:.1f} s that its tokens take", *_row(seen.over)],
    ]
    bars = [
        ["every visit went to its end, nothing failed", f"{seen.whole} of {visitors}", report.met(usable)],
        [
            f"p95 of a rerun, on the slowest page, under {BAR_S:g} s",
            f"{slowest:.2f} s",
            report.met(slowest < BAR_S),
        ],
        [
            f"memory a visitor, under {BAR_MB:g} MB",
            f"{each:.1f} MB ({before:.0f} MB before, {most:.0f} at most)",
            report.met(each < BAR_MB),
        ],
        ["CPU of pages and controller", f"{cores:.2f} cores", ""],
    ]
    text = "\n".join(
        [
            "# Visitors at once",
            "",
            f"    .venv/bin/python -m benchmarks.visitors --visitors {visitors} --write",
            "",
            " ".join((__doc__ or "").split("\n\n")[2].split()),
            "",
            *report.table(["what", "measured", ""], bars),
            "",
            *report.table(
                ["seconds from click to the page standing still", "times", "p50", "p95", "most"], rows
            ),
            "",
            *[f"- {trouble}" for trouble in seen.troubles[:10]],
            report.machine(),
            "",
        ]
    )
    print(text)
    if write:
        report.publish("visitors", text)
    return 0 if all(row[2] in ("", report.met(True)) for row in bars) else 1


def _row(times: Sequence[float]) -> list[str]:
    if not times:
        return ["0", "", "", ""]
    figures = (statistics.median(times), _quantile(times, 0.95), max(times))
    return [str(len(times)), *(f"{figure:.2f}" for figure in figures)]


def _quantile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    sys.exit(main())
