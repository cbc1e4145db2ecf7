"""Brings AudioBench's own words and logs from your clone of it, as files that `run` and the metrics take.

    python -m evaluation audiobench CHECKOUT --out FOLDER

    FOLDER/instructions.toml     for `run --instructions`: what it asks of clips without a question
    FOLDER/judge_prompts.toml    for `--judge-prompts`: its rubrics on both scales
    FOLDER/logs.csv              what its systems got; of the form of our logs.csv
    FOLDER/clips/SYSTEM/SET.jsonl  the clips that a log lists, as `python -m evaluation.metrics` reads them

Its sentences are not ours to pass on, so none are in this repository. Its Python files are parsed, never run.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from evaluation import audiobench_logs
from evaluation.errors import DataError

SOURCE = Path("src/dataset_src")
# Our list: the file it is in, and its name there. Both ways into English, and both sets of spoken
# instructions, have lists of the same sentences.
LISTS = {
    "asr": ("prompts/prompts.py", "asr_instructions"),
    "st_id": ("covost2_en_id_test.py", "st_instructions"),
    "st_zh": ("covost2_en_zh_test.py", "st_instructions"),
    "st_en": ("covost2_id_en_test.py", "st_instructions"),
    "si": ("openhermes_audio_test.py", "si_instructions"),
    "gender": ("voxceleb_gender_test.py", "gr_instructions"),
    "accent": ("voxceleb_accent_test.py", "ar_instructions"),
    "sentiment": ("meld_sentiment_test.py", "er_instructions"),
    "emotion": ("meld_emotion_test.py", "er_instructions"),
}
# Our rubric, and the function its prompt is in.
JUDGE = "eval_methods/eval_llama3_70b.py"
PROMPTS = {
    "scale_5": "llama3_70b_as_judge_one_sample",
    "scale_1": "llama3_70b_as_judge_binary_one_sample",
}
PLACES = ("{reference}", "{answer}", "{question}")


def bring(checkout: Path, out: Path) -> list[str]:
    """Write the files into `out`, and return a sentence for each. Raises DataError."""
    lists, prompts = instructions(checkout), judge_prompts(checkout)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "instructions.toml").write_text(_lists_as_toml(lists), "utf-8")
        (out / "judge_prompts.toml").write_text(_prompts_as_toml(prompts), "utf-8")
        told = audiobench_logs.bring(checkout, out)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written ({error.strerror}). Name another folder with --out."
        ) from None
    sentences = sum(len(each) for each in lists.values())
    return [
        f"{out / 'instructions.toml'}: {sentences} sentences in {len(lists)} lists.",
        f"{out / 'judge_prompts.toml'}: the judge's prompt on both scales.",
        *told,
    ]


def instructions(checkout: Path) -> Mapping[str, list[str]]:
    """AudioBench's sentences under our lists' names. Raises DataError."""
    found = {}
    for name, (file, variable) in LISTS.items():
        path = checkout / SOURCE / file
        sentences = _value(path, variable, _parsed(path).body)
        if not (isinstance(sentences, list) and all(isinstance(each, str) for each in sentences)):
            raise DataError(f"{path}: {variable} is no list of sentences. Name another commit of AudioBench.")
        found[name] = sentences
    return found


def judge_prompts(checkout: Path) -> Mapping[str, str]:
    """AudioBench's prompts for its judge by our scales, with our names for the blanks. Raises DataError."""
    path = checkout / SOURCE / JUDGE
    functions = {node.name: node for node in _parsed(path).body if isinstance(node, ast.FunctionDef)}
    found = {}
    for scale, name in PROMPTS.items():
        if name not in functions:
            raise DataError(f"{path} has no function {name}. Name another commit of AudioBench.")
        prompt = str(_value(path, "PROMPT_TEMPLATE", functions[name].body))
        prompt = prompt.replace("{prediction}", "{answer}")
        if lacking := [place for place in PLACES if place not in prompt]:
            raise DataError(f"{path}: the prompt in {name} has no {' and no '.join(lacking)}.")
        found[scale] = prompt
    return found


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{path} cannot be read. Name a clone of AudioLLMs/AudioBench.") from None
    except (SyntaxError, ValueError) as error:
        raise DataError(
            f"{path} is no Python ({error}). Name a whole clone of AudioLLMs/AudioBench."
        ) from None


def _value(path: Path, variable: str, body: list[ast.stmt]) -> object:
    """What is assigned to a name, if it is written out."""
    for node in body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == variable for target in node.targets
        ):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                break
    raise DataError(f"{path} does not write {variable} out. Name another commit of AudioBench.")


def _lists_as_toml(lists: Mapping[str, list[str]]) -> str:
    def lines() -> Iterator[str]:
        yield "# AudioBench's sentences, by the names of our lists.\n"
        for name, sentences in lists.items():
            yield f"\n{name} = [\n"
            yield from (f"    {_quoted(each)},\n" for each in sentences)
            yield "]\n"

    return "".join(lines())


def _prompts_as_toml(prompts: Mapping[str, str]) -> str:
    tables = "".join(f'\n[{scale}]\nprompt = """\n{_escaped(text)}"""\n' for scale, text in prompts.items())
    return f"# AudioBench's prompts for its judge.\n{tables}"


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are among TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
