"""Bringing words and logs from a clone of AudioBench: a small one here, with words of our own."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evaluation import instructions
from evaluation.audiobench import JUDGE, LISTS, PROMPTS, SOURCE, bring
from evaluation.errors import DataError
from evaluation.published import read_logs, systems

PROMPT = (
    '        [Reference]\n        {reference}\n        "{prediction}" \\ {question}\n\n        Rating: (int)'
)
MERALION = Path("log_for_all_models") / systems()["meralion-audiollm"].logs


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """AudioBench's files with two sentences a list, and a module that must not run."""
    root = tmp_path / "AudioBench"
    for name, (file, variable) in LISTS.items():
        path = root / SOURCE / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'raise SystemExit("run")\n{variable} = [\n    "{name} \\"one\\"",\n    "{name} 二",\n]\n',
            "utf-8",
        )
    judge = root / SOURCE / JUDGE
    judge.parent.mkdir(parents=True)
    judge.write_text(
        "import torch\n"
        + "".join(f"def {name}(args):\n    PROMPT_TEMPLATE = {PROMPT!r}\n" for name in PROMPTS.values())
    )
    (root / MERALION).mkdir(parents=True)
    return root


def log(clone: Path, name: str, content: Any) -> None:
    (clone / MERALION / f"{name}_score.json").write_text(json.dumps(content))


def test_sentences_and_rubrics_come_to_the_letter(clone: Path, tmp_path: Path) -> None:
    told = bring(clone, tmp_path / "out")
    lists = instructions.load(tmp_path / "out/instructions.toml")
    assert lists == {name: [f'{name} "one"', f"{name} 二"] for name in instructions.ours()}
    assert "18 sentences in 9 lists" in told[0]
    prompts = tomllib.loads((tmp_path / "out/judge_prompts.toml").read_text("utf-8"))
    ours = PROMPT.replace("{prediction}", "{answer}")
    assert prompts == {"scale_5": {"prompt": ours}, "scale_1": {"prompt": ours}}


def test_logs_become_figures_and_clips(clone: Path, tmp_path: Path) -> None:
    clips = [
        {"reference": "a b", "prediction": "a", "wer": 0.5},
        {"reference": "二", "prediction": "", "wer": 1.0},
    ]
    log(clone, "imda_part4_30s_asr_test_wer", {"wer": 0.25, "sample_wer": clips})
    log(clone, "covost2_en_zh_test_bleu", {"bleu": 43.9})
    judged = {"judge_response": "Explanation: so.\nRating: 1", "rate_score": 1.0}
    log(
        clone,
        "mmau_mini_llama3_70b_judge",
        {
            "llama3_70b_judge": {"judge_score": 64.6, "success_rate": 0.99},
            "task_scores": {"music": 0.5},
            "details": [judged],
        },
    )
    matched = {"reference": "(A) Man", "model_prediction": "Man", "choices": ["(A) Man", "(B) Dog"]}
    log(clone, "mmau_mini_string_match", {"string_match": {"judge_score": 60.5}, "details": [matched]})
    out = tmp_path / "out"
    assert bring(clone, out)[2:] == [
        f"{out / 'logs.csv'}: 5 figures.",
        f"{out / 'clips'}: 4 clips that the logs list.",
    ]

    lines = read_logs(out / "logs.csv")
    system = "meralion-audiollm"
    assert {key: line.value for key, line in lines.items()} == {
        ("imda_part4_30s_asr_test", system, ""): 0.25,
        ("covost2_en_zh_test", system, ""): 43.9,
        ("mmau_mini", system, ""): 64.6,
        ("mmau_mini", system, "music"): 50.0,
        ("mmau_mini_string_match", system, ""): 60.5,
    }
    assert lines["imda_part4_30s_asr_test", system, ""].clips == 2
    assert lines["mmau_mini", system, ""].success_rate == 0.99
    assert [lines["mmau_mini", system, group].scale for group in ("", "music")] == [1, 1]
    brought = {
        path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in (out / "clips" / system).iterdir()
    }
    assert brought == {
        "imda_part4_30s_asr_test": [
            {"id": "imda_part4_30s_asr_test-000000", "ref": "a b", "hyp": "a"},
            {"id": "imda_part4_30s_asr_test-000001", "ref": "二", "hyp": ""},
        ],
        "mmau_mini": [{"id": "mmau_mini-000000", "reply": judged["judge_response"], "scale": 1}],
        "mmau_mini_string_match": [
            {
                "id": "mmau_mini_string_match-000000",
                "answer": "(A) Man",
                "choices": ["(A) Man", "(B) Dog"],
                "prediction": "Man",
            }
        ],
    }


def test_a_log_of_another_scale_is_known_by_its_ratings(clone: Path, tmp_path: Path) -> None:
    ratings = [{"judge_response": f"Rating: {rating}", "rate_score": rating} for rating in (0.0, 4.0)]
    score = {"judge_score": 24.6, "success_rate": 1.0}
    log(clone, "voxceleb_accent_test_llama3_70b_judge", {"llama3_70b_judge": score, "details": ratings})
    bring(clone, tmp_path / "out")
    [line] = read_logs(tmp_path / "out/logs.csv").values()
    assert line.scale == 5


def test_a_log_that_is_missing_is_looked_up_in_the_summary(clone: Path, tmp_path: Path) -> None:
    name = systems()["meralion-audiollm"].logs
    summary = clone / "leaderboard/organize_model_results.json"
    summary.parent.mkdir()
    summary.write_text(json.dumps({"earnings22_test": {"wer": {name: 0.165, "another": 0.2}}}))
    bring(clone, tmp_path / "out")
    [line] = csv.DictReader((tmp_path / "out/logs.csv").open(encoding="utf-8"))
    assert (line["dataset"], line["value"], line["file"]) == (
        "earnings22_test",
        "0.165",
        "leaderboard/organize_model_results.json",
    )


def _without_list(clone: Path) -> None:
    (clone / SOURCE / LISTS["si"][0]).write_text("si_instructions = made()\n")


def _without_function(clone: Path) -> None:
    (clone / SOURCE / JUDGE).write_text("pass\n")


def _without_blank(clone: Path) -> None:
    path = clone / SOURCE / JUDGE
    path.write_text(path.read_text().replace("{question}", ""))


def _broken(clone: Path) -> None:
    (clone / SOURCE / JUDGE).write_text("def :\n")


def _without_file(clone: Path) -> None:
    (clone / SOURCE / LISTS["asr"][0]).unlink()


def _without_logs(clone: Path) -> None:
    (clone / MERALION).rmdir()
    (clone / MERALION).parent.rmdir()


def _half_a_log(clone: Path) -> None:
    (clone / MERALION / "imda_part1_asr_test_wer_score.json").write_text('{"wer": 0.')


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_without_list, "does not write si_instructions out"),
        (_without_function, "has no function llama3_70b_as_judge_one_sample"),
        (_without_blank, r"has no \{question\}"),
        (_broken, r"eval_llama3_70b\.py is no Python"),
        (_without_file, r"prompts\.py cannot be read\. Name a clone of AudioLLMs/AudioBench"),
        (_without_logs, "has no folder log_for_all_models"),
        (_half_a_log, r"imda_part1_asr_test_wer_score\.json cannot be read"),
    ],
)
def test_what_is_no_clone_is_said_in_words(clone: Path, tmp_path: Path, harm: Any, said: str) -> None:
    harm(clone)
    with pytest.raises(DataError, match=said):
        bring(clone, tmp_path / "out")


def test_a_folder_that_cannot_be_written(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be written .* Name another folder with --out"):
        bring(clone, tmp_path / "out")
