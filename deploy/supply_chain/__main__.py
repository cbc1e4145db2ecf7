"""What the project is made of that others wrote, looked at.

python -m deploy.supply_chain licences [--write]   # each licence held to the policy; docs/licences.md
python -m deploy.supply_chain sbom FOLDER          # a CycloneDX file an environment
python -m deploy.supply_chain audit                # known holes; says plainly when nobody could be asked
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from deploy.supply_chain import audit, licences, pins, sbom


def main(arguments: list[str] | None = None) -> int:
    """Do one of them; 1 stands for something that has to be mended."""
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m deploy.supply_chain",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    do = parser.add_subparsers(dest="do", required=True)
    do.add_parser("licences").add_argument("--write", action="store_true")
    do.add_parser("sbom").add_argument("folder", type=Path)
    do.add_parser("audit")
    chosen = parser.parse_args(arguments)
    match chosen.do:
        case "licences":
            return _licences(chosen.write)
        case "sbom":
            return _sbom(chosen.folder)
        case _:
            return _audit()


def _licences(write: bool) -> int:
    wrong = [line for environment in pins.ENVIRONMENTS for line in licences.violations(environment)]
    for line in wrong:
        print(line, file=sys.stderr)
    if write:
        licences.DOCUMENT.write_text(licences.document(), "utf-8")
    count = sum(len(licences.installed(environment)) for environment in pins.ENVIRONMENTS)
    print(f"{count} packages, {len(wrong)} against the policy")
    return 1 if wrong else 0


def _sbom(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for environment in pins.ENVIRONMENTS:
        target = folder / f"meralion-demo-{environment}.cdx.json"
        print(f"{target}: {sbom.write(environment, target)} components")
    return 0


def _audit() -> int:
    done = audit.audit()
    if not done.checked:
        print(audit.NOT_CHECKED)
        return 0
    left = audit.unaccepted(done.findings, datetime.datetime.now(datetime.UTC).date())
    for finding in left:
        print(finding, file=sys.stderr)
    if done.skipped:
        print(f"not known to the service, so not checked: {', '.join(done.skipped)}")
    print(f"{len(done.findings)} findings, {len(done.findings) - len(left)} of them accepted")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
