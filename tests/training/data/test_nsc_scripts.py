"""Scripts of parts 1 and 2, TextGrids, and tables of speakers, as delivered and as they should not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training import corpus
from training.data.clips import Speaker
from training.data.ledger import Ledger, Rejected
from training.data.nsc import scripts, speakers, textgrid
from training.data.settings import Source
from training.errors import DataError

SCRIPT = (
    "000010001\tHe said: “go”.\n\the said go\n000010002\tNo second line\n000010003\tLast one\n\tlast one\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_script_is_read_in_any_encoding_and_others_than_utf_8_are_noted(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "000010.TXT"
    path.write_bytes(SCRIPT.replace("\n", "\r\n").encode(encoding))
    ledger = Ledger()
    found = scripts.entries(path, ledger)
    assert [entry.id for entry in found] == ["000010001", "000010002", "000010003"]
    assert found[0] == scripts.Entry("000010001", "He said: “go”.", "he said go")
    assert found[1].normalised == ""
    assert (ledger.repaired == {}) == encoding.startswith("utf-8")
    assert ledger.dropped == {}


def test_lines_that_are_none_and_ids_that_come_twice_are_named(tmp_path: Path) -> None:
    path = tmp_path / "000010.TXT"
    path.write_text("hello\n000010001\tA\n\ta\n000010001\tA\n000010002\tB\n000010002\tC\n")
    ledger = Ledger()
    assert [entry.id for entry in scripts.entries(path, ledger)] == ["000010001"]
    assert ledger.dropped == {"bad_line": 1, "duplicate_id": 3}
    assert ledger.examples["bad_line"] == ["000010.TXT, line 1: 'hello'"]
    assert "different words" in ledger.examples["duplicate_id"][-1]


def test_bytes_that_are_no_text_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.TXT").write_bytes(b"000010001\t\x81\x8d\xff\xfe")
    with pytest.raises(Rejected, match="neither UTF-8, UTF-16 nor Windows-1252"):
        scripts.entries(tmp_path / "a.TXT", Ledger())


SPOKEN = [(0.5, 1.5, "hello [ah]"), (2.0, 3.25, 'he said "go" and left')]
SHORT = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n4\n<exists>\n2\n'
    '"TextTier"\n"marks"\n0\n4\n1\n1\n"x"\n'
    '"IntervalTier"\n"a"\n0\n4\n2\n0\n1\n"yes ""so"""\n1\n4\n"<S>"\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_long_textgrid_with_quotes_that_nobody_doubled(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.TextGrid").write_bytes(corpus.textgrid(SPOKEN, 4.0).decode().encode(encoding))
    script = textgrid.read(tmp_path / "a.TextGrid", Ledger())
    assert script.seconds == 4.0
    assert [(i.start, i.end, i.text) for i in script.intervals] == SPOKEN


def test_a_short_textgrid(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_text(SHORT)
    assert textgrid.read(tmp_path / "a.TextGrid", Ledger()).intervals == (
        textgrid.Interval(0, 1, 'yes "so"'),
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ooBinaryFile\x08TextGrid", "binary TextGrid"),
        (b"hello", "does not begin as a TextGrid"),
        (corpus.textgrid(SPOKEN, 4.0)[:-40], "5 intervals, 4 can be read"),
        (SHORT[:-12].encode(), "breaks off or is out of order"),
        (
            SHORT.replace('"TextTier"', '"IntervalTier"').replace("1\n1\n", "1\n0\n1\n").encode(),
            "words in 2 tiers",
        ),
    ],
)
def test_what_is_no_textgrid_is_rejected_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.TextGrid").write_bytes(content)
    with pytest.raises(Rejected, match=said):
        textgrid.read(tmp_path / "a.TextGrid", Ledger())


def table(folder: Path, part: int) -> dict[str, Speaker]:
    path = speakers.table_of(Source("nsc-1", folder))
    assert path is not None
    return speakers.read(path, part)


def test_speakers_of_parts_1_and_2_go_by_the_person(tmp_path: Path) -> None:
    head = ["SpeakerID", "SCD/PART1", "SCD/PART2", "SEX", "ACC"]
    rows = [["note"], head, [7, 1, 501.0, "F", "CHINESE"], ["8", "0002", None, "M", "Unknown"], [None] * 5]
    for part in (1, 2):
        corpus.table(
            tmp_path / f"PART{part}" / "DOC" / f"Speaker Information (Part {part}).XLSX", {"S": rows}
        )
    first = table(tmp_path / "PART1", 1)
    assert first == {
        "0001": Speaker("nsc-12-0007", "female", "Chinese"),
        "0002": Speaker("nsc-12-0008", "male", ""),
    }
    assert table(tmp_path / "PART2", 2) == {"0501": first["0001"]}


def test_both_sheets_of_part_3_are_read_and_numbers_lose_their_zeros(tmp_path: Path) -> None:
    same = [["SCD", "SEX", "Ethnicity"], ["3000-1", "M", "MALAY"]]
    apart = [["Conference ID", "Speaker ID", "Gender", "Ethnicity"], [2500, 862025, "Female", "Indian"]]
    corpus.table(
        tmp_path / "Documents" / "Speakers (Part 3).XLSX", {"Same Room": same, "Separate Room": apart}
    )
    found = table(tmp_path, 3)
    assert found["3000-1"] == Speaker("nsc-3-3000-1", "male", "Malay")
    assert found[speakers.padded("00862025")] == Speaker("nsc-3-862025", "female", "Indian")


def test_a_table_that_is_none_or_that_is_there_twice_stops_the_build(tmp_path: Path) -> None:
    ledger = Ledger()
    nobody = speakers.of(Source("nsc-1", tmp_path / "none"), "0007", ledger)
    assert nobody == Speaker("nsc-1-0007") and ledger.repaired == {"no_speaker_data": 1}
    (tmp_path / "speakers.xlsx").write_bytes(b"no zip")
    with pytest.raises(DataError, match="cannot be read as a table of speakers"):
        table(tmp_path, 1)
    corpus.table(tmp_path / "speakers.xlsx", {"S": [["name", "age"], ["x", 3]]})
    with pytest.raises(DataError, match="no column for a speaker's number"):
        table(tmp_path, 1)
    corpus.table(tmp_path / "b" / "DOC" / "Speakers.xlsx", {"S": []})
    corpus.table(tmp_path / "b" / "speakers.xlsx", {"S": []})
    with pytest.raises(DataError, match="several tables of speakers"):
        table(tmp_path / "b", 1)
