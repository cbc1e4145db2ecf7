"""The Dockerfiles: clean by hadolint, small by what they install, never root, and at one with the tree.

They are built and run by deploy/images/try-out, which takes minutes and is started by hand.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.deploy.dockerfile import FILES, FOLDER, copied, instructions, values, variables
from tests.deploy.test_settings_files import CLASSES, names
from tests.speech import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
SERVICES = ("controller", "ui", "engine")
CODE = {
    "controller": ("backend", "model/audio.py", "model/audio_[clw]*.py"),
    "ui": ("ui", "pages", "Home.py"),
    "engine": ("model/embedded", "model/mini"),
}
# Found at run time only where it is installed, and asked for by nobody who runs in this image.
NOT_THERE = {"engine": {"torch", "transformers", "vllm"}}
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT / "deploy")))


@every_file
def test_hadolint_finds_nothing(file: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint is missing: make .venv/test"
    found = subprocess.run([hadolint, "--no-color", file], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


@every_file
def test_bases_are_of_one_exact_version(file: Path) -> None:
    arguments = dict(rest.split("=", 1) for rest in values(file, "ARG"))
    stages: set[str] = set()
    for rest in values(file, "FROM"):
        base, *_, stage = rest.split(" AS ") if " AS " in rest else (rest, "")
        base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], base)
        assert base in stages or re.search(r":v?\d+\.\d+\.\d+", base), base
        stages.add(stage)
    assert arguments.get("VERSION", VERSION) == VERSION


def test_all_images_have_the_same_python() -> None:
    assert len({values(file, "ARG")[0] for file in FILES}) == 1


@every_file
def test_nobody_is_root_and_the_image_says_how_it_is(file: Path) -> None:
    last = values(file, "USER")[-1]
    assert last == ("1000" if file.parent.name == "space" else "10001:10001")
    assert [name for name, _ in instructions(file)][-1] == "CMD"
    (check,) = values(file, "HEALTHCHECK")
    assert "urllib.request.urlopen" in check and "curl" not in check and "wget" not in check
    (port,) = values(file, "EXPOSE")
    assert f"127.0.0.1:{port}/" in check
    (labels,) = values(file, "LABEL")
    for label in ("title", "description", "version", "licenses"):
        assert f"org.opencontainers.image.{label}=" in labels


@every_file
def test_what_is_copied_is_there_and_is_let_through(file: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[1] == "*", "everything is left out but for what is named"
    let_in = [line[1:] for line in ignored if line.startswith("!")]
    for source in copied(file):
        found = [str(path.relative_to(ROOT)) for path in ROOT.glob(source)]
        assert found, f"{source} is not there"
        for path in found:
            assert any(
                path == name or f"{path}/".startswith(f"{name}/") or name.startswith(f"{path}/")
                for name in let_in
            )


def test_what_is_let_through_is_there_and_holds_no_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for line in ignored:
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line
    for path in ("deploy/.env", "deploy/secrets/prometheus_key", ".streamlit/secrets.toml", "meralion.toml"):
        assert not any(fnmatch.fnmatch(path, f"{line[1:]}*") for line in ignored if line.startswith("!"))


@every_file
def test_the_code_comes_after_what_it_needs(file: Path) -> None:
    """So that a change of code installs nothing again."""
    order = [rest for name, rest in instructions(file) if name in ("COPY", "RUN")]
    installs = [
        at for at, rest in enumerate(order) if "pip" in rest and " install " in rest and "/wheels" not in rest
    ]
    code = [
        at
        for at, rest in enumerate(order)
        if rest.split()[0] in ("backend", "model", "ui", "Home.py") and at > installs[0]
    ]
    assert all("--mount=type=cache" in order[at] for at in installs)
    assert installs and (not code or max(installs) < min(code))


@every_file
def test_a_variable_is_no_secret_and_known_to_its_service(file: Path) -> None:
    known = set[str]().union(*(names(kind) for kind in CLASSES.values()))
    for name in variables(file):
        assert not re.search(r"SECRET|TOKEN|PASSWORD|API_KEY", name)
        assert not name.startswith("MERALION_") or name in known


def pins(file: Path) -> dict[str, str]:
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;]+)", file.read_text("utf-8"))
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_installs_what_was_tested(service: str) -> None:
    tested = pins(ROOT / "requirements.txt") | pins(ROOT / "requirements" / "tracing.txt")
    assert pins(ROOT / "requirements" / f"{service}.txt").items() <= tested.items()


def test_the_lists_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "deploy.images.requirements", "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_everything_that_its_code_imports(service: str) -> None:
    files = [path for place in CODE[service] for path in ROOT.glob(place)]
    sources = [file for path in files for file in ([path] if path.is_file() else path.rglob("*.py"))]
    imported = {
        name.split(".")[0]
        for file in sources
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    others = (
        imported
        - sys.stdlib_module_names
        - {"backend", "model", "ui", "pages", ""}
        - NOT_THERE.get(service, set())
    )
    providers = importlib.metadata.packages_distributions()
    installed = pins(ROOT / "requirements" / f"{service}.txt").keys()
    missing = [name for name in others if not {canonicalize_name(one) for one in providers[name]} & installed]
    assert missing == []


@pytest.mark.parametrize(
    ("service", "never"),
    [("controller", "streamlit"), ("controller", "torch"), ("ui", "fastapi"), ("engine", "streamlit")],
)
def test_an_image_has_nothing_of_another_service(service: str, never: str) -> None:
    assert never not in pins(ROOT / "requirements" / f"{service}.txt")


def test_every_service_of_ours_has_a_dockerfile() -> None:
    assert {file.name.split(".")[0] for file in FOLDER.glob("*.Dockerfile")} == {*SERVICES, "vllm"}
