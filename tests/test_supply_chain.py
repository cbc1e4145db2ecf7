"""What others wrote: every version pinned, every licence taken by the policy, and an audit that is honest."""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.supply_chain import audit, licences, pins
from deploy.supply_chain.pins import ROOT, PinError

TODAY = datetime.date(2026, 12, 1)


@pytest.mark.parametrize("file", pins.files(), ids=lambda file: file.name)
def test_every_requirement_is_pinned(file: Path) -> None:
    assert pins.read(file)


@pytest.mark.parametrize(
    "line", ["torch", "torch>=2", "torch==2.*", "torch @ https://example.org/t.whl", "-e ."]
)
def test_what_is_not_pinned_is_told(tmp_path: Path, line: str) -> None:
    file = tmp_path / "some.txt"
    file.write_text(f"# a comment\n{line}\n")
    with pytest.raises(PinError, match=r"some\.txt"):
        pins.read(file)


def test_weights_and_programs_are_pinned_by_what_they_hold() -> None:
    for name in ("models.txt", "eval.txt", "event.txt"):
        assert all(pin.hashes for pin in pins.read(ROOT / "requirements" / name)), name


def has(environment: str) -> str:
    if licences.site_packages(environment) is None:
        assert "CI" not in os.environ, f"{environment} was not made"
        pytest.skip(f"{pins.ENVIRONMENTS[environment][0]} was not made on this machine")
    return environment


@pytest.mark.parametrize("environment", pins.ENVIRONMENTS)
def test_every_licence_is_one_that_the_policy_takes(environment: str) -> None:
    found = licences.installed(has(environment))
    assert len(found) > 80
    assert licences.violations(environment) == []
    strong = [one.name for one in found if re.search(r"\bA?GPL", one.licence)]
    assert strong == []


@pytest.mark.parametrize("environment", pins.ENVIRONMENTS)
def test_what_wheels_bring_along_under_gpl_is_named(environment: str) -> None:
    reasons = licences.policy()["bundled"]["reasons"]
    assert [one for one in licences.bundled(has(environment)) if len(reasons.get(one, "")) < 10] == []


@pytest.mark.parametrize("environment", pins.ENVIRONMENTS)
def test_the_list_of_licences_is_up_to_date(environment: str) -> None:
    written = licences.DOCUMENT.read_text("utf-8")
    for one in licences.installed(has(environment)):
        rows = re.findall(rf"^\| {re.escape(one.name)} \| (.*) \|$", written, re.MULTILINE)
        found = any(row == one.licence or row.startswith(f"{one.licence}: ") for row in rows)
        assert found, f"{one.name} is not in it: python -m deploy.supply_chain licences --write"


def test_the_list_has_nothing_that_is_not_pinned() -> None:
    names = set(re.findall(r"^\| ([\w.-]+) \| ", licences.DOCUMENT.read_text("utf-8"), re.MULTILINE))
    pinned = {pin.name for environment in pins.ENVIRONMENTS for pin in pins.of(environment)}
    assert names - {"package"} <= pinned


def test_every_exception_is_needed_and_has_a_reason() -> None:
    found = {one.name for environment in pins.ENVIRONMENTS for one in licences.installed(environment)}
    for name, exception in licences.policy()["exceptions"].items():
        assert len(exception["reason"]) > 20
        assert name in found or licences.site_packages("vllm") is None


def test_the_notice_names_the_models_that_are_installed() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for name in ("Whisper base", "SmolLM2", "Kokoro-82M", "misaki", "g2p-en", "openai-whisper"):
        assert name in notice
    known = r"whisper|smollm2|kokoro|misaki|g2p-en"
    models = pins.read(ROOT / "requirements" / "models.txt")
    assert [pin.name for pin in models if not re.search(known, pin.name)] == []


# Answers of pip-audit, as it gave them: by a service that knows, and by an index that has no advisories.
KNOWS = {
    "dependencies": [
        {
            "name": "requests",
            "version": "2.19.0",
            "vulns": [{"id": "PYSEC-2018-28", "fix_versions": ["2.20.0"], "aliases": ["CVE-2018-18074"]}],
        }
    ],
    "fixes": [],
}
HAS_NONE = {
    "dependencies": [
        {
            "name": "requests",
            "skip_reason": "Dependency not found on PyPI and could not be audited: requests (2.19.0)",
        }
    ],
    "fixes": [],
}
CLEAN = {"dependencies": [{"name": "jiwer", "version": "4.0.0", "vulns": []}], "fixes": []}
STAND_IN = """
import json, pathlib, sys
asked = pathlib.Path(sys.argv[-1]).read_text()
canary, rest = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text())
if canary is None:
    sys.exit("Failed to resolve the service's name")
print(json.dumps(canary if "requests==2.19.0" in asked else rest))
sys.exit(1)
"""


def answering(tmp_path: Path, canary: object, rest: object) -> tuple[str, ...]:
    """A command in pip-audit's place, which says what it said elsewhere."""
    (tmp_path / "pip_audit.py").write_text(STAND_IN)
    (tmp_path / "pip_audit.json").write_text(json.dumps([canary, rest]))
    return (sys.executable, str(tmp_path / "pip_audit.py"))


@pytest.mark.parametrize(
    "canary", [None, HAS_NONE, CLEAN], ids=["no network", "an index alone", "knows nothing"]
)
def test_an_audit_tells_none_found_from_not_asked(tmp_path: Path, canary: object) -> None:
    assert not audit.audit(answering(tmp_path, canary, CLEAN)).checked
    done = audit.audit(answering(tmp_path, KNOWS, CLEAN))
    assert (done.checked, done.findings, done.skipped) == (True, (), ())


def test_a_finding_fails_until_it_is_accepted_and_again_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = audit.audit(answering(tmp_path, KNOWS, KNOWS))
    assert [(one.package, one.id) for one in done.findings] == [("requests", "PYSEC-2018-28")]
    assert "Go to 2.20.0" in str(done.findings[0])
    assert audit.unaccepted(done.findings, TODAY)
    file = tmp_path / "accepted.toml"
    file.write_text(
        '[[accepted]]\npackage = "requests"\nid = "PYSEC-2018-28"\nreason = "r"\nuntil = 2026-12-01\n'
    )
    monkeypatch.setattr(audit, "ACCEPTED", file)
    assert audit.unaccepted(done.findings, TODAY) == []
    assert audit.unaccepted(done.findings, TODAY + datetime.timedelta(days=1))


def test_what_is_accepted_has_a_reason_and_a_last_day() -> None:
    for entry in tomllib.loads(audit.ACCEPTED.read_text("utf-8")).get("accepted", []):
        assert set(entry) == {"package", "id", "reason", "until"}
        assert len(entry["reason"]) > 20
        assert isinstance(entry["until"], datetime.date)
