"""`python -m evaluation.metrics`: one JSON line for a good file, one sentence for a bad one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.metrics import command, rows

_ROOT = Path(__file__).parents[2]
Command = Callable[..., dict[str, Any]]
GOOD = {
    "wer": {"id": "1", "ref": "the cat sat", "hyp": "the cat"},
    "bleu": {"id": "1", "ref": "the cat sat on it", "hyp": "the cat sat on it"},
    "judge": {"id": "1", "reply": "Rating: 4", "scale": 5},
    "mmau": {"id": "1", "answer": "(A) Man", "choices": ["(A) Man", "(B) Dog"], "prediction": "a man"},
}


def _file(folder: Path, lines: Sequence[dict[str, Any] | str | bytes]) -> Path:
    path = folder / "rows.jsonl"
    as_bytes = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path.write_bytes(b"".join(line + b"\n" for line in as_bytes))
    return path


@pytest.fixture
def scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(metric: str, lines: Sequence[dict[str, Any] | str | bytes], *options: str) -> dict[str, Any]:
        assert command.run([metric, "--input", str(_file(tmp_path, lines)), *options]) == 0
        out, err = capsys.readouterr()
        assert err == "" and out.endswith("\n") and out.count("\n") == 1
        result = json.loads(out)
        assert isinstance(result, dict)
        assert result["low"] <= result["high"] and result["signature"]
        return result

    return run


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(metric: str, lines: Sequence[dict[str, Any] | str | bytes], *options: str) -> str:
        assert command.run([metric, "--input", str(_file(tmp_path, lines)), *options]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.endswith(".\n") and err.count("\n") == 1
        return err

    return run


def test_word_errors(scored: Command) -> None:
    rows = [
        {"id": 1, "ref": "The cat sat.", "hyp": "the cat", "other": None},
        {"id": "2", "ref": "don’t go", "hyp": "dont go"},
    ]
    standard, part4 = scored("wer", rows), scored("wer", rows, "--part4")
    assert standard["wer"] == 3 / 6  # sat; don and t against dont
    assert part4["wer"] == 1 / 5
    assert (part4["n"], part4["words"], part4["edits"], part4["deletions"]) == (2, 5, 1, 1)
    assert "audiobench-part4" in part4["signature"] and "whisper:20250625" in part4["signature"]
    assert (part4["low"], part4["high"]) == (0.0, pytest.approx(1 / 3))


def test_translations(scored: Command) -> None:
    rows = [{"id": str(n), "ref": "今天天气很好", "hyp": "今天天气不好"} for n in range(3)]
    assert scored("bleu", rows)["bleu"] == 0.0  # one word each
    found = scored("bleu", rows, "--tokenize", "zh")
    assert found["bleu"] == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert found["low"] == found["high"] == pytest.approx(found["bleu"])
    assert "tok:zh" in found["signature"]


@pytest.mark.parametrize(
    ("replies", "scale", "score", "success_rate"),
    [
        (["Rating: 4", "4 out of 5", "Rating:4", "3.5"], 5, 62.5, 0.75),
        (["Rating: 1", "Rating: 0", "Rating: 2", ""], 1, 25.0, 0.5),
        (["none"], 5, 0.0, 0.0),
    ],
)
def test_judged_answers(
    scored: Command, replies: list[str], scale: int, score: float, success_rate: float
) -> None:
    rows = [{"id": str(n), "reply": reply, "scale": scale} for n, reply in enumerate(replies)]
    found = scored("judge", rows)
    assert (found["score"], found["success_rate"], found["n"]) == (score, success_rate, len(replies))


def test_choices(scored: Command) -> None:
    rows = [{**GOOD["mmau"], "id": str(n), "prediction": said} for n, said in enumerate(["a man", "dog", ""])]
    found = scored("mmau", rows)
    assert (found["accuracy"], found["n"]) == (1 / 3, 3)


def test_a_file_from_another_system_is_read(scored: Command) -> None:
    """A byte order mark, ends of lines of Windows, blank lines, no end of the last, halves of characters."""
    row = json.dumps({**GOOD["wer"], "ref": "\ud800 cat"})
    assert scored("wer", [b"\xef\xbb\xbf" + row.encode() + b"\r", b"", b"  \r"])["n"] == 1


@pytest.mark.parametrize(
    ("metric", "line", "words"),
    [
        ("wer", "not JSON", "line 2, is not JSON"),
        ("wer", "[" * 100_000, "line 2, is not JSON"),
        ("wer", '{"id": ' + "9" * 5000 + "}", "line 2, is not JSON"),
        ("wer", "[1]", "line 2, is a list and not an object"),
        ("wer", "null", "line 2, is null and not an object"),
        ("wer", b'{"id": "2", "ref": "caf\xe9", "hyp": ""}', "line 2, is not UTF-8"),
        ("wer", {"id": "2", "ref": "a"}, "line 2, lacks hyp. A row has id, ref, hyp"),
        ("judge", {"id": "2"}, "line 2, lacks reply, scale"),
        ("wer", {"id": "2", "ref": "a", "hyp": None}, 'line 2: "hyp" is null and must be text'),
        ("wer", {"id": ["2"], "ref": "a", "hyp": "b"}, 'line 2: "id" is a list and must be text or a whole'),
        ("wer", {"id": True, "ref": "a", "hyp": "b"}, 'line 2: "id" is True and must be'),
        ("wer", {"id": 1, "ref": "a", "hyp": "b"}, "line 2: the id 1 is in line 1 already"),
        ("judge", {"id": "2", "reply": "Rating: 1", "scale": 1}, "line 2: the scale is 1, and 5 before"),
        ("judge", {"id": "2", "reply": "Rating: 1", "scale": 10}, 'line 2: "scale" is 10 and must be 5'),
        ("judge", {"id": "2", "reply": "Rating: 1", "scale": True}, 'line 2: "scale" is True and must be 5'),
        ("judge", {"id": "2", "reply": 4, "scale": 5}, 'line 2: "reply" is 4 and must be text'),
        (
            "mmau",
            {**GOOD["mmau"], "id": "2", "choices": []},
            'line 2: "choices" is a list and must be a list of',
        ),
        ("mmau", {**GOOD["mmau"], "id": "2", "choices": "(A) Man"}, 'line 2: "choices" is text and must be'),
        ("mmau", {**GOOD["mmau"], "id": "2", "answer": "Man"}, 'line 2: nothing is left of "answer"'),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    refused: Callable[..., str], metric: str, line: dict[str, Any] | str | bytes, words: str
) -> None:
    assert words in refused(metric, [GOOD[metric], line])


@pytest.mark.parametrize("metric", GOOD)
@pytest.mark.parametrize("lines", [[], ["", "   "]])
def test_an_empty_file_has_no_score(refused: Callable[..., str], metric: str, lines: list[str]) -> None:
    assert "has no rows. Each line is an object with id, " in refused(metric, lines)


def test_a_line_without_end_is_not_read_into_memory(refused: Callable[..., str]) -> None:
    assert "line 2, is longer than 8 MiB" in refused("wer", [GOOD["wer"], b" " * (rows.LINE_BYTES + 1)])


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, words in [(tmp_path / "none", "No such file"), (tmp_path, "Is a directory")]:
        assert command.run(["wer", "--input", str(path)]) == 2
        assert f"{path} cannot be read ({words}" in capsys.readouterr().err


def test_a_tokenizer_whose_model_cannot_be_fetched(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether sentencepiece is there or not."""
    import urllib.request

    from sacrebleu.tokenizers import tokenizer_spm

    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens
    words = refused("bleu", [GOOD["bleu"]], "--tokenize", "flores101")
    assert "flores101" in words and "by 13a, and by zh into Chinese" in words


def _start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "evaluation.metrics", *arguments],
        cwd=_ROOT,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_the_command_needs_neither_torch_nor_whisper(tmp_path: Path) -> None:
    code = (
        "import sys; from evaluation.metrics.__main__ import main; code = main(); "
        "assert not {'torch', 'whisper', 'evaluation.runner'} & set(sys.modules); sys.exit(code)"
    )
    path = _file(tmp_path, [GOOD["wer"]])
    ended = subprocess.run(
        [sys.executable, "-c", code, "wer", "--input", str(path)], cwd=_ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["wer"] == pytest.approx(1 / 3)


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    pipe = tmp_path / "rows.jsonl"
    os.mkfifo(pipe)
    with _start("wer", "--input", str(pipe), stdout=subprocess.PIPE) as process:
        with pipe.open("w") as rows:  # returns when the command reads
            rows.write(json.dumps(GOOD["wer"]) + "\n")
            rows.flush()
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk to write to")
def test_a_result_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = _file(tmp_path, [GOOD["judge"]])
    with Path("/dev/full").open("w") as full, _start("judge", "--input", str(path), stdout=full) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == "error: The result cannot be written (No space left on device).\n"
