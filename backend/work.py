"""What a request asks of an engine, in one number.

The weights are milliseconds of an engine's time, from Table 1 of the paper (MERaLiON-AudioLLM in vLLM on one
H100):

- A second of sound is encoded and read before the first token. With one request at a time, the time to first
  token is 85.8, 126.4 and 214.5 ms for 30, 60 and 120 s: a straight line of 1.43 ms a second above 42 ms.
- A token takes 9.9 ms alone and 16.3 ms at 16 at once: each answer more makes a step 0.43 ms longer.

So 30 s of sound weigh as much as 100 tokens. Other machines take more or less for all of it, but an engine is
only compared with others that serve the same model.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUEST_MS = 42.0
AUDIO_SECOND_MS = 1.43
TOKEN_MS = (16.3 - 9.9) / 15


@dataclass(frozen=True)
class Work:
    """Seconds of sound to be encoded, and the most tokens that may be produced."""

    audio_s: float = 0.0
    tokens: int = 0

    def cost(self) -> float:
        """Return the engine's time for all of it, in ms of the paper's H100."""
        return REQUEST_MS + AUDIO_SECOND_MS * self.audio_s + TOKEN_MS * self.tokens


@dataclass(frozen=True)
class Ask:
    """Who asks for a place, for how much work, and which sound an instance may have met before.

    `urgent` is an answer that was cut and must go on: it goes before all that have not begun.
    """

    owner: str
    work: Work = Work()
    affinity: str = ""
    urgent: bool = False
