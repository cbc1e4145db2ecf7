"""AudioBench's logs: what each system of the paper got on each data set, and the clips that a log lists."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from evaluation.errors import DataError
from evaluation.published import systems
from evaluation.registry import Dataset, datasets

FOLDER = Path("log_for_all_models")
SUMMARY = Path("leaderboard/organize_model_results.json")  # where a log is too large for the repository
# A metric's name in AudioBench's files.
METRICS = {
    "wer": "wer",
    "wer_part4": "wer",
    "bleu": "bleu",
    "judge": "llama3_70b_judge",
    "mmau": "string_match",
}
PER_CENT = 100.0  # task scores are fractions there, where the score of all clips is 0 to 100

Clip = Mapping[str, Any]


@dataclass(frozen=True)
class Log:
    """What one system got on one data set, or on one group of its clips. A line of logs.csv."""

    dataset: str
    system: str
    group: str
    value: float  # WER a fraction; all else 0 to 100
    success_rate: float | None  # of a judge: the share of its ratings that could be read
    scale: int | None  # of a judge, by the ratings that the log lists
    clips: int | None  # as many as the log lists, if it lists all
    file: str


def bring(checkout: Path, out: Path) -> list[str]:
    """Write logs.csv and clips/ into `out`; returns a sentence for each. Raises DataError, OSError."""
    logs: list[Log] = []
    listed = 0
    summary = _json(checkout / SUMMARY) or {}
    if not (checkout / FOLDER).is_dir():
        raise DataError(f"{checkout} has no folder {FOLDER}. Name a whole clone of AudioLLMs/AudioBench.")
    for dataset in datasets().values():
        for system, known in systems().items() if dataset.table else ():
            path = FOLDER / known.logs / f"{_name(dataset)}_{METRICS[dataset.metric]}_score.json"
            content = _json(checkout / path)
            logs.extend(_logs(dataset, system, content, path.as_posix()))
            if content is None:
                logs.extend(_summed_up(dataset, system, known.logs, summary))
            listed += _write_clips(out / "clips" / system / f"{dataset.id}.jsonl", dataset, content or {})
    write(out / "logs.csv", logs)
    return [
        f"{out / 'logs.csv'}: {len(logs)} figures.",
        f"{out / 'clips'}: {listed} clips that the logs list.",
    ]


def _name(dataset: Dataset) -> str:
    return dataset.same_answers_as or dataset.id


def _json(path: Path) -> Any:
    """A JSON file, or None where there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}). Name a whole clone of AudioLLMs/AudioBench."
        ) from None


def _logs(dataset: Dataset, system: str, content: Any, file: str) -> Iterator[Log]:
    if content is None:
        return
    score = content[METRICS[dataset.metric]]
    judged = isinstance(score, dict)
    clips = len(content["sample_wer"]) if "sample_wer" in content else None
    value, rate = (score["judge_score"], score.get("success_rate")) if judged else (score, None)
    scale = _scale(dataset, content)
    yield Log(dataset.id, system, "", value, rate, scale, clips, file)
    for group, share in content.get("task_scores", {}).items():
        yield Log(dataset.id, system, group, share * PER_CENT, None, scale, None, file)


def _scale(dataset: Dataset, content: Any) -> int | None:
    """Some logs of VoxCeleb's accents are of an earlier day, when they were rated on the other scale."""
    if dataset.metric != "judge":
        return None
    return 5 if any(clip["rate_score"] > 1 for clip in content.get("details", ())) else dataset.scale


def _summed_up(dataset: Dataset, system: str, name: str, summary: Any) -> Iterator[Log]:
    """From AudioBench's summary of its logs, which has no groups."""
    value = summary.get(_name(dataset), {}).get(METRICS[dataset.metric], {}).get(name)
    if value is not None:
        yield Log(dataset.id, system, "", value, None, dataset.scale, None, SUMMARY.as_posix())


def _wer_clip(_: Dataset, clip: Clip) -> Clip:
    return {"ref": clip["reference"], "hyp": clip["prediction"]}


def _judged_clip(dataset: Dataset, clip: Clip) -> Clip:
    return {"reply": clip["judge_response"], "scale": dataset.scale}


def _mmau_clip(_: Dataset, clip: Clip) -> Clip:
    return {"answer": clip["reference"], "choices": clip["choices"], "prediction": clip["model_prediction"]}


# By metric: the clips' key in a log, and a clip as `python -m evaluation.metrics` reads it. Logs of WER list
# all clips, normalised; the others the first twenty.
CLIPS: Mapping[str, tuple[str, Callable[[Dataset, Clip], Clip]]] = {
    "wer": ("sample_wer", _wer_clip),
    "judge": ("details", _judged_clip),
    "mmau": ("details", _mmau_clip),
}


def _write_clips(path: Path, dataset: Dataset, content: Mapping[str, Any]) -> int:
    """Write the clips that a log lists; returns how many."""
    key, made = CLIPS.get(dataset.metric.removesuffix("_part4"), ("", _wer_clip))
    clips: Sequence[Clip] = content.get(key, ())
    if clips:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as out:
            for number, clip in enumerate(clips):
                line = {"id": f"{dataset.id}-{number:06}", **made(dataset, clip)}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(clips)


def write(path: Path, logs: Sequence[Log]) -> None:
    """Write a logs.csv. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [each.name for each in fields(Log)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(log) for log in logs)
