"""The manifests, as kubectl renders them: right by Kubernetes' schemas, whole, locked, true to the code."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from backend import registry
from backend.address import Service
from backend.settings import Settings
from tests.deploy.kubernetes import FOLDER, Pod, Rendered, flows, needs_kubectl, rendered, selects
from tests.speech import ROOT

pytestmark = needs_kubectl

# An overlay, and what is applied before it.
OVERLAYS = {
    "overlays/cpu": (),
    "overlays/one-node": ("overlays/one-node/weights",),
    "overlays/cluster": ("overlays/cluster/weights",),
}
EVERY = [*OVERLAYS, *(one for before in OVERLAYS.values() for one in before)]
VERSIONS = ("1.30", "1.37")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
README = (FOLDER / "README.md").read_text("utf-8")
GPU = "nvidia.com/gpu"


@pytest.fixture(params=EVERY)
def overlay(request: pytest.FixtureRequest) -> Rendered:
    return rendered(request.param)


@pytest.fixture(params=OVERLAYS)
def whole(request: pytest.FixtureRequest) -> Rendered:
    return rendered(request.param)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_right_by_the_schemas(overlay: Rendered, version: str) -> None:
    import kubernetes_validate

    for one in overlay.objects:
        kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_notice_a_slip(version: str) -> None:
    import kubernetes_validate
    from jsonschema import ValidationError

    one = json.loads(json.dumps(rendered("overlays/cpu").named("Deployment", "meralion-ui")))
    one["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    with pytest.raises(ValidationError, match="redinessProbe"):
        kubernetes_validate.validate(one, version, strict=True)


def test_everything_is_in_the_namespace_once_and_known_as_ours(overlay: Rendered) -> None:
    seen = Counter((one["kind"], one["metadata"]["name"]) for one in overlay.objects)
    assert set(seen.values()) == {1}
    for one in overlay.objects:
        name = one["metadata"]["name"]
        if one["kind"] in ("Namespace", "PriorityClass"):
            continue
        assert one["metadata"]["namespace"] == "meralion", name
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "meralion", name
        assert name.startswith("meralion")


def test_what_is_named_is_there(whole: Rendered) -> None:
    before = [rendered(one) for one in OVERLAYS[whole.overlay]]
    claims = {name for one in (whole, *before) for name in one.names("PersistentVolumeClaim")}
    for pod in (*whole.pods, *(pod for one in before for pod in one.pods)):
        home = whole if pod in whole.pods else before[0]
        assert pod.spec["serviceAccountName"] in home.names("ServiceAccount")
        volumes = {one["name"]: one for one in pod.spec["volumes"]}
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in home.names("ConfigMap")
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], f"{pod.name} may fill its node"
        used = set()
        for container in pod.containers:
            used |= {mount["name"] for mount in container["volumeMounts"]}
            for source in container.get("envFrom", ()):
                assert source["configMapRef"]["name"] in home.names("ConfigMap")
            ports = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container.get(probe, {}).get("httpGet")
                assert not asked or asked["port"] in ports
        assert used == volumes.keys()


def test_what_selects_finds(whole: Rendered) -> None:
    both = [*whole.pods, *(pod for one in OVERLAYS[whole.overlay] for pod in rendered(one).pods)]

    def found(selector: Any, what: str) -> list[Pod]:
        pods = [pod for pod in both if selects(selector, pod.labels)]
        assert pods, f"{what} selects nothing"
        return pods

    for one in whole.of("Service"):
        pods = found({"matchLabels": one["spec"]["selector"]}, one["metadata"]["name"])
        for port in one["spec"]["ports"]:
            assert all(port["targetPort"] in pod.ports for pod in pods)
    for owner in (*whole.of("Deployment"), *whole.of("StatefulSet")):
        (pod,) = found(owner["spec"]["selector"], owner["metadata"]["name"])
        assert pod.owner is owner
        for spread in pod.spec.get("topologySpreadConstraints", ()):
            assert selects(spread["labelSelector"], pod.labels)
        if owner["kind"] == "StatefulSet":
            assert owner["spec"]["serviceName"] in whole.names("Service")
    for policy in whole.of("NetworkPolicy"):
        spec, name = policy["spec"], policy["metadata"]["name"]
        found(spec["podSelector"], name)
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                if peer.keys() == {"podSelector"}:
                    found(peer["podSelector"], name)
    for one in whole.of("Ingress"):
        for rule in one["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                asked = path["backend"]["service"]
                service = whole.named("Service", asked["name"])
                assert asked["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]


def test_every_pod_is_locked(overlay: Rendered) -> None:
    for pod in overlay.pods:
        spec = pod.spec
        assert spec["automountServiceAccountToken"] is False
        assert (
            overlay.named("ServiceAccount", spec["serviceAccountName"])["automountServiceAccountToken"]
            is False
        )
        assert spec["enableServiceLinks"] is False  # it would set variables of names like MERALION_UI_PORT
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001  # the images' own
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in pod.containers:
            locked = container["securityContext"]
            assert (locked["allowPrivilegeEscalation"], locked["readOnlyRootFilesystem"]) == (False, True)
            assert locked["capabilities"]["drop"] == ["ALL"]
            allowed = ["NET_BIND_SERVICE"] if container["name"] == "caddy" else []
            assert locked["capabilities"].get("add", []) == allowed
            assert "privileged" not in locked
    for one in overlay.of("Namespace"):
        assert one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_container_is_bounded_and_looked_at(overlay: Rendered) -> None:
    for pod in overlay.pods:
        for container in pod.containers:
            for bound in ("requests", "limits"):
                assert container["resources"][bound].keys() >= {"cpu", "memory"}, container["name"]
        if not pod.stays:
            continue
        container = pod.container
        probes = [container[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
        _, ready, live = probes
        patience = [probe["periodSeconds"] * probe.get("failureThreshold", 3) for probe in (ready, live)]
        assert patience[0] < patience[1], f"{pod.name} would be killed before it is left alone"


def test_images_are_ours_of_this_version_or_pinned(overlay: Rendered) -> None:
    for pod in overlay.pods:
        for container in pod.containers:
            name, _, tag = container["image"].rpartition(":")
            assert re.match(r"\d+\.\d+\.\d+", tag), container["image"]
            if name.startswith("meralion/"):
                assert tag == VERSION
                assert (ROOT / "deploy/images" / f"{name.removeprefix('meralion/')}.Dockerfile").is_file()


def test_secrets_are_referred_to_only(overlay: Rendered) -> None:
    assert overlay.of("Secret") == []
    needed, optional = set(), set()
    for pod in overlay.pods:
        for container in pod.containers:
            for one in container.get("env", ()):
                reference = one.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    assert reference["name"] == "meralion-secrets"
                    (optional if reference.get("optional") else needed).add(reference["key"])
                    assert f"`{reference['key']}`" in README
    assert needed == (
        set() if "cpu" in overlay.overlay or not overlay.of("Deployment") else {"visitor-secret"}
    )


# How it is updated


def seconds(pod: Pod) -> tuple[int, int]:
    """What a pod that is told to go has in all, and what preStop takes of it."""
    before = pod.container.get("lifecycle", {}).get("preStop", {})
    if "sleep" in before:
        return pod.spec["terminationGracePeriodSeconds"], before["sleep"]["seconds"]
    within = re.search(r"WITHIN_S=(\d+)", " ".join(before.get("exec", {}).get("command", [])))
    return pod.spec["terminationGracePeriodSeconds"], int(within[1]) if within else 0


def test_an_update_drops_no_stream(whole: Rendered) -> None:
    for pod in whole.pods:
        if pod.name == "meralion-valkey":
            continue  # what it holds may be lost
        assert pod.owner["spec"]["minReadySeconds"] > 0
        if pod.owner["kind"] == "Deployment":
            assert pod.owner["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        grace, before = seconds(pod)
        assert before >= 10, f"{pod.name}: others must hear first that it goes"
        assert grace >= before + 10
    controller = whole.pod("meralion-controller")
    grace, before = seconds(controller)
    settings = whole.environment(controller)
    assert grace >= before + float(settings["MERALION_SHUTDOWN_GRACE_S"]) + 10


def test_an_engine_that_goes_is_asked_nothing_new_before(whole: Rendered) -> None:
    settings = whole.environment(whole.pod("meralion-controller"))
    default = Settings.model_fields["discovery_interval_s"].default
    dns_s = 5 + 5  # what CoreDNS keeps an answer, and what it takes to hear of the change
    known_after = float(settings.get("MERALION_DISCOVERY_INTERVAL_S", default)) + dns_s
    for pod in whole.pods:
        if pod.labels.get("app.kubernetes.io/component") != "engine":
            continue
        _, before = seconds(pod)
        command = " ".join(pod.container["lifecycle"]["preStop"].get("exec", {}).get("command", []))
        settle = re.search(r"SETTLE_S=(\d+)", command)
        assert (int(settle[1]) if settle else before) > known_after
        assert before > 2 * known_after


def test_disruptions_let_one_go(whole: Rendered) -> None:
    for pod in whole.pods:
        if not pod.stays:
            continue
        budgets = [
            one["spec"]
            for one in whole.of("PodDisruptionBudget")
            if selects(one["spec"]["selector"], pod.labels)
        ]
        assert [one["maxUnavailable"] for one in budgets] == [1], pod.name
        assert budgets[0]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_engines_are_told_apart_loading_from_dead(whole: Rendered) -> None:
    if "meralion-vllm" not in whole.names("StatefulSet"):
        return
    container = whole.pod("meralion-vllm").container
    startup, ready, live = (container[one] for one in ("startupProbe", "readinessProbe", "livenessProbe"))
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1_800  # as long as model.serve waits
    assert ready["periodSeconds"] * ready["failureThreshold"] <= 20
    assert live["periodSeconds"] * live["failureThreshold"] >= 120


def test_engines_are_found_only_while_they_are_ready(whole: Rendered) -> None:
    for one in whole.of("Service"):
        if one["spec"].get("clusterIP") == "None":
            assert one["spec"]["publishNotReadyAddresses"] is False
            assert one["spec"]["ipFamilyPolicy"] == "SingleStack"


def test_gpus_are_asked_for_where_they_are(whole: Rendered) -> None:
    for pod in whole.pods:
        asked = pod.container["resources"]["limits"].get(GPU)
        assert bool(asked) == (pod.name == "meralion-vllm")
        if asked:
            assert pod.container["resources"]["requests"][GPU] == asked
            assert pod.spec["tolerations"] == [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
            assert "requiredDuringSchedulingIgnoredDuringExecution" in pod.spec["affinity"]["nodeAffinity"]
            (memory,) = (one["emptyDir"] for one in pod.spec["volumes"] if one["name"] == "shm")
            assert memory["medium"] == "Memory"


# As many as are needed


def test_autoscalers_have_targets_that_name_no_number(whole: Rendered) -> None:
    rules = yaml.safe_load((FOLDER / "metrics/prometheus-adapter.yaml").read_text("utf-8"))["rules"]
    given = {kind: {one["name"]["as"] for one in rules.get(kind, ())} for kind in ("custom", "external")}
    served = tomllib.loads(whole.data("meralion-models")["models.toml"])
    for one in whole.of("HorizontalPodAutoscaler"):
        spec = one["spec"]
        target = whole.named(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"]
        assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
        for metric in spec["metrics"]:
            match metric["type"]:
                case "Pods":
                    assert metric["pods"]["metric"]["name"] in given["custom"]
                case "External":
                    asked = metric["external"]["metric"]
                    assert asked["name"] in given["external"]
                    assert asked["selector"]["matchLabels"]["model"] in served, "nothing has that queue"
                case kind:
                    assert kind == "Resource"
                    container = target["spec"]["template"]["spec"]["containers"][0]
                    assert metric["resource"]["name"] in container["resources"]["requests"]


def test_places_of_all_controllers_fit_into_an_engine(whole: Rendered, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(whole.data("meralion-models")["models.toml"])
    places = {one.host: one.places for row in registry.load(file).values() for one in row.instances}
    assert places.pop("meralion-engine") == 4  # MERALION_ENGINE_MAX_RUNNING; it lets 32 more wait
    if "meralion-vllm" not in whole.names("StatefulSet"):
        assert not places
        return
    scaled = [
        one["spec"]["maxReplicas"]
        for one in whole.of("HorizontalPodAutoscaler")
        if one["spec"]["scaleTargetRef"]["name"] == "meralion-controller"
    ]
    most = scaled[0] if scaled else whole.named("Deployment", "meralion-controller")["spec"]["replicas"]
    args = whole.pod("meralion-vllm").container["args"]
    assert places == {"meralion-vllm": int(args[args.index("--places") + 1]) // most}


def test_valkey_keeps_below_its_limit(whole: Rendered) -> None:
    container = whole.pod("meralion-valkey").container
    args = container["args"]
    assert args[args.index("--maxmemory") + 1] == "1gb"
    assert args[args.index("--maxmemory-policy") + 1] == "allkeys-lru"
    assert container["resources"]["limits"]["memory"] == "1536Mi"


# What the programs are told


def test_the_registry_is_one_and_names_services_of_the_cluster(whole: Rendered, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(whole.data("meralion-models")["models.toml"])
    rows = registry.load(file)
    assert any(row.default and row.kind == "chat" for row in rows.values())
    for row in rows.values():
        for one in row.instances:
            assert isinstance(one, Service)
            service = whole.named("Service", one.host)
            assert service["spec"]["clusterIP"] == "None"
            assert [port["port"] for port in service["spec"]["ports"]] == [urlsplit(one.dns).port]
            (pod,) = (
                pod for pod in whole.pods if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)
            )
            assert list(pod.ports.values()) == [urlsplit(one.dns).port]
        if row.engine == "vllm":
            args = whole.pod("meralion-vllm").container["args"]
            assert args[0] == f"/weights/{row.upstream_id}"
            (job,) = rendered(OVERLAYS[whole.overlay][0]).pods
            assert job.container["args"][:2] == [row.hub_id, args[0]]


def test_parts_find_each_other(whole: Rendered) -> None:
    asked = {
        whole.environment(whole.pod("meralion-ui"))["MERALION_BACKEND_URL"],
        whole.environment(whole.pod("meralion-controller"))["MERALION_REDIS_URL"],
    }
    for url in asked:
        service = whole.named("Service", str(urlsplit(url).hostname))
        assert [port["port"] for port in service["spec"]["ports"]] == [urlsplit(url).port]


def test_who_may_talk_to_whom(whole: Rendered) -> None:
    before = [rendered(one) for one in OVERLAYS[whole.overlay]]
    engines = {"meralion-engine", "meralion-vllm"} if before else {"meralion-engine"}
    ours = {"meralion-front", "meralion-ui", "meralion-controller", "meralion-valkey", *engines}
    visitors = {"prometheus", "a stranger's pod", "dns", "the cluster's own"}
    outside = {"the internet", "the nodes' network", "the house's network"}
    expected = {
        ("meralion-front", "meralion-ui", 8501),
        ("meralion-ui", "meralion-controller", 8000),
        *(("meralion-controller", engine, 8001) for engine in engines),
        ("meralion-controller", "meralion-valkey", 6379),
        ("prometheus", "meralion-controller", 8000),
        *(("prometheus", engine, 8001) for engine in engines),
        *((who, "meralion-front", 8080) for who in visitors | outside),  # the Ingress may run anywhere
        *((who, "dns", 53) for who in ours),
    }
    if before:
        expected |= {("meralion-weights", "the internet", 443), ("meralion-weights", "dns", 53)}
    assert flows(whole, *before) == expected


def test_a_changed_file_is_a_new_name(whole: Rendered) -> None:
    """So that pods are replaced when their settings change."""
    for one in whole.of("ConfigMap"):
        assert re.search(r"-[a-z0-9]{10}$", one["metadata"]["name"])


def test_a_component_more_is_a_line_more(tmp_path: Path) -> None:
    """What the README says of priorities, and of a registry and a domain of one's own."""
    here = Path(os.path.relpath(FOLDER, tmp_path.resolve()))
    (tmp_path / "kustomization.yaml").write_text(
        f"""
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: meralion
resources: [{here}/overlays/cluster]
components: [{here}/components/priority]
images:
  - {{name: meralion/ui, newName: registry.example.org/meralion/ui, newTag: 1.2.3}}
patches:
  - target: {{kind: Ingress, name: meralion}}
    patch: |
      - {{op: replace, path: /spec/rules/0/host, value: talk.example.org}}
      - {{op: replace, path: /spec/tls/0/hosts/0, value: talk.example.org}}
"""
    )
    own = Rendered(str(tmp_path))
    assert own.of("PriorityClass")
    assert {pod.spec["priorityClassName"] for pod in own.pods} == {"meralion"}
    assert own.pod("meralion-ui").container["image"] == "registry.example.org/meralion/ui:1.2.3"
    assert own.named("Ingress", "meralion")["spec"]["rules"][0]["host"] == "talk.example.org"
    assert flows(own) == flows(rendered("overlays/cluster"))


def test_the_readme_names_what_is_there() -> None:
    named = set(re.findall(r"deploy/kubernetes/[a-z0-9/.-]+", README))
    assert {f"deploy/kubernetes/{one}" for one in EVERY} <= named
    for path in named:
        assert (ROOT / path).exists(), path
