"""A guess at how an unknown English word is said: a small recurrent network from letters to sounds.

The weights are those of g2p-en (Apache-2.0, Kyubyong Park and Jongseok Kim), read from its wheel: a one-layer
GRU encoder and a one-layer GRU decoder of width 256, run here in numpy. It errs on names and loan words, so a
word comes here only when no lexicon has it.
"""

# ruff: noqa: SIM905 - a list of words reads better as text

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LETTERS = {letter: index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz", start=3)}
UNKNOWN_LETTER, END_OF_WORD = 1, 2
START, END = 2, 3
# The decoder's outputs 4.. in order: ARPAbet, vowels with stress 0 (none), 1 (primary), 2 (secondary).
ARPABET = (
    "AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0 ER1 "
    "ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 "
    "UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH"
).split()
SOUNDS = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ", "EY": "A"},
    **{"IH": "ɪ", "IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u"},
    **{
        "B": "b",
        "CH": "ʧ",
        "D": "d",
        "DH": "ð",
        "F": "f",
        "G": "ɡ",
        "HH": "h",
        "JH": "ʤ",
        "K": "k",
        "L": "l",
    },
    **{"M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v"},
    **{"W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
}
STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}
LONGEST_WORD = 24  # letters; longer strings are no words and are said in pieces
LONGEST_ANSWER = 20  # sounds, as in the original


def _from_arpabet(symbol: str) -> str:
    """One ARPAbet symbol in Kokoro's American alphabet, stress mark first."""
    if symbol == "AH0":
        return "ə"
    if symbol == "ER0":
        return "əɹ"
    if symbol[-1] in STRESS:
        return STRESS[symbol[-1]] + SOUNDS[symbol[:-1]]
    return SOUNDS[symbol]


class LetterToSound:
    """The network. Calling it with a word of the letters a-z gives phonemes."""

    def __init__(self, checkpoint: Path) -> None:
        with np.load(checkpoint) as arrays:
            self._weights: dict[str, NDArray[np.float32]] = {name: arrays[name] for name in arrays.files}

    def _step(self, side: str, x: NDArray[np.float32], h: NDArray[np.float32]) -> NDArray[np.float32]:
        """One GRU step; `x` and `h` have shape (256,)."""
        w = self._weights
        from_input = w[f"{side}_w_ih"] @ x + w[f"{side}_b_ih"]
        from_state = w[f"{side}_w_hh"] @ h + w[f"{side}_b_hh"]
        width = h.size
        gates = 1 / (1 + np.exp(-(from_input[: 2 * width] + from_state[: 2 * width])))
        reset, update = gates[:width], gates[width:]
        new = np.tanh(from_input[2 * width :] + reset * from_state[2 * width :])
        mixed: NDArray[np.float32] = (1 - update) * new + update * h
        return mixed

    @lru_cache(maxsize=4096)  # noqa: B019 - one network lives as long as the process
    def __call__(self, word: str) -> str:
        """Phonemes of `word`; strings too long to be a word are said in pieces."""
        if len(word) > LONGEST_WORD:
            return self(word[:LONGEST_WORD]) + self(word[LONGEST_WORD : 2 * LONGEST_WORD])
        w = self._weights
        h = np.zeros(w["enc_w_hh"].shape[1], dtype=np.float32)
        for letter in [*(LETTERS.get(letter, UNKNOWN_LETTER) for letter in word.lower()), END_OF_WORD]:
            h = self._step("enc", w["enc_emb"][letter], h)
        sounds, last = [], START
        for _ in range(LONGEST_ANSWER):
            h = self._step("dec", w["dec_emb"][last], h)
            last = int(np.argmax(w["fc_w"] @ h + w["fc_b"]))
            if last == END:
                break
            if last >= 4:  # 0..3 are padding, unknown, start, end
                sounds.append(_from_arpabet(ARPABET[last - 4]))
        return "".join(sounds)
