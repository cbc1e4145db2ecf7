"""The data card that goes with a corpus: what it is, where from, what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.data.ledger import DROPS, REPAIRS
from training.data.schema import SPLITS
from training.data.settings import Preparation, Source

HEAD = """# {title}

Speech with instructions and answers, as the paper's section 3.4 has them: {rows:,} rows, {hours:,.1f} hours,
made by `python -m training.data.prepare --config build.yaml` (build {key}). Columns and files are described
in `training/data/schema.py`. The same sources, config and versions give the same bytes.
"""


def card(build: Preparation, report: Mapping[str, Any]) -> str:
    """Markdown, from a build's settings and its report."""
    contents = report["contents"]
    parts = [
        HEAD.format(
            title=build.out.name,
            rows=sum(part["rows"] for part in contents.values()),
            hours=sum(part["hours"] for part in contents.values()),
            key=report["build"],
        ),
        _contents(contents),
        _sources(build.sources),
        _ledger("Utterances as delivered", "read from the sources", report["utterances"]),
        _ledger("Rows", "made of them: a clip, or a window of a conversation", report["rows"]),
        _splits(build, report),
        "## Versions\n\n"
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + "\n",
    ]
    return "\n".join(parts)


def _contents(contents: Mapping[str, Any]) -> str:
    parts = ["## What is in it\n"]
    for what in ("task", "source"):
        lines = [
            [split, name, f"{its['rows']:,}", f"{its['hours']:,.2f}"]
            for split in SPLITS
            for name, its in contents[split][f"by_{what}"].items()
        ]
        parts.append(_table(["split", what, "rows", "hours"], lines))
    people = ", ".join(f"{split} {contents[split]['speakers']:,}" for split in SPLITS)
    parts.append(f"Speakers that are known: {people}. No speaker is in two splits.\n")
    return "\n".join(parts)


def _sources(sources: Sequence[Source]) -> str:
    lines = [[source.label, source.corpus, source.licence] for source in sources]
    return "## Sources\n\n" + _table(["source", "corpus", "licence"], lines)


def _ledger(title: str, what: str, ledgers: Mapping[str, Any]) -> str:
    total = ledgers["total"]
    found = [
        f"## {title}\n\n{total['read']:,} {what}; {total['kept']:,} kept, "
        f"{sum(total['dropped'].values()):,} dropped.\n"
    ]
    for kind, texts, verb in (("dropped", DROPS, "dropped"), ("repaired", REPAIRS, "put right")):
        if total[kind]:
            lines = [[name, f"{count:,}", texts[name]] for name, count in total[kind].items()]
            found.append(_table(["rule", verb, "what it is"], lines))
            found += [
                f"- {name}: `{_safe(example)}`"
                for name in total[kind]
                for example in total["examples"].get(name, [])[:2]
            ]
            found.append("")
    return "\n".join(found)


def _splits(build: Preparation, report: Mapping[str, Any]) -> str:
    lines = [
        [name, f"{its['leaked_audio']:,}", f"{its['leaked_speaker']:,}", f"{its['leaked_text']:,}"]
        for name, its in report["leaks"].items()
    ]
    return (
        "## Splits and leaks\n\n"
        f"dev {build.splits.dev:.2%}, test {build.splits.test:.2%} of the groups of speakers who are heard "
        f"together, by a hash (seed {build.splits.seed}). Train rows that share something with a test set:\n"
        "\n" + _table(["test set", "sound", "speakers", "words (four or more)"], lines)
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def _safe(example: str) -> str:
    """Within backticks, on one line."""
    return " ".join(example.split()).replace("`", "'")
