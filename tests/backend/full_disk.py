"""Run by itself: keeps answers until there is no more room, makes room, and tells of it in a line of JSON.

    python -m tests.backend.full_disk FOLDER [BYTES]

With BYTES no file may grow larger; without, the folder is on a file system that is small.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from backend.answer import Done, Token
from backend.cache import AnswerCache
from backend.stores.answer_file import AnswerFile
from backend.stores.sqlite import SqliteStore

ANSWER = (Token("x" * 20_000), Done("stop"))


def cache(folder: Path) -> AnswerCache:
    store = SqliteStore(AnswerFile(folder / "answers.sqlite", max_bytes=2**30, max_age_s=60))
    return AnswerCache(max_bytes=2**30, max_age_s=60, store=store)


async def found(folder: Path, keys: list[str]) -> list[str]:
    """Which answers a controller that starts now finds in the file."""
    fresh = cache(folder)
    there = [key for key in keys if await fresh.get(key) == ANSWER]
    await fresh.close()
    return there


async def main(folder: Path, most_bytes: int | None) -> None:
    ballast = folder / "ballast"
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    else:
        ballast.write_bytes(bytes(400_000))
    before = cache(folder)
    keys: list[str] = []
    while not before.stats.store_errors:
        keys.append(str(len(keys)))
        before.put(keys[-1], ANSWER)
        while before.stats.written + before.stats.store_errors < len(keys):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert len(keys) < 1_000
    in_memory = all([await before.get(key) == ANSWER for key in keys])
    on_disk = await found(folder, keys[:-1])
    ballast.unlink(missing_ok=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    before.put("later", ANSWER)
    await before.close()
    told = {
        "kept": len(keys) - 1,
        "in_memory": in_memory,
        "on_disk": len(on_disk),
        "later": await found(folder, ["later"]),
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
