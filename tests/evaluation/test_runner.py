from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation import folder as folders
from evaluation import runner
from evaluation.__main__ import main
from evaluation.core import ANSWERS, RESULT, SCORES, Answer, Example, kept
from evaluation.data import Broken
from evaluation.errors import DataError, EndpointError, RunError
from evaluation.journal import RESERVE, Journal
from tests.backend.fake_engine import (
    Behaviour,
    Exchange,
    breaks_after,
    ends_after,
    refuses,
    says,
    sends,
    stalls_after,
)
from tests.evaluation import corpus
from tests.evaluation.scripted import (
    Budget,
    Scripted,
    dataset,
    examples,
    refuses_for,
    system,
    wav,
    words,
)

ROOT = Path(__file__).parents[2]
DATASETS = """
[tiny_asr]
title = "Tiny"
table = 0
row = "Tiny"
task = "asr"
metric = "wer"
licence = "none"
fields = {{ id = "name", group = "kind" }}
n = {clips}
size_from = "the test"
"""
SYSTEMS = """
[scripted]
title = "Scripted"
kind = "chat"
base_url = "{url}"
model = "tiny"
start = "It runs within a test."
concurrency = 4
patience = {{ first_s = {silent_s}, between_s = {silent_s}, tries = 8, pause_s = 0.01 }}
"""


def answers(folder: Path) -> dict[str, Answer]:
    return {answer.id: answer for answer in kept(folder / ANSWERS, Answer)}


def test_every_answer_is_kept_and_none_is_asked_for_twice(tmp_path: Path) -> None:
    with Scripted() as endpoint:
        row = system(endpoint)
        first = runner.run(row, dataset(), examples(9), tmp_path)
        second = runner.run(row, dataset(), examples(9), tmp_path)
        assert sorted(endpoint.log) == sorted(f"clip-{n}" for n in range(9))
    assert (first.answered, second.answered, second.before) == (9, 0, 9)
    assert {name: one.answer for name, one in answers(first.folder).items()} == {
        f"clip-{n}": words(f"clip-{n}") for n in range(9)
    }
    run = folders.read(first.folder)
    assert (run["models"], run["clips"], run["asked"]["system"]["model"]) == (["tiny"], 9, "tiny")
    assert not (first.folder / RESERVE).exists()


def test_only_so_many_at_once_and_read_ahead(tmp_path: Path) -> None:
    busy = most = pulled = ahead = 0

    def script(clip: str, asked: int) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            await says(*["word "] * 3, gap_s=0.002)(exchange)
            busy -= 1

        return behave

    def lazily() -> Iterator[Example]:
        nonlocal pulled, ahead
        for example in examples(40):
            pulled += 1
            ahead = max(ahead, pulled - len(endpoint.log))
            yield example

    with Scripted(script) as endpoint:
        tally = runner.run(system(endpoint), dataset(), lazily(), tmp_path, concurrency=3)
    assert tally.answered == 40
    assert 1 < most <= 3
    assert ahead <= 3 + 3 + 1  # asked about, waiting, and in hand


def test_failures_are_counted_and_only_the_endpoints_own_are_asked_again(tmp_path: Path) -> None:
    faults = {"clip-1": refuses(400, "too quiet"), "clip-2": refuses(500), "clip-4": says()}
    with Scripted(lambda clip, asked: faults.get(clip, says("yes"))) as endpoint:
        row = system(endpoint)
        clips = [*examples(5), Broken("clip-7", "Row 7 has no sound.")]
        tally = runner.run(row, dataset(), clips, tmp_path)
        assert (tally.answered, tally.failed, tally.again) == (3, 3, 1)
        faults.clear()
        endpoint.log.clear()
        tally = runner.run(row, dataset(), clips, tmp_path)
        assert endpoint.log == ["clip-2"]
    found = answers(tally.folder)
    assert found["clip-1"].problem == "The endpoint refused the request (HTTP 400: too quiet)."
    assert found["clip-2"].answer == "yes"
    assert (found["clip-4"].answer, found["clip-4"].problem) == ("", "")
    assert found["clip-7"].problem == "Row 7 has no sound."
    assert (tally.failed, tally.again) == (2, 0)


def test_an_endpoint_that_dies_half_way(tmp_path: Path) -> None:
    with Scripted(lambda clip, _: says("yes") if len(endpoint.log) <= 6 else breaks_after()) as endpoint:
        row = system(endpoint)
        with pytest.raises(EndpointError, match=r"has not answered 5 clips in a row.*same command again"):
            runner.run(row, dataset(), examples(40), tmp_path)
        folder = runner.folder_of(tmp_path, row, dataset())
        done = {name for name, one in answers(folder).items() if not one.problem}
        assert len(done) == 6
        assert folders.read(folder)["clips"] is None  # not finished
        endpoint.script = lambda clip, _: says("yes")
        endpoint.log.clear()
        tally = runner.run(row, dataset(), examples(40), tmp_path)
        assert not done & set(endpoint.log)
    assert (tally.before, tally.answered, tally.failed) == (6, 34, 0)


def test_two_runs_on_one_folder(tmp_path: Path) -> None:
    with Scripted() as endpoint:
        row = system(endpoint)
        with (
            folders.held(runner.folder_of(tmp_path, row, dataset())),
            pytest.raises(RunError, match=rf"is in use by process {os.getpid()} on"),
        ):
            runner.run(row, dataset(), examples(2), tmp_path)
        assert endpoint.log == []
        assert runner.run(row, dataset(), examples(2), tmp_path).answered == 2


def test_a_folder_of_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    with Scripted() as endpoint:
        row = system(endpoint)
        runner.run(row, dataset(), examples(2), tmp_path)
        other = row.model_copy(update={"max_tokens": 5, "prompt": "Now: {instruction}", "concurrency": 1})
        with pytest.raises(RunError) as caught:
            runner.run(other, dataset(), examples(2), tmp_path)
        assert len(endpoint.log) == 2
    said = str(caught.value)
    assert "system.max_tokens was 228 and is 5" in said
    assert 'system.prompt was "{instruction}"' in said
    assert "concurrency" not in said


def test_a_run_may_grow_but_not_shrink(tmp_path: Path) -> None:
    with Scripted() as endpoint:
        row = system(endpoint)
        runner.run(row, dataset(), examples(2), tmp_path, limit=2)
        assert runner.run(row, dataset(), examples(5), tmp_path).answered == 3
        with pytest.raises(RunError, match='limit was "none" and is 2'):
            runner.run(row, dataset(), examples(2), tmp_path, limit=2)


def test_another_model_behind_the_same_address(tmp_path: Path) -> None:
    with Scripted() as endpoint:
        row = system(endpoint, model="")
        runner.run(row, dataset(), examples(2), tmp_path)
        endpoint.engine.models = ("huge",)
        with pytest.raises(RunError, match="holds answers of tiny, and huge is there now"):
            runner.run(row, dataset(), examples(3), tmp_path)


def test_an_id_that_is_there_twice(tmp_path: Path) -> None:
    with Scripted() as endpoint, pytest.raises(DataError, match="two clips of the id 'clip-0'"):
        runner.run(system(endpoint), dataset(), examples(1) * 2, tmp_path)


def test_half_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / ANSWERS
    with Journal(path) as journal:
        journal.append(b'{"a": 1}\n')
    with path.open("ab") as file:
        file.write(b'{"a": ' + b"2" * 200_000)
    with Journal(path) as journal:
        journal.append(b'{"a": 3}\n')
    assert path.read_bytes() == b'{"a": 1}\n{"a": 3}\n'


def test_a_full_disk_takes_the_lines_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the reserve is there the disk has room for half a line, and for a whole one without it."""
    path, write = tmp_path / ANSWERS, os.write

    def full(file: int, data: Any) -> int:
        if not (tmp_path / RESERVE).exists():
            return write(file, data)
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) // 2])

    with Journal(path) as journal:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(RunError, match=r"no more room.*All that was answered is kept"):
            journal.append(b'{"answer": "in hand"}\n')
        journal.append(b'{"answer": "at the same time"}\n')
    assert path.read_bytes() == b'{"answer": "in hand"}\n{"answer": "at the same time"}\n'


@pytest.fixture
def command(tmp_path: Path) -> Iterator[tuple[Scripted, list[str]]]:
    """An endpoint, and the command that asks it about 24 clips of a parquet file, but for its folder."""
    clips = 24
    rows = [
        corpus.row(
            context={"bytes": wav(), "path": "a.wav"}, instruction=f"Write clip-{n} down.",
            answer=f"clip number {n}", name=f"clip-{n}", kind="even" if n % 2 else "odd",
        )
        for n in range(clips)
    ]  # fmt: skip
    corpus.write(tmp_path / "data" / "test-0.parquet", rows)
    (tmp_path / "datasets.toml").write_text(DATASETS.format(clips=clips))
    with Scripted() as endpoint:
        (tmp_path / "systems.toml").write_text(SYSTEMS.format(url=endpoint.url, silent_s=20))
        yield endpoint, [
            *(sys.executable, "-m", "evaluation", "run", "--system", "scripted", "--dataset", "tiny_asr"),
            *("--systems", str(tmp_path / "systems.toml"), "--datasets", str(tmp_path / "datasets.toml")),
            *("--data", str(tmp_path / "data"), "--out"),
        ]  # fmt: skip


def result_of(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / RESULT).read_bytes())
    return {key: value for key, value in result.items() if key != "made"}


def started(command: list[str], out: Path, **how: Any) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, str(out)], cwd=ROOT, stdout=pipe, stderr=pipe, text=True, **how)


TROUBLES = (
    stalls_after(),
    refuses(429),
    stalls_after("clip "),
    breaks_after("clip number"),
    refuses_for(503, "0"),
    sends(b"<html>Bad gateway</html>", content_type="text/html"),
    ends_after("clip"),
    sends(b'data: {"error": {"message": "out of memory"}}\n\n'),
)


def misbehaving(budget: Budget) -> Any:
    """One or two troubles a clip, each clip its own, before the answer."""

    def script(clip: str, asked: int) -> Behaviour:
        number = int(clip.removeprefix("clip-"))
        if asked <= 1 + number % 2:
            return TROUBLES[(number + 3 * asked) % len(TROUBLES)]
        return budget.of(says(words(clip)))

    return script


def test_killed_three_times_by_a_misbehaving_endpoint_it_ends_with_the_same_scores(
    command: tuple[Scripted, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint, words_of = command
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    assert main([*words_of[3:], str(calm)]) == 0
    capsys.readouterr()
    folder = rough / "scripted" / "tiny_asr"

    (tmp_path / "systems.toml").write_text(SYSTEMS.format(url=endpoint.url, silent_s=0.5))
    kept_before: set[str] = set()
    for answers_left in (5, 7, 6):
        budget = Budget(answers_left)
        endpoint.forget()
        endpoint.script = misbehaving(budget)
        process = started(words_of, rough)
        assert budget.spent.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not kept_before & set(endpoint.log)
        kept_before = {name for name, one in answers(folder).items() if not one.problem}
        with (folder / ANSWERS).open("ab") as file:  # as if it had died in the middle of a line
            file.write(b'{"id": "clip-')
    assert 0 < len(kept_before) <= 18

    endpoint.forget()
    endpoint.script = misbehaving(Budget(1_000))
    assert main([*words_of[3:], str(rough)]) == 0
    told = f"{24 - len(kept_before)} answered, {len(kept_before)} kept from before"
    assert told in capsys.readouterr().err
    assert not kept_before & set(endpoint.log)
    steady = calm / "scripted" / "tiny_asr"
    assert (folder / SCORES).read_bytes() == (steady / SCORES).read_bytes()
    assert result_of(folder) == result_of(steady)
    assert result_of(folder)["n"] == result_of(folder)["answered"] == 24


def test_ctrl_c_ends_in_words_and_loses_nothing(command: tuple[Scripted, list[str]], tmp_path: Path) -> None:
    endpoint, words_of = command
    budget = Budget(6)
    endpoint.script = lambda clip, _: budget.of(says(words(clip)))
    process = started(words_of, tmp_path / "out")
    assert budget.spent.wait(60)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Stopped. All that was answered is kept" in said
    assert "Traceback" not in said
    assert len(answers(tmp_path / "out" / "scripted" / "tiny_asr")) >= 2


def test_a_disk_that_is_full(command: tuple[Scripted, list[str]], tmp_path: Path) -> None:
    endpoint, words_of = command
    endpoint.script = lambda clip, _: says(f"{words(clip)} {'long ' * 9_500}")
    most = 1_100_000  # bytes of a file: room for the reserve, and for a good twenty answers

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    process = started(words_of, tmp_path / "out", preexec_fn=small)
    _, said = process.communicate()
    assert process.returncode == 2
    assert "There is no more room for" in said
    assert "Traceback" not in said
    folder = tmp_path / "out" / "scripted" / "tiny_asr"
    there = set(answers(folder))
    assert 20 <= len(there) < 24
    endpoint.log.clear()
    assert main([*words_of[3:], str(tmp_path / "out")]) == 0
    assert set(endpoint.log) == {f"clip-{n}" for n in range(24)} - there
