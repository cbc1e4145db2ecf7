"""Tables from stored results: averages, intervals, marks and notes as the definitions say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from evaluation import published
from evaluation.core import Result
from evaluation.errors import RunError
from evaluation.metrics import intervals
from evaluation.published import Figure
from evaluation.registry import Dataset, Fields, datasets
from evaluation.report.cells import LOGS, OURS, PAPER, Cell, Part, Table
from evaluation.report.figures import combined
from evaluation.report.tables import build
from tests.evaluation.stored_runs import JUDGE, SYSTEMS, Published, registry, result, row

PART1 = row("part1", 2, "ASR-PART1/2", "wer", n=100, size_from="here")
PART2 = row("part2", 2, "ASR-PART1/2", "wer_part4", n=100, size_from="here")
SQA1 = row("sqa1", 2, "SQA", "judge")
SQA2 = row("sqa2", 2, "SQA", "judge")
CLEAN = row("clean", 3, "LibriSpeech-Test-Clean", "wer", n=100, size_from="here")
INTO_ID = row("en_id", 3, "CoVoST 2 En → Id", "bleu", task="st")
SQUAD = row("squad", 3, "Spoken-SQuAD", "judge")


def tables(rows: Sequence[Dataset], *results: Result, figures: Published | None = None) -> list[Table]:
    return build(results, registry(*rows), figures or Published(), SYSTEMS)


def cell(table: Table, label: str, system: str, source: str = OURS) -> Cell:
    (found,) = [
        each
        for (measure, name, origin), each in table.cells.items()
        if (measure.label, name, origin) == (label, system, source)
    ]
    return found


def cells(rows: Sequence[Dataset], *results: Result) -> dict[str, Cell]:
    """Our cells of a table with one row, by system."""
    (table,) = tables(rows, *results)
    return {name: each for (_, name, source), each in table.cells.items() if source == OURS}


def marks(found: dict[str, Cell]) -> dict[str, str]:
    """_best_, **best end-to-end**, or both."""
    return {
        name: "**" * each.best_end_to_end + "_" * each.best + each.printed for name, each in found.items()
    }


class TestAverages:
    def test_data_sets_of_a_row_weigh_the_same_however_many_clips_they_have(self):
        few = result("ours", PART2, 0.30, n=10, low=0.26, high=0.36, success_rate=0.5)
        found = cells([PART1, PART2], result("ours", PART1, 0.10, low=0.08, high=0.14, n=90), few)["ours"]
        assert (found.printed, found.value, found.n) == ("20.0", pytest.approx(20), 100)
        # 2 and 4 points below, 4 and 6 above: in quadrature over two data sets.
        assert found.low == pytest.approx(20 - math.sqrt(4 + 16) / 2)
        assert found.high == pytest.approx(20 + math.sqrt(16 + 36) / 2)
        assert found.interval == "17.8–23.6"
        assert found.success_rate == pytest.approx(0.95)
        assert found.notes[-1] == "5.0% of the clips have no answer or no rating, and count as wrong."

    def test_quadrature_gives_what_resampling_every_data_set_gives(self):
        random = np.random.default_rng(5)
        ratings = [100 * random.integers(0, 6, count) / 5 for count in (100, 80, 120)]
        parts = []
        for each in ratings:
            low, high = intervals.of_mean(each)
            parts.append(Part(result("ours", SQA1, 0), float(each.mean()), low, high, len(each), 1.0))
        value, low, high, _ = combined(parts)
        drawn = [np.mean([random.choice(each, len(each)).mean() for each in ratings]) for _ in range(4000)]
        assert low is not None and high is not None
        assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.35)
        assert value == pytest.approx(np.mean([each.mean() for each in ratings]))

    def test_a_cell_with_parts_missing_names_them_and_is_not_ranked(self):
        found = cells(
            [SQA1, SQA2],
            result("ours", SQA1, 99),
            *(result(name, each, 50) for name in ("other", "cascade") for each in (SQA1, SQA2)),
        )
        assert (found["ours"].value, found["ours"].interval) == (None, "")
        assert found["ours"].printed == "1 of 2 parts"
        assert found["ours"].notes[0] == "Not averaged or ranked without sqa2. There is sqa1 99.0."
        assert marks(found) == {"ours": "1 of 2 parts", "other": "**_50.0", "cascade": "_50.0"}

    def test_parts_of_two_judges_are_not_averaged(self):
        found = cells([SQA1, SQA2], result("ours", SQA1, 60), result("ours", SQA2, 50, judge="gpt-4o at x"))
        assert (found["ours"].value, found["ours"].printed) == (None, "two judges")
        assert "its judges are casperhansen/llama-3-70b" in found["ours"].notes[0]
        assert "sqa1 60.0; sqa2 50.0" in found["ours"].notes[0]


class TestUnits:
    @pytest.mark.parametrize(
        ("rows", "value", "printed", "interval"),
        [
            ([PART1], 0.0448, "4.5", "3.5–5.5"),
            ([CLEAN], 0.0348, "0.03", "0.02–0.04"),
            ([SQUAD], 70.349, "70.3", "70.3–70.4"),
            ([row("mine", 0, "Word errors", "wer")], 0.125, "12.5", "11.5–13.5"),
        ],
    )
    def test_each_table_prints_in_its_own(self, rows, value, printed, interval):
        found = cells(rows, result("ours", rows[0], value, 0.01))["ours"]
        assert (found.printed, found.interval) == (printed, interval)

    def test_error_rates_above_one_are_not_cut(self):
        assert cells([CLEAN], result("ours", CLEAN, 1.375))["ours"].printed == "1.38"


class TestMarks:
    def test_lower_is_better_for_errors_and_higher_for_all_else(self):
        values = {"ours": 30.0, "other": 20.0, "cascade": 25.0}
        errors = cells([CLEAN], *(result(name, CLEAN, each / 100) for name, each in values.items()))
        assert marks(errors) == {"ours": "0.30", "other": "**_0.20", "cascade": "0.25"}
        scores = cells([SQUAD], *(result(name, SQUAD, each) for name, each in values.items()))
        assert marks(scores) == {"ours": "**_30.0", "other": "20.0", "cascade": "25.0"}

    def test_what_prints_alike_is_told_apart_by_its_value_as_the_paper_does(self):
        found = cells(
            [CLEAN],
            result("ours", CLEAN, 0.0331),
            result("other", CLEAN, 0.0339),
            result("cascade", CLEAN, 0.0323),
        )
        assert marks(found) == {"ours": "**0.03", "other": "0.03", "cascade": "_0.03"}

    def test_equal_values_are_all_marked(self):
        found = cells([SQUAD], *(result(name, SQUAD, 50) for name in SYSTEMS))
        assert marks(found) == {"ours": "**_50.0", "other": "**_50.0", "cascade": "_50.0"}

    def test_one_alone_is_the_best_of_nothing(self):
        assert marks(cells([SQUAD], result("ours", SQUAD, 50))) == {"ours": "50.0"}

    def test_a_system_that_nobody_describes_is_not_called_end_to_end(self):
        found = cells([SQUAD], result("ours", SQUAD, 50), result("new", SQUAD, 60))
        assert marks(found) == {"ours": "**50.0", "new": "_60.0"}


class TestWhatIsNotRanked:
    @pytest.mark.parametrize(
        ("row", "other_way", "said"),
        [
            (SQUAD, {"judge": "gpt-4o at api"}, f"judge gpt-4o at api, where others have {JUDGE}"),
            (INTO_ID, {"tokenizer": "flores101"}, "tokenizer flores101, where others have 13a"),
            (INTO_ID, {"signature": "v:3"}, "computed by v:3, where others have none"),
            (CLEAN, {"n": 90}, "90 clips, where others have 100"),
            (CLEAN, {"whole": False, "n": 20}, "20 clips, where others have 100; others have the whole data"),
        ],
    )
    def test_what_was_measured_unlike_the_others_says_so(self, row, other_way, said):
        best = 0.0 if row.metric == "wer" else 99.0
        found = cells(
            [row],
            result("ours", row, best, **other_way),
            result("other", row, 40),
            result("cascade", row, 50),
        )
        assert found["ours"].notes[-1] == f"Not ranked: {said}."
        assert not found["ours"].best and not found["ours"].best_end_to_end
        assert found["other"].best_end_to_end
        assert not any("Not ranked" in note for each in ("other", "cascade") for note in found[each].notes)

    def test_between_two_ways_of_as_many_none_is_ranked(self):
        found = cells(
            [SQUAD],
            result("ours", SQUAD, 50),
            result("other", SQUAD, 60, judge="gpt-4o at api"),
        )
        assert marks(found) == {"ours": "50.0", "other": "60.0"}
        assert all(each.notes[-1].startswith("Not ranked: the systems were") for each in found.values())

    def test_whole_data_goes_before_a_part_of_it(self):
        found = cells([CLEAN], result("ours", CLEAN, 0.5), result("other", CLEAN, 0.1, whole=False, n=10))
        assert "Not ranked" in found["other"].notes[-1]
        assert found["ours"].notes == ()

    def test_a_difference_from_the_paper_is_said_even_where_all_share_it(self):
        found = cells(
            [INTO_ID],
            *(
                result(name, INTO_ID, 20, tokenizer="flores101", whole=False, n=7)
                for name in ("ours", "other")
            ),
        )
        assert found["ours"].notes == (
            "A part of the data: 7 clips.",
            "Tokenizer flores101, where the paper has 13a.",
        )
        assert found["ours"].best

    def test_another_judge_than_the_papers_is_said(self):
        (note,) = cells([SQUAD], result("ours", SQUAD, 50, judge="gpt-4o at api"))["ours"].notes
        assert note == "Judge gpt-4o at api, where the paper has Llama-3-70B-Instruct."


class TestGroups:
    judged = row(
        "mmau", 4, "MMAU-Mini", "judge", scale=1, task="audio", fields=Fields(choices="choices", group="kind")
    )
    matched = row("match", 4, "MMAU-Mini (string match)", "mmau", task="audio")
    figures = Published(
        {
            (4, label, "ours"): Figure(value, False, False, f"{value}", "paper")
            for label, value in (("MMAU-Mini", 64.6), ("Speech", 59.2), ("Sound", 70.3))
        }
    )

    def test_judge_and_string_match_are_columns_of_their_own(self):
        groups = {"speech": 59.0, "sound": 70.0}
        (table,) = tables(
            [self.judged, self.matched],
            result("ours", self.judged, 64.0, groups=groups),
            result("ours", self.matched, 60.0, groups={"speech": 54.0, "sound": 66.0}),
            figures=self.figures,
        )
        assert [measure.label for measure in table.measures] == [
            *("MMAU-Mini", "Speech", "Sound"),
            *("MMAU-Mini (string match)", "Speech (string match)", "Sound (string match)"),
        ]
        assert cell(table, "Speech", "ours").printed == "59.0"
        assert cell(table, "Speech", "ours").interval == ""  # its clips were not at hand
        assert cell(table, "Sound (string match)", "ours").printed == "66.0"
        assert cell(table, "Sound", "ours", PAPER).printed == "70.3"

    def test_a_group_has_an_interval_where_its_clips_are_at_hand(self):
        whole = result("ours", self.judged, 64.0, groups={"speech": 59.0})
        part = Part(whole, 59.0, 50.0, 66.0, 33, 0.97)
        (table,) = build(
            [whole],
            registry(self.judged),
            self.figures,
            SYSTEMS,
            {("ours", "mmau"): {"speech": part}},
        )
        found = cell(table, "Speech", "ours")
        assert (found.interval, found.n, found.success_rate) == ("50.0–66.0", 33, pytest.approx(0.97))

    def test_outside_the_paper_nothing_is_averaged_and_every_group_has_its_line(self):
        first, second = (row(name, 0, "Word errors", "wer") for name in ("read", "talk"))
        (table,) = tables(
            [first, second],
            result("ours", first, 0.1, groups={"man": 0.2, "child": 0.3}),
            result("ours", second, 0.5),
        )
        assert [measure.label for measure in table.measures] == ["Read", "Read: child", "Read: man", "Talk"]
        assert {measure.section for measure in table.measures} == {"Word errors"}
        assert cell(table, "Read: child", "ours").printed == "30.0"


@pytest.fixture(scope="module")
def of_paper() -> dict[int, Table]:
    return {table.number: table for table in build([], datasets(), published)}


class TestThePaper:
    """The tables with nothing of ours: what was published, in the paper's order."""

    def test_rows_and_columns_are_the_papers(self, of_paper):
        assert [table.systems_are_rows for table in of_paper.values()] == [True, False, True]
        assert [column.title for column in of_paper[2].systems] == [
            *("Cascade Model", "SALMONN-7B", "WavLLM", "Qwen2-Audio-7B", "MERaLiON-AudioLLM")
        ]
        assert [measure.label for measure in of_paper[2].measures] == [
            *("ASR-PART1/2", "ASR-PART3/4/5/6", "SQA-PART3/4/5/6", "SDS-PART3/4/5/6", "Accent", "Gender")
        ]
        assert [column.id for column in of_paper[3].systems] == [
            "meralion-audiollm",
            "qwen2-audio-7b",
            "cascade",
        ]
        assert list(dict.fromkeys(measure.section for measure in of_paper[3].measures)) == [
            "Automatic Speech Recognition",
            "Speech Translation",
            "Spoken Question Answering",
            "Speech Instruction",
            "Paralinguistics",
        ]
        assert len(of_paper[3].measures) == 19
        assert [measure.label for measure in of_paper[4].measures][:4] == [
            "MMAU-Mini",
            "Speech",
            "Music",
            "Sound",
        ]
        assert len(of_paper[4].systems) == 7

    @pytest.mark.parametrize(
        ("table", "label", "system", "marked"),
        [
            (2, "ASR-PART1/2", "meralion-audiollm", "**_4.5"),
            (2, "SQA-PART3/4/5/6", "cascade", "_66.9"),
            (2, "SQA-PART3/4/5/6", "meralion-audiollm", "**59.2"),
            (2, "Gender", "salmonn-7b", "51.25"),
            (3, "LibriSpeech-Test-Clean", "meralion-audiollm", "**0.03"),
            (3, "LibriSpeech-Test-Clean", "qwen2-audio-7b", "0.03"),
            (3, "LibriSpeech-Test-Clean", "cascade", "_0.03"),
            (3, "CoVoST 2 Zh → En", "qwen2-audio-7b", "**_16.5"),
            (4, "Speech", "cascade", "_60.7"),
            (4, "Music", "phi-4-multimodal", "**_68.9"),
        ],
    )
    def test_figures_and_marks_are_as_printed(self, of_paper, table, label, system, marked):
        found = cell(of_paper[table], label, system, PAPER)
        assert marks({system: found}) == {system: marked}

    @pytest.mark.parametrize(
        ("table", "label", "system", "log"),
        [
            (2, "ASR-PART3/4/5/6", "meralion-audiollm", "23.3"),
            (2, "ASR-PART1/2", "wavllm", "27.4"),
            (2, "SDS-PART3/4/5/6", "qwen2-audio-7b", "36.3"),
            (3, "CoVoST 2 En → Id", "meralion-audiollm", "37.6"),
            (4, "MMAU-Mini", "cascade", "52.7"),
        ],
    )
    def test_where_it_differs_from_its_own_logs_a_footnote_says_so(self, of_paper, table, label, system, log):
        found = cell(of_paper[table], label, system, PAPER)
        assert cell(of_paper[table], label, system, LOGS).printed == log
        assert any(re.search(rf"\b{re.escape(log)}\b", note) for note in found.notes)
        assert set(found.notes) <= set(of_paper[table].notes)

    def test_string_match_is_the_lower_figure_beside_the_judges(self, of_paper):
        label = "MMAU-Mini (string match)"
        assert cell(of_paper[4], label, "meralion-audiollm", LOGS).printed == "60.5"
        assert cell(of_paper[4], "MMAU-Mini", "meralion-audiollm", LOGS).printed == "64.6"

    def test_a_system_of_ours_comes_after_the_papers_with_no_figures_but_its_own(self):
        clean = datasets()["librispeech_test_clean"]
        found = build([result("ours", clean, 0.05)], datasets(), published, SYSTEMS)
        table = next(each for each in found if each.number == 3)
        assert [column.title for column in table.systems][3:] == ["Ours"]
        assert [source for column, source in table.lines if column.id == "ours"] == [OURS]
        assert not cell(table, "LibriSpeech-Test-Clean", "ours").best


class TestRefused:
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"value": math.nan}, "has a `value` that cannot be"),
            ({"high": math.inf}, "has a `high` that cannot be"),
            ({"low": "0.1"}, "has a `low` that cannot be"),
            ({"groups": {"speech": math.nan}}, "has a `groups` that cannot be"),
            ({"n": -1}, "has a `n` that cannot be"),
            ({"dataset": "unheard"}, "is of no known data set. Add its row to datasets.toml"),
            ({"metric": "mmau"}, "was scored by mmau, its row says judge"),
        ],
    )
    def test_what_no_table_can_hold(self, wrong, said):
        with pytest.raises(RunError, match=re.escape(said)):
            tables([SQUAD], replace(result("ours", SQUAD, 50), **wrong))

    def test_two_results_for_one_cell(self):
        with pytest.raises(RunError, match="ours on squad is there twice"):
            tables([SQUAD], result("ours", SQUAD, 50), result("ours", SQUAD, 51))
