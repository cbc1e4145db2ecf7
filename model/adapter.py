"""The adapters between encoder and decoder: the paper's MLP-100 (section 3.2) and its gated successor.

Both stack 15 neighbouring states of 20 ms into one vector of 300 ms, so that a 30 s window becomes 100
tokens. Module names are those of the published weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.layouts import AdapterKind

DROPOUT = 0.1
# What v1's files may call its last layer, as a pattern, and what it is called here: without the dropout in
# the Sequential it stood at index 2. With it, index 2 is the dropout, which has no weights.
PUBLISHED_NAMES = {r"speech_llm_proj\.2\.": "speech_llm_proj.3."}


class MlpAdapter(nn.Module):
    """MLP-100: 15 d -> d -> 4 d -> hidden; 49.5 M parameters at d = 1280, hidden = 3584."""

    def __init__(self, d_model: int, stack: int, hidden_size: int) -> None:
        super().__init__()
        self.stack = stack
        self.mlp_adapter = nn.Sequential(nn.Linear(stack * d_model, d_model), nn.SiLU(), nn.Dropout(DROPOUT))
        self.speech_llm_proj = nn.Sequential(
            nn.Linear(d_model, 4 * d_model),
            nn.SiLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(4 * d_model, hidden_size),
        )

    def forward(self, states: Tensor) -> Tensor:
        """States [windows, 1500, d_model] to speech embeddings [windows, 1500 / stack, hidden_size]."""
        return self.speech_llm_proj(self.mlp_adapter(stacked(states, self.stack)))


class GatedAdapter(nn.Module):
    """MERaLiON-2's and -3's: 15 d -> 5 d, gated 5 d -> 5 d, -> hidden; 228 M at d = 1280, hidden = 3584."""

    def __init__(self, d_model: int, stack: int, hidden_size: int) -> None:
        super().__init__()
        self.stack = stack
        width = 5 * d_model
        self.mlp_adapter = nn.Sequential(nn.Linear(stack * d_model, width), nn.SiLU(), nn.Dropout(DROPOUT))
        self.gate_proj = nn.Linear(width, width)
        self.pool_proj = nn.Linear(width, width)
        self.act_fn = nn.SiLU()
        self.out_proj = nn.Linear(width, hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """States [windows, 1500, d_model] to speech embeddings [windows, 1500 / stack, hidden_size]."""
        tokens = self.mlp_adapter(stacked(states, self.stack))
        return self.out_proj(self.act_fn(self.gate_proj(tokens)) * self.pool_proj(tokens))


def stacked(states: Tensor, stack: int) -> Tensor:
    """`stack` neighbouring states side by side: [windows, 1500, d] to [windows, 1500 / stack, stack d]."""
    windows, count, width = states.shape
    return states.reshape(windows, count // stack, stack * width)


def build(kind: AdapterKind, d_model: int, stack: int, hidden_size: int) -> MlpAdapter | GatedAdapter:
    """The adapter of a kind, its biases zero: a checkpoint without them means none."""
    adapter = (GatedAdapter if kind == "gated" else MlpAdapter)(d_model, stack, hidden_size)
    for module in adapter.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return adapter
