"""The report of a folder of runs: Markdown, CSV, and what the page is made of."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from evaluation.core import RESULT, SCORES, Answer, Example, Score, written
from evaluation.errors import RunError
from evaluation.published import Figure
from evaluation.registry import Fields
from evaluation.report import Report, write
from evaluation.report.clips import compared
from tests.evaluation.stored_runs import (
    SYSTEMS,
    Published,
    registry,
    result,
    row,
    store,
    store_judged,
    store_speech,
)

CLEAN = row("clean", 3, "LibriSpeech-Test-Clean", "wer")
GENDER = row("gender", 2, "Gender", "judge", scale=1)
PAIR = row("squad", 3, "Spoken-SQuAD", "judge")
SETS = registry(GENDER, CLEAN, PAIR)
FIGURES = Published(
    {
        (3, "LibriSpeech-Test-Clean", "ours"): Figure(
            0.03, False, True, "0.03", "paper", "Its log gives 0.02."
        ),
        (3, "LibriSpeech-Test-Clean", "cascade"): Figure(0.03, True, False, "0.03", "paper"),
    },
    {(3, "LibriSpeech-Test-Clean", "ours"): Figure(0.0229, False, False, "0.02", "logs")},
)
GOLDEN = Path(__file__).with_name("golden") / "report.md"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two systems, one of which also wrote speech down."""
    folder = tmp_path / "runs"
    store_speech(folder, "ours", CLEAN, {"2": ("a cat sat", "a hat sat"), "10": ("two words", "Two words.")})
    ratings = {"ours": (1, 1, 1, 0), "cascade": (1, 0, 1, 0)}
    for system, given in ratings.items():
        said = {f"clip-{place}": ("A woman.", float(value)) for place, value in enumerate(given)}
        store_judged(folder, system, GENDER, said)
    return folder


def reported(runs: Path, **further: Any) -> Report:
    return write(runs, runs.parent / "out", datasets=SETS, systems=SYSTEMS, figures=FIGURES, **further)


def rows_of(report: Report) -> list[dict[str, str]]:
    with report.csv.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def loaded(report: Report, dataset: str) -> dict[str, Any]:
    """The data of a data set, as the page's script gets it."""
    text = (report.page.parent / "data" / f"{dataset}.js").read_text("utf-8")
    found = re.fullmatch(r'Clips\.load\("(\w+)", (\{.*\})\);\n', text)
    assert found and found[1] == dataset
    data: dict[str, Any] = json.loads(found[2])
    return data


def listed(report: Report) -> list[dict[str, Any]]:
    text = (report.page.parent / "data" / "list.js").read_text("utf-8")
    sets: list[dict[str, Any]] = json.loads(text.removeprefix("Clips.start(").removesuffix(");\n"))
    return sets


def test_the_markdown_is_the_papers_form_with_ours_beside_it(runs: Path):
    text = reported(runs).markdown.read_text("utf-8")
    assert text[text.index("## Table 2") :] == GOLDEN.read_text("utf-8")
    assert text.startswith(
        "# Evaluation report\n\n2 systems on 2 data sets, 10 answers, scored 2026-03-01.\n"
    )


def test_the_csv_has_a_row_a_cell_and_is_not_rounded(runs: Path):
    rows = rows_of(reported(runs))
    assert list(rows[0]) == [
        *("table", "row", "system", "value", "low", "high"),
        *("n", "success_rate", "judge", "source", "note"),
    ]
    ours, cascade, *of_clean = rows
    assert (ours["row"], ours["system"], ours["value"], ours["n"], ours["success_rate"]) == (
        *("Gender", "ours", "75"),
        *("4", "1"),
    )
    assert ours["judge"] == "casperhansen/llama-3-70b-instruct-awq at 127.0.0.1:8001"
    assert ours["note"] == "best; best end-to-end"
    assert (cascade["system"], cascade["value"], cascade["note"]) == ("cascade", "50", "")
    assert [(each["system"], each["source"], each["value"]) for each in of_clean] == [
        ("ours", "ours", "0.2"),
        ("ours", "paper", "0.03"),
        ("cascade", "paper", "0.03"),
        ("ours", "logs", "0.0229"),
    ]
    assert of_clean[1]["note"] == "best end-to-end; printed 0.03; Its log gives 0.02"


def test_mmaus_groups_get_their_intervals_from_the_clips(tmp_path: Path):
    mmau = row("mmau", 4, "MMAU-Mini", "mmau", fields=Fields(choices="c", group="g"), task="audio")
    names = [f"{group}-{place}" for group in ("speech", "sound") for place in range(20)]
    answers = [Answer(name, "Which?", "", "A", "A", group=name.partition("-")[0]) for name in names]
    scores = [
        Score(each.id, float(int(each.id.partition("-")[2]) % 4 > 0), group=each.group) for each in answers
    ]
    outcome = result("ours", mmau, 75.0, n=40, groups={"speech": 75.0, "sound": 75.0})
    store(tmp_path / "runs", outcome, answers, scores)
    figure = Figure(59.2, False, False, "59.2", "paper")
    figures = Published({(4, "MMAU-Mini", "ours"): figure, (4, "Speech", "ours"): figure})
    report = write(
        tmp_path / "runs", tmp_path / "out", datasets=registry(mmau), systems=SYSTEMS, figures=figures
    )
    speech = next(each for each in rows_of(report) if (each["row"], each["source"]) == ("Speech", "ours"))
    assert (speech["value"], speech["n"], speech["success_rate"]) == ("75", "20", "1")
    assert 50 <= float(speech["low"]) < 70 < 80 < float(speech["high"]) <= 95


class TestWhatIsWrong:
    def test_an_empty_folder_says_what_to_do(self, tmp_path: Path):
        with pytest.raises(RunError, match=r"There is no result to report in .*`python -m evaluation run`"):
            reported(tmp_path / "nothing")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"{", "cannot be read as a result"),
            (b'{"system": "cascade"}', "cannot be read as a result"),
            (b"[]", "cannot be read as a result"),
            (
                written(result("cascade", CLEAN, 0.5)).replace(b"0.5,", b"NaN,"),
                "has a `value` that cannot be",
            ),
            (
                written(result("cascade", CLEAN, 0.5, judge="x")).replace(b'"x"', b"7"),
                "has a `judge` that cannot be",
            ),
            (written(replace(result("cascade", CLEAN, 0.5), dataset="unheard")), "is of no known data set"),
        ],
    )
    def test_one_result_that_cannot_be_read_is_told_of_and_the_others_shown(self, runs, content, said):
        broken = runs / "cascade" / "clean" / RESULT
        broken.parent.mkdir(parents=True)
        broken.write_bytes(content)
        report = reported(runs)
        (problem,) = report.problems
        assert said in problem
        assert "**Left out:** " in report.markdown.read_text("utf-8")
        assert said.replace("`", "") in report.page.read_text("utf-8").replace("`", "")
        assert len([each for each in rows_of(report) if each["source"] == "ours"]) == 3

    @pytest.mark.parametrize(
        "line", [b"nonsense\n", b'{"id": "2", "value": NaN}\n', b'{"id": "2", "value": "x"}\n']
    )
    def test_scores_that_cannot_be_read_leave_the_result_out(self, runs, line):
        (runs / "ours" / "clean" / SCORES).write_bytes(line)
        (problem,) = reported(runs).problems
        assert SCORES in problem

    def test_two_folders_of_one_cell_are_refused_and_both_named(self, runs):
        twin = runs / "ours-of-may" / "gender"
        twin.mkdir(parents=True)
        (twin / RESULT).write_bytes((runs / "ours" / "gender" / RESULT).read_bytes())
        with pytest.raises(RunError, match=r"ours/gender.* and .*ours-of-may/gender.* Move one"):
            reported(runs)
        assert not (runs.parent / "out").exists()

    def test_a_folder_that_cannot_be_written_is_named(self, runs):
        (runs.parent / "out").write_text("a file")
        with pytest.raises(RunError, match="out/report cannot be written"):
            reported(runs)


class Texts(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_from_elsewhere(runs: Path):
    report = reported(runs)
    for path in report.page.parent.rglob("*.*"):
        assert not re.search(r"(?:https?:)?//[a-z]", path.read_text("utf-8")), path
    page = Texts()
    page.feed(report.page.read_text("utf-8"))
    needed = [each.get("src") or each.get("href") for tag, each in page.elements if tag in ("script", "link")]
    assert needed == ["data:,", "page.css", "clip.js", "clips.js", "data/list.js"]
    assert all((report.page.parent / str(name)).exists() for name in needed[1:])


def test_a_name_with_markup_in_it_stays_text(runs: Path):
    for each in (GENDER, CLEAN):
        (runs / "<img src=x>" / each.id).mkdir(parents=True)
        outcome = result("<img src=x>|`*", each, 0.5)
        (runs / "<img src=x>" / each.id / RESULT).write_bytes(written(outcome))
    report = reported(runs)
    page = Texts()
    page.feed(report.page.read_text("utf-8"))
    assert "img" not in {tag for tag, _ in page.elements}
    assert "<img src=x>|`*" in page.text
    assert r"| &lt;img src=x>\|`* |" in report.markdown.read_text("utf-8")


class TestClips:
    def test_every_clip_is_there_once_with_an_answer_of_every_system(self, runs):
        report = reported(runs)
        assert [each["id"] for each in listed(report)] == ["gender", "clean"]
        assert [each["title"] for each in listed(report)[0]["systems"]] == ["Cascade", "Ours"]
        data = loaded(report, "gender")
        assert [each["id"] for each in data["clips"]] == [f"clip-{place}" for place in range(4)]
        states = {name: [each["state"] for each in answers] for name, answers in data["answers"].items()}
        assert states == {
            "ours": ["right", "right", "right", "wrong"],
            "cascade": ["right", "wrong", "right", "wrong"],
        }
        assert data["answers"]["ours"][3]["reason"] == "Explanation: because of clip-3.\nRating: 0"

    def test_numbers_in_names_are_in_order_of_their_value(self, runs):
        assert [each["id"] for each in loaded(reported(runs), "clean")["clips"]] == ["2", "10"]

    def test_wrong_words_of_speech_are_marked_as_they_were_scored(self, runs):
        first, second = loaded(reported(runs), "clean")["answers"]["ours"]
        assert (first["state"], first["label"]) == ("wrong", "WER 33%")
        assert first["words"] == [["=", "a", ""], ["~", "cat", "hat"], ["=", "sat", ""]]
        assert second["state"] == "right" and "words" not in second

    def test_what_failed_is_neither_right_nor_wrong(self, runs):
        names = ["silent", "unrated", "unscored", "three"]
        answers = [Answer(name, "Who?", "", "A woman", "So be it.") for name in names]
        answers[0] = replace(answers[0], answer="So", problem="The endpoint cut the stream.")
        scores = [Score("silent", 0, ok=False), Score("unrated", 0, ok=False), Score("three", 3)]
        outcome = result("ours", PAIR, 20, n=4, success_rate=0.5)
        store(runs, outcome, answers, scores)
        data = loaded(reported(runs), "squad")
        shown = {
            clip["id"]: (answer["state"], answer.get("label"))
            for clip, answer in zip(data["clips"], data["answers"]["ours"], strict=True)
        }
        assert shown == {
            "silent": ("failed", "No answer"),
            "unrated": ("failed", "No rating"),
            "unscored": ("answered", "Not scored"),
            "three": ("wrong", "3 of 5"),
        }

    def test_nothing_in_an_answer_can_end_the_script(self, runs):
        odd = '</script><script>alert(1)</script>\u2028\u2029<!-- "\\ مرحبا \ud800'
        store_folder = runs / "ours" / "squad"
        store(runs, result("ours", PAIR, 0, n=1), [Answer("x", "?", "", "ref", "y")], [Score("x", 0)])
        line = json.dumps({"id": "x", "instruction": "?", "question": "", "reference": "ref", "answer": odd})
        (store_folder / "answers.jsonl").write_text(line + "\n")
        report = reported(runs)
        text = (report.page.parent / "data" / "squad.js").read_text("utf-8")
        assert "<" not in text and "\u2028" not in text and "\u2029" not in text
        assert loaded(report, "squad")["answers"]["ours"][0]["answer"] == odd.replace("\ud800", "?")

    def test_data_sets_of_the_same_questions_share_their_answers(self, tmp_path):
        asked = row("asked", 0, "Judged", "judge", scale=1)
        twin = row("twin", 0, "Matched", "contains", same_answers_as="asked")
        store_judged(tmp_path / "runs", "ours", asked, {"a": ("Yes", 1.0)})
        folder = tmp_path / "runs" / "ours" / "twin"
        folder.mkdir()
        (folder / RESULT).write_bytes(written(result("ours", twin, 0, n=1)))
        (folder / SCORES).write_bytes(written(Score("a", 0.0)))
        report = write(
            tmp_path / "runs",
            tmp_path / "out",
            datasets=registry(asked, twin),
            systems=SYSTEMS,
            figures=FIGURES,
        )
        assert loaded(report, "asked")["answers"]["ours"][0]["state"] == "right"
        assert loaded(report, "twin")["answers"]["ours"][0]["state"] == "wrong"


class TestSound:
    def test_without_a_source_there_is_none(self, runs):
        report = reported(runs)
        assert not any("sound" in each for each in loaded(report, "clean")["clips"])
        assert not (report.page.parent / "audio").exists()

    def test_a_folder_of_clips_is_linked_and_not_copied(self, runs, tmp_path):
        folder = tmp_path / "my clips" / "clean"
        folder.mkdir(parents=True)
        (folder / "10.flac").write_bytes(b"fLaC")
        report = reported(runs, audio=tmp_path / "my clips")
        two, ten = loaded(report, "clean")["clips"]
        assert "sound" not in two
        assert ten["sound"] == "../../my%20clips/clean/10.flac"
        assert (report.page.parent / ten["sound"].replace("%20", " ")).read_bytes() == b"fLaC"
        assert not (report.page.parent / "audio").exists()

    def test_the_sound_of_examples_is_copied_for_the_clips_there_are(self, runs):
        sounds = {"2": b"RIFF1", "10": b"ID3 2", "other": b"OggS3"}
        examples = {"clean": (Example(name, sound, "", "") for name, sound in sounds.items())}
        report = reported(runs, examples=examples)
        clips = {each["id"]: each["sound"] for each in loaded(report, "clean")["clips"]}
        assert {name: Path(address).suffix for name, address in clips.items()} == {"2": ".wav", "10": ".mp3"}
        for name, address in clips.items():
            assert (report.page.parent / address).read_bytes() == sounds[name]
        assert len(list((report.page.parent / "audio").rglob("*.*"))) == 2


@pytest.mark.parametrize(
    ("reference", "answer", "pieces"),
    [
        ("Go there", "go there!", [["=", "go there", ""]]),
        ("one two three", "one three", [["~", "123", "thirteen"]]),  # spoken numbers merge
        ("the cat sat down", "the sat down", [["=", "the", ""], ["-", "cat", ""], ["=", "sat down", ""]]),
        ("sit down", "sit right down", [["=", "sit", ""], ["+", "", "right"], ["=", "down", ""]]),
        ("", "", [["=", "empty", ""]]),
        ("yes", "", [["~", "yes", "empty"]]),
    ],
)
def test_words_are_compared_after_normalising(reference, answer, pieces):
    assert compared(reference, answer, part4=False) == pieces
