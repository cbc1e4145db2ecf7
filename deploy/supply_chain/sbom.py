"""Bills of materials in CycloneDX, one an environment: the pins, and licences where it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.supply_chain import licences, pins

SPEC = "1.6"


def write(
    environment: str, target: Path, command: Sequence[str] = (sys.executable, "-m", "cyclonedx_py")
) -> int:
    """Write the bill of an environment and return how many components it has. Raises CalledProcessError.

    It is made from the pins, not from what happens to lie there, so that it is the same on every machine.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        for pin in pins.of(environment):
            hashes = "".join(f" --hash={one}" for one in pin.hashes)
            file.write(f"{pin.name}=={pin.version}{hashes}\n")
        file.flush()
        made = subprocess.run(
            [
                *command,
                "requirements",
                "--output-reproducible",
                "--spec-version",
                SPEC,
                "--of",
                "JSON",
                file.name,
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    bill = json.loads(made.stdout)
    known = {one.name: one for one in licences.installed(environment)}
    for component in bill["components"]:
        del component["externalReferences"], component["description"]  # of this machine's index and file
        if one := known.get(component["name"]):
            is_spdx = one.name not in licences.policy()["exceptions"]
            said = {"expression": one.licence} if is_spdx else {"license": {"name": one.licence}}
            component["licenses"] = [said]
    bill["metadata"]["component"] = {
        "type": "application",
        "name": f"meralion-demo-{environment}",
        "bom-ref": "root",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    target.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n", "utf-8")
    return len(bill["components"])
