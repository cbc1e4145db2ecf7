"""The decoder meets what people and attackers send: every answer is a clip or one specific sentence."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.audio import AudioError, Decoder, Limits, decode, pcm_sha256, seconds, wav_bytes
from tests.model import clips


def refusal(data: bytes, limits: Limits | None = None) -> str:
    """The code a file is refused with, by the real decoder process."""
    with pytest.raises(AudioError) as caught:
        run(lambda decoder: decoder.decode(data, limits))
    assert caught.value.message.endswith(".")
    return caught.value.code


def run(use: Any) -> Any:
    """Run `use(decoder)` in a loop of its own and end the decoder's children."""

    async def main() -> Any:
        decoder = Decoder()
        try:
            return await use(decoder)
        finally:
            await decoder.close()

    return asyncio.run(main())


CONTAINERS = [
    ("mp3", "libmp3lame", "stereo"),
    ("ipod", "aac", "mono"),
    ("webm", "libopus", "mono"),
    ("ogg", "libopus", "stereo"),
    ("flac", "flac", "stereo"),
    ("adts", "aac", "mono"),
    ("wav", "pcm_u8", "mono"),
    ("wav", "pcm_s16le", "stereo"),
    ("wav", "pcm_s24le", "stereo"),
    ("wav", "pcm_s32le", "mono"),
    ("wav", "pcm_f32le", "mono"),
    ("aiff", "pcm_s16be", "stereo"),
]


@pytest.mark.parametrize(("container", "codec", "layout"), CONTAINERS)
def test_every_container_gives_the_same_tone(container: str, codec: str, layout: str) -> None:
    pcm = run(lambda decoder: decoder.decode(clips.encoded(container, codec, layout=layout)))
    assert pcm.dtype == np.int16
    assert seconds(pcm) == pytest.approx(2.0, abs=0.1)
    middle = pcm[8_000:24_000].astype(float) / 32_768
    spectrum = np.abs(np.fft.rfft(middle))
    assert spectrum.argmax() == 440  # one second: bins are hertz
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)


def test_stereo_is_averaged_not_summed() -> None:
    loud = clips.encoded("wav", "pcm_s16le", layout="stereo", level=0.9)
    assert np.abs(decode(loud)).max() / 32_768 == pytest.approx(0.9, abs=0.02)


def test_plain_wav_is_taken_as_it_is_without_a_child() -> None:
    samples = (np.sin(np.arange(16_000) / 9) * 9_000).astype(np.int16)

    async def use(decoder: Decoder) -> Any:
        return await decoder.decode(wav_bytes(samples)), _children()

    pcm, children = run(use)
    assert np.array_equal(pcm, samples)
    assert children == []
    assert pcm_sha256(pcm) == pcm_sha256(samples)


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF])
def test_a_recorder_that_did_not_know_the_size_is_believed_by_its_bytes(claimed: int) -> None:
    assert seconds(decode(clips.wav(clips.pcm16(clips.tone(1)), size=claimed))) == 1.0


TONE = clips.pcm16(clips.tone(1))
RUBBISH = np.random.default_rng(7).bytes
NAN = clips.tone(1).copy()
NAN[500] = np.nan
INFINITE = clips.tone(1).copy()
INFINITE[500] = -np.inf
M4A = clips.encoded("ipod", "aac")
REFUSED = {
    "nothing": (b"", "audio_empty"),
    "header only": (clips.wav(b""), "audio_empty"),
    "header only, with a promise": (clips.wav(b"", size=32_000), "audio_empty"),
    "WAV cut in half": (clips.wav(TONE[:16_000], size=32_000), "audio_truncated"),
    "stereo WAV cut in half": (
        clips.encoded("wav", "pcm_s16le", layout="stereo")[:99_000],
        "audio_truncated",
    ),
    "M4A cut in half": (M4A[: len(M4A) // 2], "audio_truncated"),
    "FLAC cut in half": (clips.encoded("flac", "flac", seconds=4)[:30_000], "audio_truncated"),
    "text named .wav": (b"These are only words, whatever the name says.\n" * 40, "audio_not_audio"),
    "picture": (b"\x89PNG\r\n\x1a\n" + RUBBISH(4_000), "audio_not_audio"),
    "noise": (RUBBISH(100_000), "audio_not_audio"),
    "playlist": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "audio_not_audio"),
    "concat script": (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "audio_not_audio"),
    "session description": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n", "audio_not_audio"),
    "RIFF of rubbish": (b"RIFF\x00\x10\x00\x00WAVE" + RUBBISH(4_000), "audio_unreadable"),
    "Matroska of rubbish": (b"\x1aE\xdf\xa3" + RUBBISH(4_000), "audio_unreadable"),
    "silence": (clips.wav(bytes(32_000)), "audio_silent"),
    "silent FLAC": (clips.encoded("flac", "flac", level=0.0), "audio_silent"),
    "0.05 s": (clips.plain_wav(0.05), "audio_too_short"),
    "8-channel WAV": (clips.encoded("wav", "pcm_s16le", layout="7.1"), "audio_too_many_channels"),
    "8-channel AAC": (clips.encoded("matroska", "aac", layout="7.1"), "audio_too_many_channels"),
    "8-channel Opus": (clips.encoded("matroska", "libopus", layout="7.1"), "audio_too_many_channels"),
    "8-channel FLAC": (clips.encoded("flac", "flac", layout="7.1"), "audio_too_many_channels"),
    "655,350 Hz": (clips.wav(TONE, rate=655_350), "audio_sample_rate"),
    "2,000 Hz": (clips.wav(TONE, rate=2_000), "audio_sample_rate"),
    "not a number": (clips.wav(NAN.tobytes(), bits=32, codec=3), "audio_invalid_samples"),
    "infinity": (clips.wav(INFINITE.tobytes(), rate=44_100, bits=32, codec=3), "audio_invalid_samples"),
    "six minutes": (clips.wav(bytes(2 * 16_000 * 360)), "audio_too_long"),
    "30 MB": (bytes(30 * 2**20), "audio_too_large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_clips_are_refused_with_a_specific_code(name: str) -> None:
    data, code = REFUSED[name]
    assert refusal(data) == code


def test_a_flac_of_three_hours_is_stopped_early_in_little_memory() -> None:
    bomb = clips.flac_of_silence(hours=3)
    assert len(bomb) < 2 * 2**20

    async def use(decoder: Decoder) -> tuple[str, float, int]:
        started = time.monotonic()
        with pytest.raises(AudioError) as caught:
            await decoder.decode(bomb)
        (child,) = _children()
        return caught.value.code, time.monotonic() - started, _peak_kib(child)

    code, took, peak = run(use)
    assert code == "audio_too_long"
    assert took < 1.0
    assert peak < 200 * 1024


def test_a_clip_at_every_limit_stays_within_the_memory_bound() -> None:
    largest = clips.encoded("flac", "flac", seconds=299, rate=96_000, layout="stereo")

    async def use(decoder: Decoder) -> tuple[float, int]:
        pcm = await decoder.decode(largest)
        (child,) = _children()
        return seconds(pcm), _peak_kib(child)

    length, peak = run(use)
    assert length == pytest.approx(299)
    assert peak < 200 * 1024


def test_a_clip_that_hangs_or_kills_its_child_costs_only_itself() -> None:
    clip = clips.encoded("mp3", "libmp3lame")

    async def use(decoder: Decoder) -> None:
        for mishap in (signal.SIGSTOP, signal.SIGKILL):
            assert seconds(await decoder.decode(clip)) > 1.9
            (child,) = _children()
            os.kill(child, signal.SIGSTOP)
            task = asyncio.ensure_future(decoder.decode(clip))
            await asyncio.sleep(0)
            os.kill(child, mishap)
            with pytest.raises(AudioError) as caught:
                await task
            assert caught.value.code == "audio_unreadable"
        assert seconds(await decoder.decode(clip)) > 1.9

    async def main() -> None:
        decoder = Decoder(time_limit_s=2.0)
        await use(decoder)
        await decoder.close()

    asyncio.run(main())


def test_a_cancelled_clip_leaves_the_decoder_usable() -> None:
    clip = clips.encoded("ogg", "libopus")

    async def use(decoder: Decoder) -> float:
        for _ in range(3):
            task = asyncio.ensure_future(decoder.decode(clip))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return seconds(await decoder.decode(clip))

    assert run(use) > 1.9


def test_clips_side_by_side_do_not_mix() -> None:
    async def use(decoder: Decoder) -> list[float]:
        jobs: list[Coroutine[Any, Any, Any]] = [
            decoder.decode(clips.encoded("flac", "flac", seconds=length)) for length in (1, 2, 3, 4)
        ]
        return [seconds(pcm) for pcm in await asyncio.gather(*jobs)]

    assert run(use) == [1.0, 2.0, 3.0, 4.0]


def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, sys\n"
        "from model.audio import Decoder\n"
        "from tests.model import clips\n"
        "async def main():\n"
        "    decoder = Decoder()\n"
        "    await decoder.decode(clips.encoded('flac', 'flac'))\n"
        "    from tests.model.test_audio import _children\n"
        "    print(_children()[0], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


def _children() -> list[int]:
    """This process's decoder children."""
    found = []
    for tasks in Path("/proc/self/task").iterdir():
        for pid in (tasks / "children").read_text().split():
            if b"audio_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def _peak_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
