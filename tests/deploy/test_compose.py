"""deploy/compose.yaml: valid by the specification's schema, hardened, and at one with all that it names."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import backend.settings
from backend import keys, registry
from tests.deploy import compose
from tests.deploy.test_settings_files import CLASSES, lines, names
from tests.speech import ROOT

DEPLOY = ROOT / "deploy"
SERVICES = compose.services()
ONE_OFF = {"certificates", "download"}  # they run once and end
REGISTRIES = sorted((DEPLOY / "settings").glob("models.*.toml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
every_service = pytest.mark.parametrize("name", SERVICES)


def settings_of(stem: str) -> dict[str, str]:
    """What a file of settings sets."""
    file = DEPLOY / "settings" / f"{stem}.env"
    return {line["name"]: line["value"] for line in lines(file) if not line["unset"]}


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_it_is_valid_by_the_schema_of_the_compose_specification(profile: str, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(compose.read(compose.SERVER | {"COMPOSE_PROFILES": profile})))
    checking = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*checking, file, compose.FILE], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", ["COMPOSE_PROFILES", "MERALION_DOMAIN", "MERALION_VISITOR_SECRET"])
def test_what_must_be_set_is_asked_for_in_a_sentence(name: str) -> None:
    with pytest.raises(compose.MissingError, match="Run deploy/settings/prepare first"):
        compose.read({**compose.SERVER, name: ""})


def test_every_service_is_there() -> None:
    wanted = {"caddy", "ui", "controller", "vllm-0", "vllm-1", "valkey", "prometheus", "grafana", "engine"}
    assert wanted <= SERVICES.keys()


@every_service
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert set(service.get("cap_add", [])) <= {"caddy": {"NET_BIND_SERVICE"}, "certificates": {"CHOWN"}}.get(
        name, set()
    )
    user, _ = service["user"].split(":")
    assert (user == "0") == (name == "certificates"), "nobody is root but who must be"
    assert "privileged" not in service and service.get("network_mode") in (None, "none")
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert service["ulimits"]["nofile"]["soft"] >= 65_536
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every_service
def test_a_service_starts_again_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_OFF:
        assert service["restart"] == "no" and service["healthcheck"] == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]
    assert check["test"][0] == "CMD" and "curl" not in check["test"]
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    for other, how in service.get("depends_on", {}).items():
        ends = "service_completed_successfully" if other in ONE_OFF else "service_healthy"
        assert how == {"condition": ends}


@every_service
def test_an_image_is_of_one_version(name: str) -> None:
    image = SERVICES[name]["image"]
    repository, _, tag = image.partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-alpine)?", tag), f"{image} must name an exact version"
    if repository.startswith("meralion/"):
        assert tag == VERSION
        assert (DEPLOY / "images" / f"{repository.removeprefix('meralion/')}.Dockerfile").is_file()
    if "build" in SERVICES[name]:
        assert (ROOT / SERVICES[name]["build"]["dockerfile"]).is_file()


def test_only_the_proxy_is_published() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["caddy"]


def test_who_reaches_the_outside() -> None:
    networks = compose.read()["networks"]
    open_ones = {name for name, network in networks.items() if not network.get("internal")}
    reach = {name for name, one in SERVICES.items() if open_ones & set(one.get("networks", []))}
    assert reach == {"caddy", "ui", "download"}
    assert {name for name, one in SERVICES.items() if "store" in one.get("networks", [])} == {
        "valkey",
        "controller",
    }


def test_the_networks_and_volumes_that_are_named_are_there_and_used() -> None:
    everything = compose.read()
    for kind, entries in (("networks", "networks"), ("secrets", "secrets")):
        used = {
            entry if isinstance(entry, str) else entry["source"]
            for service in SERVICES.values()
            for entry in service.get(entries, [])
        }
        assert used == everything[kind].keys()
    mounts = [m for service in SERVICES.values() for m in service.get("volumes", []) if isinstance(m, str)]
    assert {mount.split(":")[0] for mount in mounts if mount[0] != "."} == everything["volumes"].keys()
    for mount in mounts:
        if mount[0] == ".":
            source, _, way = mount.split(":")
            assert way == "ro" and (DEPLOY / source).is_dir(), f"{source} is not a folder that is only read"


def test_each_vllm_has_a_gpu_of_its_own_and_is_known_to_controller_and_prometheus() -> None:
    devices = [
        tuple(SERVICES[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"])
        for name in compose.vllms()
    ]
    assert len(set(devices)) == len(devices) >= 2
    rows = tomllib.loads((DEPLOY / "settings" / "models.gpu.toml").read_text("utf-8"))
    addresses = [f"http://{name}:8001" for name in compose.vllms()]
    assert [row["instances"] for row in rows.values() if row["engine"] == "vllm"] == [addresses]
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    (job,) = [job for job in jobs if job["job_name"] == "vllm"]
    assert job["dns_sd_configs"][0]["names"] == compose.vllms()
    for name in compose.vllms():
        assert SERVICES[name]["profiles"] == ["gpu"] and SERVICES[name]["command"][-1] in rows
        assert seconds(SERVICES[name]["healthcheck"]["start_period"]) >= 600


@pytest.mark.parametrize("file", REGISTRIES, ids=lambda file: file.name)
def test_the_controller_takes_the_registry(file: Path) -> None:
    rows = registry.load(file)
    hosts = {service for service in SERVICES if service not in ONE_OFF}
    for row in rows.values():
        assert row.instances, "nothing is started beside the controller in its container"
        assert all(re.sub(r"http://|:8001", "", one.url) in hosts for one in row.instances)


@pytest.mark.parametrize("file", REGISTRIES, ids=lambda file: file.name)
def test_the_rows_are_those_of_the_demo(file: Path) -> None:
    text = (ROOT / "backend" / "models.toml").read_text("utf-8")
    shown = text[text.index("# [meralion-2-3b]") :]
    ours = tomllib.loads(text) | tomllib.loads(re.sub(r"(?m)^# ?", "", shown))
    for name, row in tomllib.loads(file.read_text("utf-8")).items():
        for key in row.keys() - {"instances", "default"}:
            assert row[key] == ours[name][key], f"{name}.{key}"


def test_valkey_never_fills_up() -> None:
    command = SERVICES["valkey"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "allkeys-lru"
    given = int(command[command.index("--maxmemory") + 1].removesuffix("gb")) * 1024
    assert given < int(SERVICES["valkey"]["deploy"]["resources"]["limits"]["memory"].removesuffix("m"))


def test_answers_under_way_may_end() -> None:
    grace = float(settings_of("controller")["MERALION_SHUTDOWN_GRACE_S"])
    assert seconds(SERVICES["controller"]["stop_grace_period"]) >= grace + 10


def test_the_proxy_is_believed_and_nobody_else() -> None:
    subnet = compose.read()["networks"]["front"]["ipam"]["config"][0]["subnet"]
    assert settings_of("controller")["MERALION_TRUSTED_PROXIES"] == subnet


@pytest.mark.parametrize(
    ("service", "stem"), [(s, s) for s in ("controller", "ui", "engine")] + [("vllm-0", "vllm")]
)
def test_a_service_gets_its_settings_and_no_name_that_it_does_not_know(service: str, stem: str) -> None:
    assert SERVICES[service]["env_file"] == [f"settings/{stem}.env"]
    known = set(names(CLASSES[stem])) | {"MERALION_MODELS"}  # model.serve reads the registry too
    assert {name for name in SERVICES[service].get("environment", {}) if name.startswith("MERALION")} <= known


def test_engine_has_as_many_threads_as_cpus() -> None:
    cpus = SERVICES["engine"]["deploy"]["resources"]["limits"]["cpus"]
    assert settings_of("engine")["MERALION_ENGINE_THREADS"] == cpus


def prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "deploy" / "settings" / "prepare"
    if not script.exists():
        script.parent.mkdir(parents=True)
        shutil.copy(DEPLOY / "settings" / "prepare", script)
    return subprocess.run([script, *arguments], capture_output=True, text=True, cwd=folder)


def env(folder: Path) -> dict[str, str]:
    text = (folder / "deploy" / ".env").read_text()
    return dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))


def test_prepare_makes_what_the_file_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare(tmp_path, "cpu", "demo.example.org")
    assert made.returncode == 0, made.stderr
    found = env(tmp_path)
    assert compose.services(found)["controller"]["environment"]["MERALION_MODELS"].endswith("models.cpu.toml")
    assert found["MERALION_VISITOR_SECRET"] not in made.stdout and len(found["MERALION_VISITOR_SECRET"]) == 64
    assert keys.weakness(found["MERALION_HOST_KEY"]) == ""
    # The controller lets Prometheus in, and nobody else.
    secrets = tmp_path / "deploy" / "secrets"
    for entry in compose.read(found)["secrets"].values():
        assert (tmp_path / "deploy" / entry["file"]).stat().st_size
    admitted = keys.Keys(backend.settings.Settings(api_keys_file=secrets / "api_keys.toml"))
    assert admitted.admits((secrets / "prometheus_key").read_text())
    assert not admitted.admits("no such key")


def test_prepare_leaves_what_is_there_and_lets_nobody_look(tmp_path: Path) -> None:
    prepare(tmp_path, "cpu", "demo.example.org")
    before = env(tmp_path)
    again = prepare(tmp_path, "gpu", "other.example.org")
    assert (again.stdout, env(tmp_path)) == ("", before)
    assert stat.S_IMODE((tmp_path / "deploy" / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deploy" / "secrets").stat().st_mode) == 0o700


@pytest.mark.parametrize("arguments", [(), ("gpu",), ("tpu", "demo.example.org")])
def test_prepare_says_what_it_wants(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = prepare(tmp_path, *arguments)
    assert refused.returncode == 2 and "gpu|cpu demo.example.org" in refused.stderr
    assert not (tmp_path / "deploy" / ".env").exists()


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "deploy"], capture_output=True, text=True, cwd=ROOT).stdout
    assert [line for line in listed.split() if "/secrets/" in line] in ([], ["deploy/secrets/.gitignore"])
    assert "deploy/.env" not in listed.split()
