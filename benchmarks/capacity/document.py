"""`benchmarks/results/capacity.md` and its pictures: run all studies and write them down."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace

import numpy as np

from benchmarks import report
from benchmarks.capacity import pictures, study
from benchmarks.capacity.arrivals import SHAPES
from benchmarks.capacity.fit import error
from benchmarks.capacity.measured import BENCHES
from benchmarks.capacity.profile import Sourced, load
from benchmarks.capacity.simulate import Setup, Times, quantile
from benchmarks.capacity.sizing import Bar
from benchmarks.capacity.study import Event, Size, Variant, over_seeds
from benchmarks.capacity.visits import Mix

NAME = "capacity"
COMMAND = "python -m benchmarks.capacity report --write"
SAME_BUTTON = Mix(press_samples=1.0, samples=(1, 1), asked_of_sample=(1, 1), own_words=0.0, popularity=50.0)
SIZES = (
    (Event("class", 40), 5),
    (Event("class", 400), 5),
    (Event("fair", 3_000), 3),
    (Event("fair", 30_000), 3),
    (Event("launch", 10_000), 3),
    (Event("launch", 30_000), 3),
    (Event("launch", 60_000), 2),
)
STUDIED = Event("launch", 30_000)
SEEDS = 2  # of what is compared there, where the same visitors come to all
ONE_CARRIES = ((Event("class", 250), 3), (Event("fair", 20_000), 1), (Event("launch", 10_000), 1))


def run(name: str, bar: Bar, workers: int, *, write: bool) -> str:
    """Run all, some side by side; return the text, and write it and the pictures if wanted."""
    sourced = load(name)
    setup = Setup(sourced.profile)
    with ProcessPoolExecutor(workers) as pool:
        sizes = [pool.submit(study.size, event, setup, bar, seeds, _guess(event)) for event, seeds in SIZES]
        carried = [pool.submit(study.carried, event, setup, bar, seeds) for event, seeds in ONE_CARRIES]
        doubts = [
            (title, pool.submit(study.size, event, changed, bar, 1, 2))
            for title, changed, event in study.doubts(setup, STUDIED)
        ]
        needed = next(one for one in sizes if one.result().event == STUDIED).result().instances
        tight = replace(setup, instances=needed)
        lacking = _variants(pool, study.savings(tight), STUDIED, SEEDS)
        needs = [pool.submit(study.size, STUDIED, one, bar, 1, needed) for _, one in study.savings(setup)]
        button = Event("class", 400, SAME_BUTTON)
        pressed = _variants(pool, study.savings(setup)[:4], button, 5)
        chosen = {
            count: _variants(pool, study.policies(replace(setup, instances=count)), STUDIED, SEEDS)
            for count in (needed, 2 * needed)
        }
        days = [
            pool.submit(_minutes, replace(setup, instances=count)) for count in (needed, needed - 1) if count
        ]
        text = _text(
            sourced,
            bar,
            [one.result() for one in sizes],
            [(event, one.result()) for (event, _), one in zip(ONE_CARRIES, carried, strict=True)],
            [(title, one.result()) for title, one in doubts],
            [one.result() for one in lacking],
            [one.result().instances for one in needs],
            [one.result() for one in pressed],
            {count: [one.result() for one in some] for count, some in chosen.items()},
        )
        if write:
            report.publish(NAME, text)
            _draw_launch([one.result() for one in days], needed)
    return text


def _guess(event: Event) -> int:
    return {"class": 1, "fair": 1, "launch": max(1, event.visitors // 15_000)}[event.shape]


def _variants(
    pool: Executor, setups: Sequence[tuple[str, Setup]], event: Event, seeds: int
) -> list[Future[Variant]]:
    return [pool.submit(study.variant, name, event, one, seeds) for name, one in setups]


def _text(
    sourced: Sourced,
    bar: Bar,
    sizes: Sequence[Size],
    carried: Sequence[tuple[Event, int]],
    doubts: Sequence[tuple[str, Size]],
    lacking: Sequence[Variant],
    needs: Sequence[int],
    pressed: Sequence[Variant],
    chosen: dict[int, list[Variant]],
) -> str:
    paper = BENCHES.get(sourced.name)
    lines = [
        "# How many GPUs an event needs",
        "",
        f"    {COMMAND}",
        "",
        f"A simulation ([how](../capacity/README.md)). Engines: `{sourced.name}`, {sourced.title}. The bar: "
        f"{bar.share:.0%} of the answers that engines give begin within {bar.ttft_s:g} s, and at most "
        f"{bar.failed:.1%} of the questions are turned away, wait in vain, or are given up by their asker; "
        "every seed must meet it. Answers from the controller's cache are not counted in the times, which "
        "they would flatter. ± is the 95 % interval of the mean over seeds; all setups get the same "
        "visitors. A size is the least for that load, with nothing over for an instance that fails: add one.",
        "",
        "## Sizes",
        "",
        *report.table(
            [
                "event",
                "visitors",
                "questions",
                "asked of no engine",
                "H100s",
                "first token p50, s",
                "p95, s",
                "p95 of the worst ten minutes",
                "turned away or left",
            ],
            [_size_row(one) for one in sizes],
        ),
        "",
        "\n".join(f"- {shape.title}: {shape.story}." for shape in SHAPES.values()),
        "",
        "One H100 carries (to within 5 %): "
        + "; ".join(f"{SHAPES[event.shape].title.lower()}, {count:,} visitors" for event, count in carried)
        + ".",
        "",
        "![A launch, minute by minute](capacity_launch.png)",
        "",
        f"## What caches, single flight and affinity save ({_named(STUDIED)})",
        "",
        *report.table(
            [
                "setup",
                "work of the engines",
                "against all on",
                "sound met before",
                f"p95 with {lacking[0].instances} H100s, s",
                "turned away or left",
                "H100s needed",
            ],
            [_lacking_row(one, lacking[0], count) for one, count in zip(lacking, needs, strict=True)],
        ),
        "",
        "Where 400 are told to press the same button at once, one H100:",
        "",
        *report.table(
            ["setup", "work of the engine, s", "against all on", "first token p95, s", "turned away or left"],
            [
                [
                    one.name,
                    over_seeds(one.work_s),
                    _ratio(one, pressed[0]),
                    over_seeds(one.p95),
                    f"{statistics.fmean(one.failed):.1%}",
                ]
                for one in pressed
            ],
        ),
        "",
        f"## Policies ({_named(STUDIED)})",
        "",
        *report.table(
            [
                "H100s",
                "policy",
                "sound met before",
                "work, against affinity",
                "first token p50, s",
                "p95, s",
                "turned away or left",
            ],
            [
                [
                    str(count),
                    one.name,
                    f"{statistics.fmean(one.warm):.0%}",
                    _ratio(one, some[0]),
                    over_seeds(one.p50, ".3f"),
                    over_seeds(one.p95, ".3f"),
                    f"{statistics.fmean(one.failed):.2%}",
                ]
                for count, some in chosen.items()
                for one in some
            ],
        ),
        "",
        f"## What is not known ({_named(STUDIED)}, one seed)",
        "",
        "The table that the profile comes from ends at 16 at once, does not say how much of the time before "
        "the first token keeps others waiting, and in it nothing was asked twice. Each line moves one "
        "assumption.",
        "",
        *report.table(
            ["assumption", "H100s", "work, against the first line", "first token p95, s"],
            [
                [
                    title,
                    str(one.instances),
                    f"{one.work_s[0] / doubts[0][1].work_s[0]:.0%}",
                    f"{one.p95[0]:.2f}",
                ]
                for title, one in doubts
            ],
        ),
        "",
        "## Assumed of visitors",
        "",
        *report.table(
            ["what", "value", "why"],
            [
                [f"`{name}`", str(getattr(Mix(), name)), field.description or ""]
                for name, field in Mix.model_fields.items()
            ],
        ),
        "",
        "## The engines' figures",
        "",
        *report.table(
            [f"`{sourced.name}`", "value", "source"],
            [
                [f"`{key}`", f"{getattr(sourced.profile, key):.4g}", source]
                for key, source in sourced.sources.items()
            ],
        ),
        "",
    ]
    if paper:
        lines += [
            "Table 1, and the same bench in the simulator with these figures (ms; root of the mean squared "
            f"error of all 24: {error(sourced.profile, paper.cells):.1%}):",
            "",
            *report.table(
                [
                    "sound",
                    "at once",
                    "first token",
                    "given back",
                    "off",
                    "between tokens",
                    "given back",
                    "off",
                ],
                paper.residuals(sourced.profile),
            ),
            "",
        ]
    return "\n".join([*lines, report.machine(), ""])


def _named(event: Event) -> str:
    return f"{SHAPES[event.shape].title.lower()}, {event.visitors:,} visitors"


def _size_row(one: Size) -> list[str]:
    return [
        SHAPES[one.event.shape].title,
        f"{one.event.visitors:,}",
        f"{statistics.fmean(one.questions):,.0f}",
        f"{statistics.fmean(one.kept):.0%}",
        f"**{one.instances}**",
        over_seeds(one.p50),
        over_seeds(one.p95),
        f"{statistics.fmean(one.worst):.2f}" if min(one.worst) > 0 else "too few to say",
        f"{statistics.fmean(one.failed):.2%}",
    ]


def _lacking_row(one: Variant, all_on: Variant, needed: int) -> list[str]:
    return [
        one.name,
        f"{statistics.fmean(one.work_s) / 3_600:.2f} H100-hours",
        _ratio(one, all_on),
        f"{statistics.fmean(one.warm):.0%}",
        over_seeds(one.p95),
        f"{statistics.fmean(one.failed):.1%}",
        str(needed),
    ]


def _ratio(one: Variant, other: Variant) -> str:
    """Compare work seed by seed: the same visitors came to both."""
    ratios = [mine / theirs for mine, theirs in zip(one.work_s, other.work_s, strict=True)]
    return over_seeds(ratios)


def _minutes(setup: Setup) -> dict[str, Times]:
    """Return what a setup makes of the first two hours, minute by minute."""
    outcome = study.outcome_of(STUDIED, setup)
    asked = np.array([call.asked for call in outcome.calls]) / 60
    minutes = np.arange(0, 121)
    waits = np.array(
        [
            (call.asked, call.placed if call.placed >= 0 else call.ended)
            for call in outcome.calls
            if call.fate not in ("kept", "joined")
        ]
    )
    engine = [(call.asked / 60, call.first - call.asked) for call in outcome.calls if call.fate == "engine"]
    when, first = np.array(engine).T
    return {
        "minutes": minutes.astype(float),
        "questions": np.histogram(asked, np.append(minutes, minutes[-1] + 1))[0] / 60,
        "waiting": np.array(
            [float(np.sum((waits[:, 0] <= 60 * m) & (waits[:, 1] > 60 * m))) for m in minutes]
        ),
        "p95": np.array(
            [
                quantile(there, 0.95) if len(there := first[(when >= m) & (when < m + 1)]) else np.nan
                for m in minutes
            ]
        ),
    }


def _draw_launch(days: Sequence[dict[str, Times]], needed: int) -> None:
    names = [f"{count} H100" + "s" * (count > 1) for count in (needed, needed - 1) if count]
    pictures.day(
        report.RESULTS / f"{NAME}_launch.png",
        f"The first two hours of {_named(STUDIED)}",
        days[0]["minutes"],
        [
            ("questions\na second", [days[0]["questions"]], [""]),
            ("waiting for\na place", [day["waiting"] for day in days], names),
            ("first token\np95, s", [day["p95"] for day in days], names),
        ],
    )
