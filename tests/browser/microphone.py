"""A microphone in the browser that says what it is told to, when it is told to.

Chromium's own fake microphone plays a file from its start and cannot wait for an answer. This one stands in
its place in the page; all else, WebRTC included, is the browser's.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STAND_IN = """
window.meralionMicrophone = (() => {
  let context, line
  const open = async () => {
    if (!context) {
      context = new AudioContext()
      line = context.createMediaStreamDestination()
      const room = context.createBuffer(1, context.sampleRate * 2, context.sampleRate)
      room.getChannelData(0).forEach((_, at, samples) => (samples[at] = (Math.random() - 0.5) * 0.001))
      const noise = new AudioBufferSourceNode(context, { buffer: room, loop: true })
      noise.connect(line)
      noise.start()
    }
    await context.resume()
    return line.stream.clone()
  }
  if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = open
  return {
    isOpen: () => Boolean(line) && context.state === "running",
    say: async (wav) => {
      const bytes = Uint8Array.from(atob(wav), (character) => character.charCodeAt(0))
      const buffer = await context.decodeAudioData(bytes.buffer)
      const source = new AudioBufferSourceNode(context, { buffer })
      source.connect(line)
      source.start()
      return buffer.duration
    },
  }
})()
"""


@dataclass
class Talk:
    """A voice chat on a page of Playwright, with `STAND_IN` as its microphone."""

    page: Any

    def begin(self, limit_ms: int = 60_000) -> None:
        """Switch hands-free on and wait until it listens."""
        self.page.locator(".st-key-hands_free label").first.click()
        self.wait_for("listening", limit_ms=limit_ms)

    def say(self, wav: bytes) -> float:
        """Say something into the microphone; return how long that takes, in seconds."""
        for frame in self.page.frames:
            if frame.evaluate("window.meralionMicrophone?.isOpen()"):
                return float(
                    frame.evaluate("wav => meralionMicrophone.say(wav)", base64.b64encode(wav).decode())
                )
        raise AssertionError("no microphone is open")

    def wait_for(self, *stages: str, limit_ms: int = 120_000) -> None:
        """Wait until the page shows one of these."""
        marks = ", ".join(f'.m-stage[data-stage="{stage}"]' for stage in stages)
        self.page.locator(marks).first.wait_for(timeout=limit_ms)

    def wait_for_sound(self, after: int = 0, limit_ms: int = 120_000) -> dict[str, Any]:
        """Wait until the browser has begun to play an answer newer than number `after`."""
        found = "after => window.meralionVoice?.log.find(entry => entry.number > after && entry.peak > 0)"
        entry: dict[str, Any] = self.page.wait_for_function(found, arg=after, timeout=limit_ms).json_value()
        return entry

    def log(self) -> Sequence[dict[str, Any]]:
        """What the browser has played."""
        entries: Sequence[dict[str, Any]] = self.page.evaluate("window.meralionVoice.log")
        return entries

    def timings(self) -> list[str]:
        """The times of each turn as the page tells them, the newest first."""
        lines = self.page.locator(".st-key-timing, [class*=st-key-voice_timing_]")
        return [line.replace("\\n", " ") for line in lines.all_inner_texts()]
