"""The paper's figures and its logs': marks, units, and a note exactly where the two differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation import paper as paper_file
from evaluation.errors import RegistryError
from evaluation.published import LOGS, logs, paper, read_logs, systems

LOWER = ("ASR", "LibriSpeech", "Common-Voice", "Earnings")
MERALION = "meralion-audiollm"


@pytest.mark.parametrize(
    ("table", "row", "system", "printed", "log"),
    [
        (2, "ASR-PART1/2", MERALION, "4.5", 4.517176),
        (2, "ASR-PART3/4/5/6", MERALION, "20.0", 23.329408),
        (2, "SQA-PART3/4/5/6", "cascade", "66.9", 66.9),
        (2, "SDS-PART3/4/5/6", "qwen2-audio-7b", "35.3", 36.3),
        (2, "Gender", "salmonn-7b", "51.25", 51.25),
        (3, "LibriSpeech-Test-Clean", MERALION, "0.03", 0.022918),
        (3, "Earnings22-Test", "cascade", "0.14", 0.144863),
        (3, "CoVoST 2 En → Id", MERALION, "32.6", 37.602247),
        (4, "MMAU-Mini", "cascade", "55.6", 52.7),
        (4, "Speech", "gpt-4o-audio", "54.4", 54.354354),
        (4, "Sound", MERALION, "70.3", 70.270270),
    ],
)
def test_cells_are_as_printed_and_as_logged(
    table: int, row: str, system: str, printed: str, log: float
) -> None:
    figure = paper()[table, row, system]
    assert (figure.printed, figure.value) == (printed, float(printed))
    assert logs()[table, row, system].value == pytest.approx(log, abs=1e-6)


def test_there_is_a_note_exactly_where_paper_and_logs_differ_by_more_than_rounding() -> None:
    noted = {key for key, figure in paper().items() if figure.note}
    differ = set()
    for key, figure in paper().items():
        decimals = len(figure.printed.partition(".")[2])
        if abs(figure.value - logs()[key].value) > 0.5 * 10**-decimals + 1e-9:
            differ.add(key)
            assert f"{logs()[key].value:.{decimals}f}" in figure.note
    # Their logs rate on 0 to 5, the other systems' on 0 or 1.
    assert noted - differ == {(3, "VoxCeleb-Accent-Test", name) for name in ("qwen2-audio-7b", "cascade")}
    assert differ < noted
    assert len(differ) == 31
    assert {row for table, row, _ in differ if table == 2} == {
        "ASR-PART1/2",
        "ASR-PART3/4/5/6",
        "SDS-PART3/4/5/6",
    }
    assert {row for table, row, system in differ if table == 3 and system == MERALION} == {
        row for table, row, _ in paper() if table == 3
    }


def test_marked_cells_are_the_best_of_their_rows() -> None:
    rows = dict.fromkeys(key[:2] for key in paper())
    for table, row in rows:
        cells = {system: each for (*place, system), each in paper().items() if place == [table, row]}
        choose = min if row.startswith(LOWER) else max
        models = {system: each for system, each in cells.items() if systems()[system].end_to_end}
        [best] = [each.value for each in cells.values() if each.best]
        [bold] = [system for system, each in cells.items() if each.best_end_to_end]
        assert best == choose(each.value for each in cells.values()), row
        assert models[bold].value == choose(each.value for each in models.values()), row


def test_logs_go_beyond_the_papers_cells() -> None:
    assert logs()[4, "MMAU-Mini (string match)", MERALION].value == 60.5
    assert logs()[2, "Accent", "phi-4-multimodal"].printed == "2.0"
    assert logs()[3, "LibriSpeech-Test-Clean", "phi-4-multimodal"].printed == "0.02"
    assert "4.0% of the judge's ratings" in logs()[3, "OpenHermes-Audio", "cascade"].note
    assert (2, "Accent", "gpt-4o-audio") not in logs()
    assert set(paper()) < set(logs())


def test_a_log_on_another_scale_says_so() -> None:
    told = {key for key, figure in logs().items() if "Rated on 0 to 5" in figure.note}
    assert told == {(3, "VoxCeleb-Accent-Test", name) for name in ("qwen2-audio-7b", "cascade", "salmonn-7b")}


def test_mmaus_groups_come_to_its_score() -> None:
    logged = read_logs(LOGS)
    sizes = {"music": 334, "sound": 333, "speech": 333}
    for system in ("cascade", MERALION):
        groups = [logged["mmau_mini", system, group].value * size for group, size in sizes.items()]
        assert sum(groups) / 1000 == pytest.approx(logged["mmau_mini", system, ""].value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"**_4.5_**"', '"*4.5*"', r"ASR-PART1/2 has \*4\.5\*\. Write 4\.5"),
        ('"**_4.5_**"', '"**_4.5**_"', "Write 4.5"),
        ('"**_4.5_**"', '"4.5", "4.6"', "ASR-PART1/2 has 6 cells for 5 systems"),
        ('["cascade", "salmonn-7b", "wavllm"', '["cascade", "salmon", "wavllm"', "table 2 has salmon, which"),
        ("[table.2]", "[table.7]", "`table.7.* is wrong"),
        ("[table.2.notes]", '[table.2.notes]\n"SQA" = { cascade = "?" }', "a note of table 2 is at SQA"),
        ("end_to_end = false", "", "`systems.cascade.end_to_end` is wrong"),
        ("[source]", "[source", "is not valid TOML"),
        ("[source]", "[sources]", "is wrong"),
    ],
)
def test_a_wrong_table_is_refused_in_words(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = paper_file.FILE.read_text("utf-8")
    assert old in text
    (tmp_path / "paper.toml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(RegistryError, match=said):
        paper_file.load(tmp_path / "paper.toml")


@pytest.mark.parametrize("text", ["", "dataset,system\na,b\n", "\xff"])
def test_a_wrong_log_is_refused_in_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "logs.csv"
    with pytest.raises(RegistryError, match="Make it again"):
        read_logs(file)
    file.write_bytes(
        text.encode("latin-1") or b"dataset,system,group,value,success_rate,scale,clips\na,b,,c,,,\n"
    )
    with pytest.raises(RegistryError, match=r"logs\.csv cannot be read as AudioBench's logs"):
        read_logs(file)
