"""docs/threat-model.md is held to the tests that it names; and the threats that had no test of their own."""

from __future__ import annotations

import ast
import datetime
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from deploy.event.authority import KEY, authority
from deploy.event.data import Data
from tests.speech import ROOT

DOCUMENT = ROOT / "docs" / "threat-model.md"
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
OURS = (
    "Home.py",
    "ui",
    "pages",
    "backend",
    "model",
    "training",
    "evaluation",
    "samples",
    "deploy",
    "benchmarks",
)


def rows() -> list[list[str]]:
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return [row for row in cells if not re.fullmatch(r"\*\*.+\*\*", row[0])]


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


def test_every_test_that_it_names_is_there() -> None:
    named = TEST.findall(DOCUMENT.read_text("utf-8"))
    assert len(named) > 80
    assert [f"{file}::{name}" for file, name in named if name not in functions_of(file)] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:50])
def test_every_threat_has_a_test_or_a_reason_to_be_left(row: list[str]) -> None:
    assert len(row) == 3, row
    threat, stops, tests = row
    assert threat and stops
    if not TEST.search(tests):
        assert tests == ""
        assert re.match(r"accepted: \S.{20,}", stops), f"{threat}: neither a test nor why it is accepted"


def test_it_is_two_pages() -> None:
    assert len(re.sub(r"`[^`]*`", "", DOCUMENT.read_text("utf-8")).split()) < 1_600


# What had no test elsewhere.


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for place in OURS:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                yield file, node


def test_nothing_of_ours_unpickles_or_trusts_a_checkpoints_code() -> None:
    wrong = []
    for file, node in sources():
        where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            wrong += [where for name in names if name.split(".")[0] in {"pickle", "dill", "joblib", "shelve"}]
        elif isinstance(node, ast.Call):
            given = {word.arg: word.value for word in node.keywords}
            for name in ("trust_remote_code", "allow_pickle"):
                if name in given and getattr(given[name], "value", True) is not False:
                    wrong.append(where)
            if ast.unparse(node.func) == "torch.load":
                only = given.get("weights_only")
                wrong += [] if isinstance(only, ast.Constant) and only.value is True else [where]
    assert wrong == []


def test_a_pickled_checkpoint_is_not_served(tmp_path: Path) -> None:
    """Its code would run when it is read: it is refused before anything reads it."""
    marker = tmp_path / "ran"
    folder = tmp_path / "model"
    folder.mkdir()
    evil = f"cos\nsystem\n(S'touch {marker}'\ntR."
    (folder / "pytorch_model.bin").write_text(evil)
    (folder / "config.json").write_text(json.dumps({"model_type": "meralion2", "architectures": ["X"]}))
    done = subprocess.run(
        [sys.executable, "-m", "model.serve", str(folder), "--dry-run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "safetensors" in done.stderr
    assert "Traceback" not in done.stderr
    assert not marker.exists()


def test_nothing_listens_beyond_this_machine_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.settings import Settings
    from model.serve.options import Options

    monkeypatch.delenv("MERALION_HOST", raising=False)
    assert Settings().host == "127.0.0.1"
    assert Options(model="x").host == "127.0.0.1"
    assert 'address = "localhost"' in (ROOT / ".streamlit" / "config.toml").read_text("utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "model.embedded", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert "address to listen on (127.0.0.1)" in " ".join(said.split())


def test_the_events_authority_vouches_for_local_names_only(tmp_path: Path) -> None:
    """A guest who trusts it cannot be fooled about a bank, not even by who steals its key."""
    data = Data(tmp_path / "event")
    made = authority(data, ["demo.fair"])
    key = serialization.load_pem_private_key(data.path(KEY).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert data.path(KEY).stat().st_mode & 0o077 == 0

    def vouches(name: str) -> bool:
        verifier = PolicyBuilder().store(Store([made.certificate])).build_server_verifier(x509.DNSName(name))
        try:
            return bool(verifier.verify(leaf(name, key, made.certificate), []))
        except VerificationError:
            return False

    assert vouches("demo.lan") and vouches("demo.fair")
    assert not vouches("bank.example.com")


def leaf(name: str, key: ec.EllipticCurvePrivateKey, above: x509.Certificate) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    own = ec.generate_private_key(ec.SECP256R1())
    issuer = above.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(above.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=12))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(key, hashes.SHA256())
    )
