"""The table of data sets: it holds the paper's, and a wrong row is refused in words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evaluation import instructions
from evaluation.errors import RegistryError
from evaluation.published import paper
from evaluation.registry import OWN, datasets, load, select

MNSC = "MERaLiON/Multitask-National-Speech-Corpus-v1"
ROW = """
[read-aloud]
title = "Read aloud"
table = 0
row = "Read aloud"
task = "asr"
metric = "wer"
licence = "CC0 1.0"
instruction = "asr"
"""


def test_every_row_of_the_papers_tables_has_its_data_sets() -> None:
    rows = {(each.table, each.row) for each in datasets().values()}
    printed = {(table, row) for table, row, _ in paper()}
    assert printed - rows == {(4, "Speech"), (4, "Music"), (4, "Sound")}  # groups of MMAU-Mini
    assert rows - printed == {(4, "MMAU-Mini (string match)")}
    assert Counter(each.table for each in datasets().values()) == {2: 18, 3: 19, 4: 2}


def test_every_row_says_its_size_its_licence_and_where_it_is() -> None:
    for each in datasets().values():
        assert each.n and each.size_from and each.licence and each.hub, each.id
        assert each.gated == (each.hub == MNSC), each.id
        assert each.instruction == OWN or each.instruction in instructions.ours(), each.id


@pytest.mark.parametrize(
    ("name", "place", "n", "metric", "scale", "tokenizer"),
    [
        ("imda_part2_asr_test", "ASR-PART2-Test/train-*.parquet", 3000, "wer", None, ""),
        ("imda_part4_30s_asr_test", "ASR-PART4-Test/train-*.parquet", 1000, "wer_part4", None, ""),
        ("imda_part5_30s_ds_human_test", "SDS-PART5-Test/train-*.parquet", 100, "judge", 5, ""),
        ("imda_gr_dialogue", "PQA-GR-Dialogue-Test/train-*.parquet", 3000, "judge", 1, ""),
        ("common_voice_15_en_test", "data/test-*.parquet", 16348, "wer", None, ""),
        ("covost2_en_zh_test", "data/test-*.parquet", 15531, "bleu", None, "zh"),
        ("covost2_id_en_test", "data/test-*.parquet", 844, "bleu", None, "13a"),
        ("cn_college_listen_mcq_test", "data/test-*.parquet", 2271, "judge", 1, ""),
        ("slue_p2_sqa5_test", "data/test-*.parquet", 408, "judge", 5, ""),
        ("openhermes_audio_test", "data/test-*.parquet", 100, "judge", 5, ""),
        ("mmau_mini_string_match", "MMAU-mini/*.parquet", 1000, "mmau", None, ""),
    ],
)
def test_rows_are_as_audiobench_has_them(
    name: str, place: str, n: int, metric: str, scale: int | None, tokenizer: str
) -> None:
    row = datasets()[name]
    assert (row.pattern, row.n, row.metric, row.scale, row.tokenizer) == (place, n, metric, scale, tokenizer)


def test_one_row_is_a_data_set(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(ROW)
    assert [(row.id, row.pattern, row.page) for row in load(file).values()] == [
        ("read-aloud", "data/test-*.parquet", "")
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("title", "titel"), r"\[read-aloud\]: `title` is missing\. `titel` is not known here"),
        (('"asr"\nmetric', '"singing"\nmetric'), "`task` is wrong: Input should be 'asr', 'st'"),
        (('"wer"', '"judge"'), "`scale`, 5 or 1, is for `metric` judge, and a judge needs it"),
        (('"wer"', '"bleu"'), "BLEU needs it"),
        (('"wer"', '"mmau"'), "`metric` mmau needs `fields.choices`"),
        (("table = 0", "table = 3"), "`hub` must name the repository"),
        (("table = 0", "table = 5"), "`table` is wrong"),
        (("table = 0", "table = 0\nn = '3'"), "`n` is wrong: Input should be a valid integer"),
        (("table = 0", "table = 0\nn = 3"), "`size_from` must say where"),
        (("table = 0", "table = 0\nhub = 'no slash'"), "`hub` is wrong"),
        (("table = 0", "table = 0\nfields = { sound = 'x' }"), "`fields.sound` is not known here"),
        (("table = 0", "table = 0\nasked = '{choices}?'"), "so `fields.choices` must name their column"),
        (("table = 0", "table = 0\nasked = 'Well?'"), "`asked` must contain {instruction}"),
        (('instruction = "asr"', "fields = { instruction = '' }"), "`instruction` is own, so"),
        (("table = 0", "table = 0\nid = 'x'"), "leave `id` out"),
        (("table = 0", "table = 0\nsame_answers_as = 'x'"), "`same_answers_as` names no data set"),
        (("[read-aloud]", "[[read-aloud]]"), "`read-aloud` stands outside any table"),
        (("[read-aloud]", "[read aloud]"), "is not valid TOML"),
        (("[read-aloud]", '["../x"]'), "`id` is wrong"),
    ],
)
def test_a_wrong_row_is_refused_with_the_row_and_the_reason(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(ROW.replace(*change))
    with pytest.raises(RegistryError, match=said) as refused:
        load(file)
    assert str(file) in str(refused.value)


def test_no_table_at_all(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        load(tmp_path / "none.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(RegistryError, match="lists no data set"):
        load(tmp_path / "empty.toml")


def test_data_sets_are_chosen_by_id_and_by_table() -> None:
    assert [row.id for row in select(["meld_emotion_test", "meld_emotion_test"])] == ["meld_emotion_test"]
    assert [row.id for row in select(["alpaca_audio_test"], [4])] == [
        "alpaca_audio_test",
        "mmau_mini",
        "mmau_mini_string_match",
    ]
    assert len(select()) == len(datasets())
    with pytest.raises(
        RegistryError, match=r"no data set librispech_test_clean\. Is it librispeech_test_clean"
    ):
        select(["librispech_test_clean"])
