"""The report of a folder of runs: report.md, report.csv, and report/index.html, which needs no server.

from evaluation.report import write
write(Path("runs"), Path("reports"), audio=Path("clips"))
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import quote

from evaluation import published
from evaluation.core import RESULT, Example, Result, Score, read_result
from evaluation.errors import EvaluationError, RunError
from evaluation.folder import replace
from evaluation.metrics import intervals
from evaluation.registry import Dataset
from evaluation.registry import datasets as all_datasets
from evaluation.report import clip_sounds, clips, written_tables
from evaluation.report.cells import Part, Table
from evaluation.report.clip_sounds import Addresses
from evaluation.report.clips import Run
from evaluation.report.page_tables import joined, measured_section, section, tag
from evaluation.report.tables import Described, Published, build, check
from evaluation.systems import systems as all_systems

PAGE = Path(__file__).with_name("page")
_BESIDE = ("page.css", "clip.js", "clips.js")  # what index.html loads


@dataclass(frozen=True)
class Report:
    """What was written, and what was left out and why."""

    page: Path
    markdown: Path
    csv: Path
    tables: Sequence[Table]
    problems: Sequence[str]


def write(
    run_folder: Path,
    out_folder: Path,
    *,
    datasets: Mapping[str, Dataset] | None = None,
    systems: Mapping[str, Described] | None = None,
    figures: Published = published,
    audio: Path | None = None,
    examples: Mapping[str, Iterable[Example]] | None = None,
) -> Report:
    """Write the report of RUN_FOLDER/<system>/<dataset>/ into OUT_FOLDER.

    `audio` is a folder of clips, AUDIO/<dataset>/<clip>.wav (or flac, mp3, ogg, m4a, webm), which the page
    links to; the sound of `examples`, by data set, is copied. With neither, the page says that the sound is
    not there. A result that cannot be read is left out and told of in the report. Raises RunError where
    there is no result at all, where there are two for one cell, and where nothing can be written.
    """
    datasets = all_datasets() if datasets is None else datasets
    systems = all_systems() if systems is None else systems
    runs, problems = _runs(run_folder, datasets)
    results = [run.result for run in runs]
    groups = {(run.result.system, run.result.dataset): _groups(run) for run in runs}
    tables = build(results, datasets, figures, systems, groups)
    titles = {column.id: column.title for table in tables for column in table.systems}
    measured = written_tables.measured(results, titles)
    told = _Told(_summary(results), problems, measured, [_address(result) for result in results])
    page = out_folder / "report"
    try:
        (page / "data").mkdir(parents=True, exist_ok=True)
        for name in _BESIDE:
            shutil.copyfile(PAGE / name, page / name)
    except OSError as error:
        raise RunError(
            f"{page} cannot be written ({error.strerror}). Choose another folder, or make room."
        ) from None
    report = Report(
        page / "index.html", out_folder / "report.md", out_folder / "report.csv", tables, problems
    )
    replace(report.markdown, _bytes(written_tables.markdown(tables, measured, told.summary, problems)))
    replace(report.csv, _bytes(written_tables.csv_text(tables)))
    listed = []
    for dataset in datasets.values():
        if of_it := [run for run in runs if run.result.dataset == dataset.id and run.answers]:
            sounds = _sounds(dataset, of_it, page, audio, examples or {})
            replace(page / "data" / f"{dataset.id}.js", _bytes(clips.script(dataset, of_it, sounds)))
            listed.append(clips.listed(dataset, of_it, titles, f"data/{dataset.id}.js"))
    replace(page / "data" / "list.js", _bytes(clips.call("start", listed)))
    replace(report.page, _bytes(_index(tables, told)))
    return report


@dataclass(frozen=True)
class _Told:
    """What stands around the tables."""

    summary: str
    problems: Sequence[str]
    measured: Sequence[Sequence[str]]
    addresses: Sequence[str]  # of the clips of each of these


class _Twice(RunError):
    """Two results for one cell: which one counts is for a person to say."""


def _runs(folder: Path, datasets: Mapping[str, Dataset]) -> tuple[list[Run], list[str]]:
    """What can be read below a folder, and what cannot, in words. Raises RunError."""
    found: dict[tuple[str, str], Path] = {}
    runs, problems = [], []
    for path in sorted(folder.glob(f"*/*/{RESULT}")):
        try:
            run = _run(path, datasets, found)
        except _Twice:
            raise
        except EvaluationError as error:
            problems.append(str(error))
        else:
            runs.append(run)
    if not runs:
        why = " ".join([f"There is no result to report in {folder}.", *problems])
        raise RunError(f"{why} `python -m evaluation run` asks the clips, and `score` scores the answers.")
    return runs, problems


def _run(path: Path, datasets: Mapping[str, Dataset], found: dict[tuple[str, str], Path]) -> Run:
    result = read_result(path)
    check([result], datasets)
    before = found.setdefault((result.system, result.dataset), path)
    if before != path:
        raise _Twice(
            f"{before} and {path} are both of {result.system} on {result.dataset}. Move one of the two "
            "folders away: a cell shows one run."
        )
    return clips.read(result, path.parent, datasets[result.dataset])


def _groups(run: Run) -> dict[str, Part]:
    """What each group of clips gives, with its interval."""
    found: dict[str, Part] = {}
    for group, scores in clips.by_group(run).items():
        if group in run.result.groups:
            low, high = _interval(run.result, scores)
            success = sum(score.ok for score in scores) / len(scores)
            found[group] = Part(run.result, run.result.groups[group], low, high, len(scores), success)
    return found


def _interval(result: Result, scores: Sequence[Score]) -> tuple[float, float] | tuple[None, None]:
    """Of a group of clips, in the unit of result.json; none for BLEU, which scores no clip by itself."""
    if result.metric == "bleu":
        return None, None
    if result.metric.startswith("wer"):
        if not all({"edits", "words"} <= score.detail.keys() for score in scores):
            return None, None
        edits, words = ([int(score.detail[name]) for score in scores] for name in ("edits", "words"))
        return intervals.of_rate(edits, words)
    return intervals.of_mean(
        [100 * score.value / (result.scale or 1) if score.ok else 0.0 for score in scores]
    )


def _sounds(
    dataset: Dataset,
    runs: Sequence[Run],
    page: Path,
    audio: Path | None,
    examples: Mapping[str, Iterable[Example]],
) -> Addresses:
    """Where the page finds the clips of a data set; data sets of the same questions share them."""
    names = [name for name in (dataset.id, dataset.same_answers_as) if name]
    wanted = {name for run in runs for name in run.answers}
    found: dict[str, str] = {}
    for name in names:
        if audio:
            found |= clip_sounds.linked(audio / name, page)
        if name in examples:
            found |= clip_sounds.copied(examples[name], wanted, page / "audio" / dataset.id, page)
    return found


def _summary(results: Sequence[Result]) -> str:
    systems, sets = ({getattr(result, name) for result in results} for name in ("system", "dataset"))
    dates = sorted({result.made[:10] for result in results if result.made})
    when = f", scored {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    answers = sum(result.n for result in results)
    counts = (_many(len(systems), "system"), _many(len(sets), "data set"), _many(answers, "answer"))
    return f"{counts[0]} on {counts[1]}, {counts[2]}{when}."


def _address(result: Result) -> str:
    """Where on the page the clips of a result are; clips.js follows it."""
    return f"#clips/{quote(result.dataset, safe='')}/{quote(result.system, safe='')}"


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _index(tables: Sequence[Table], told: _Told) -> str:
    """index.html, its places filled."""
    parts = [(f"table-{table.number}", table.name.partition(":")[0]) for table in tables]
    parts += [("measured", "How ours were measured"), ("clips", "Clip by clip")]
    return Template((PAGE / "index.html").read_text("utf-8")).substitute(
        summary=joined(told.summary),
        links=joined(*(tag("li", tag("a", title, href=f"#{name}")) for name, title in parts)),
        problems=joined(
            *(tag("p", tag("b", "Left out: "), each, class_="problem") for each in told.problems)
        ),
        tables=joined(*map(section, tables), measured_section(told.measured, told.addresses)),
    )


def _bytes(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which JSON may hold, becomes a question mark."""
    return text.encode("utf-8", "replace")
