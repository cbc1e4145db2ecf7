"""Clips from parquet files: every form the hub has, rows that are no use, and memory that stays small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from evaluation.core import Example
from evaluation.data import Broken, count, examples
from evaluation.errors import DataError
from evaluation.instructions import draw, ours
from evaluation.registry import Dataset, datasets, load
from tests.evaluation.corpus import ARRAY, CLIP, dataset, row, samples, tone, write


def read(of: Dataset, folder: Path, **how: Any) -> list[Example]:
    """The clips, all of which must be whole."""
    found = list(examples(of, folder, **how))
    assert not [each for each in found if isinstance(each, Broken)]
    return [each for each in found if isinstance(each, Example)]


def test_one_row_in_the_registry_and_a_folder_are_enough(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[hawker-talk]\ntitle = "Talk at a hawker centre"\ntable = 0\nrow = "Hawker talk"\ntask = "sqa"\n'
        'metric = "judge"\nscale = 5\nlicence = "CC0 1.0"\n'
    )
    write(tmp_path / "hawker-talk/data/test-00000-of-00001.parquet", [row(), row(answer="passengers")])
    first, second = read(load(tmp_path / "mine.toml")["hawker-talk"], tmp_path)
    assert first == Example(
        id="hawker-talk-000000", audio=CLIP, instruction="What is said?", reference="Attention"
    )
    assert (second.id, second.reference) == ("hawker-talk-000001", "passengers")


def test_mmau_is_asked_as_audiobench_asks_it(tmp_path: Path) -> None:
    about = {"id": "3f-a", "task": "sound", "dataset": "x"}
    choices = ["(A) Man", "(B) Woman {choices}"]
    write(
        tmp_path / "MMAU-mini/train-0.parquet",
        [row(instruction="Who {choices}?", answer="(A) Man", choices=choices, other_attributes=about)],
    )
    for name in ("mmau_mini", "mmau_mini_string_match"):
        [clip] = read(datasets()[name], tmp_path)
        assert clip.instruction == "Question:\nWho {choices}?\nChoices:\n(A) Man (B) Woman {choices}"
        assert (clip.id, clip.group, clip.choices) == ("3f-a", "sound", tuple(choices))
        assert (clip.reference, clip.question) == ("(A) Man", "")


def test_choices_may_be_one_text(tmp_path: Path) -> None:
    write(tmp_path / "data/test-0.parquet", [row(choices="(A) Yes (B) No")])
    [clip] = read(datasets()["cn_college_listen_mcq_test"], tmp_path)
    assert clip.instruction == "Question:\nWhat is said?\n Choices:\n(A) Yes (B) No"


def test_spoken_instructions_are_the_judges_question(tmp_path: Path) -> None:
    write(tmp_path / "data/test-0.parquet", [row(speech_instruction="Name three trains.", instruction=None)])
    [clip] = read(datasets()["alpaca_audio_test"], tmp_path)
    assert clip.question == "Name three trains."
    assert clip.instruction == draw(ours()["si"], clip.id)


def test_words_before_the_nationality_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "data/test-0.parquet", [row(answer="From the audio, I guess the speaker is from USA.")])
    [clip] = read(datasets()["voxceleb_accent_test"], tmp_path)
    assert clip.reference == "USA."


def test_texts_may_be_wrapped(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [row(answer={"text": "Hello", "audio": None}, instruction={"text": "Ask"})])
    [clip] = read(dataset(), tmp_path)
    assert (clip.instruction, clip.reference) == ("Ask", "Hello")


def test_ones_own_instructions_take_the_place_of_ours(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [row() for _ in range(20)])
    clips = read(dataset(instruction="asr"), tmp_path, instructions={"asr": ["One.", "Two."]})
    assert {clip.instruction for clip in clips} == {"One.", "Two."}
    assert [clip.instruction for clip in read(dataset(instruction="asr"), tmp_path)] == [
        draw(ours()["asr"], clip.id) for clip in clips
    ]
    with pytest.raises(DataError, match=r"`asr`, which are missing\. There are st_id"):
        examples(dataset(instruction="asr"), tmp_path, instructions={"st_id": ["Three."]})


def test_samples_become_a_wav_file(tmp_path: Path) -> None:
    sound = tone(0.5, 22_050)
    sound[:2] = (1.5, -1.5)  # louder than full scale
    context = {"path": None, "array": sound, "sampling_rate": 22_050}
    write(tmp_path / "a.parquet", [row(context=context)], audio=ARRAY)
    [clip] = read(dataset(), tmp_path)
    rate, heard = samples(clip.audio)
    assert rate == 22_050
    assert np.abs(heard / 32_767 - np.clip(sound, -1, 1)).max() < 1 / 32_767


def test_plain_bytes_and_files_beside(tmp_path: Path) -> None:
    write(tmp_path / "data/test-0.parquet", [row(context=CLIP)], audio=pyarrow.binary())
    write(tmp_path / "data/test-1.parquet", [row(context={"bytes": None, "path": "clips/a.mp3"})])
    write(tmp_path / "data/test-2.parquet", [row(context={"bytes": None, "path": "../secret.mp3"})])
    (tmp_path / "data/clips").mkdir()
    for name in ("data/clips/a.mp3", "secret.mp3"):
        (tmp_path / name).write_bytes(CLIP)
    first, second, third = examples(dataset(), tmp_path)
    assert isinstance(first, Example) and isinstance(second, Example)
    assert first.audio == second.audio == CLIP
    assert third == Broken(
        "mine-000002", "Row 2 of Mine has no sound: ../secret.mp3 is not beside the parquet file."
    )


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row(context=None), "no sound."),
        (row(context={"bytes": b"", "path": "a.mp3"}), "no sound: its file is empty."),
        (row(context={"bytes": None, "path": None}), "no sound."),
        (
            row(context={"bytes": None, "path": "gone.mp3"}),
            "no sound: gone.mp3 is not beside the parquet file.",
        ),
        (row(answer=None), "no reference answer."),
        (row(instruction=None), "no instruction."),
    ],
)
def test_a_bad_row_is_told_and_the_others_come(tmp_path: Path, bad: dict[str, Any], why: str) -> None:
    write(tmp_path / "a.parquet", [row(), bad, row(answer="")])
    first, second, third = examples(dataset(), tmp_path)
    assert second == Broken("mine-000001", f"Row 1 of Mine has {why}")
    assert isinstance(first, Example) and isinstance(third, Example)
    assert third.reference == ""  # nothing was said: the metric decides


@pytest.mark.parametrize(
    ("context", "audio", "why"),
    [
        ({"array": [], "sampling_rate": 16_000}, ARRAY, "samples that are not one channel of numbers"),
        ({"array": [0.1, float("nan")], "sampling_rate": 16_000}, ARRAY, "samples that are not numbers"),
        ({"array": [0.1], "sampling_rate": 0}, ARRAY, "a sampling rate of 0"),
        ({"array": None, "sampling_rate": 16_000}, ARRAY, "no sound."),
        ("a.mp3", pyarrow.string(), "a sound column of type string, where bytes are wanted"),
    ],
)
def test_sound_in_no_known_form(tmp_path: Path, context: Any, audio: Any, why: str) -> None:
    write(tmp_path / "a.parquet", [row(context=context)], audio=audio)
    [only] = examples(dataset(), tmp_path)
    assert isinstance(only, Broken)
    assert why in only.why


def test_answers_and_choices_that_are_no_texts(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [row(answer=3, choices=[1, 2])])
    [number] = examples(dataset(), tmp_path)
    [choice] = examples(dataset(fields={"choices": "choices"}, asked="{instruction} {choices}"), tmp_path)
    assert isinstance(number, Broken) and isinstance(choice, Broken)
    assert number.why == "Row 0 of Mine has a reference answer that is no text (`answer` is int)."
    assert choice.why == "Row 0 of Mine has no choices, or choices that are no texts."


def test_a_limit_is_spread_over_the_set_and_grows(tmp_path: Path) -> None:
    for part in range(4):
        write(tmp_path / f"{part}.parquet", [row() for _ in range(50)], group=10)
    everything = [clip.id for clip in read(dataset(), tmp_path)]
    few, more = ([clip.id for clip in read(dataset(), tmp_path, limit=limit)] for limit in (12, 40))
    assert everything == [f"mine-{number:06}" for number in range(200)]
    assert set(few) < set(more)
    assert (len(few), len(more), more) == (12, 40, sorted(more))
    assert {int(name[-3:]) // 50 for name in more} == {0, 1, 2, 3}
    assert few != [clip.id for clip in read(dataset(), tmp_path, limit=12, seed=1)]
    assert len(read(dataset(), tmp_path, limit=999)) == count(dataset(), tmp_path) == 200
    with pytest.raises(DataError, match="A limit of 0 leaves no clip"):
        examples(dataset(), tmp_path, 0)


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(400_000)
    write(tmp_path / "a.parquet", [row(context={"bytes": noise, "path": None}) for _ in range(100)], group=50)
    before = pyarrow.total_allocated_bytes()
    most = 0
    for clip in examples(dataset(), tmp_path):
        assert isinstance(clip, Example) and clip.audio == noise
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert most < 12_000_000  # of 40 MB


def test_clips_come_before_a_damaged_part_is_reached(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(4_000)
    path = write(
        tmp_path / "a.parquet", [row(context={"bytes": noise, "path": None}) for _ in range(8)], group=4
    )
    start = parquet.read_metadata(path).row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = bytes([255] * 40)
    path.write_bytes(data)
    clips = examples(dataset(), tmp_path)
    assert [next(clips).id for _ in range(4)] == [f"mine-{number:06}" for number in range(4)]
    with pytest.raises(DataError, match=r"a\.parquet cannot be read .*Fetch the file again"):
        next(clips)


def test_an_id_that_is_there_twice_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    own = dataset(fields={"id": "about.id"})
    write(tmp_path / "1.parquet", [row(about={"id": name}) for name in ("a", None, None)])
    write(tmp_path / "2.parquet", [row(about={"id": "b"})])
    assert [clip.id for clip in read(own, tmp_path)] == ["a", "mine-000001", "mine-000002", "b"]
    write(tmp_path / "3.parquet", [row(about={"id": "a"})])
    with pytest.raises(DataError, match=r"rows 0 and 4 have the same id, a\. Leave `fields.id`"):
        examples(own, tmp_path)


@pytest.mark.parametrize(
    "place",
    [
        "librispeech_test_clean/data/test-0.parquet",
        "AudioLLMs/librispeech_test_clean/data/test-0.parquet",
        "librispeech_test_clean/part.parquet",
        "data/test-0.parquet",
        "part.parquet",
    ],
)
def test_a_copy_is_found_where_people_put_it(tmp_path: Path, place: str) -> None:
    write(tmp_path / place, [row()])
    write(tmp_path / "data/train-0.parquet", [row(), row()])  # another split
    assert len(read(datasets()["librispeech_test_clean"], tmp_path)) == 1


def test_what_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    clean = datasets()["librispeech_test_clean"]
    with pytest.raises(DataError, match=r"no folder .*gone"):
        examples(clean, tmp_path / "gone")
    with pytest.raises(DataError, match=r"Looked for .*librispeech_test_clean/data/test-\*\.parquet"):
        examples(clean, tmp_path)
    with pytest.raises(DataError, match=r"add --download to fetch it from \S+ \(licence: CC BY 4\.0\)"):
        examples(clean, None)
    with pytest.raises(DataError, match=r"is on no hub\. Name its folder with --data"):
        examples(dataset(), None, download=True)


def test_other_files_are_said_in_words(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no column answer, context, instruction; it has text\. Mend"):
        examples(dataset(), tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
        examples(dataset(), tmp_path)
