"""The no-repeat n-gram guard: no n tokens in a row that the prompt or the answer has had already.

The published models were evaluated with n = 6. vLLM has no such guard, and two ways to write one: its first
model runner (CPUs) works on lists of tokens, its second (GPUs) on token histories in device memory. Each is
done in the way that costs least there: a table from (n - 1)-gram to what followed it, looked up once a token;
or one comparison of the last (n - 1)-gram with the whole history, without waiting for the device.

Given to vLLM as `--logits-processors model.vllm_plugin.no_repeat:NoRepeatNGram`, for models that ask for it
(`AudioLLMConfig.no_repeat_ngram`). A request may choose by `vllm_xargs`: `{"no_repeat_ngram_size": 0}` turns
it off. What the prompt says counts too, as in transformers; but not for a checkpoint that says how its
answers are written (`AudioLLMConfig.answers`), which only its own answer binds, as in the embedded engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.logits_processor import LogitsProcessor as HostInterface
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as DeviceInterface

from model.mini.no_repeat import NoRepeat
from model.mini.shipped import Generation

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig

ARGUMENT = "no_repeat_ngram_size"
LONGEST = 64  # tokens; longer repeats are not what the guard is for
PENDING = -1  # stands in a token list where vLLM has not yet read the token back


class History:
    """The guard of one request, which follows vLLM's own list of its tokens."""

    def __init__(self, size: int, prompt: list[int], output: list[int], free: Sequence[int] = ()) -> None:
        self._guard = NoRepeat(size, prompt, free)
        self._output = output  # it grows as the answer does
        self._read = 0

    def banned(self) -> set[int]:
        """The tokens that would repeat an n-gram now."""
        fresh = self._output[self._read :]
        if PENDING in fresh:
            fresh = fresh[: fresh.index(PENDING)]
        self._read += len(fresh)
        for token in fresh:
            self._guard.add(token)
        return self._guard.banned()


class OnHost:
    """The guard of vLLM's first model runner."""

    def __init__(self, default: int, own: Generation | None) -> None:
        """`own`: how the checkpoint says that its answers are written."""
        self._default, self._own = default, own
        self._histories: dict[int, History] = {}

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests as they come, go and change places in the batch."""
        process_dict_updates(self._histories, batch_update, self._begin)

    def apply(self, logits: Tensor) -> Tensor:
        """Ban in place; `logits` is [requests, vocabulary]."""
        rows: list[int] = []
        columns: list[int] = []
        for row, history in self._histories.items():
            banned = history.banned()
            rows += [row] * len(banned)
            columns += banned
        if rows:
            logits[rows, columns] = -torch.inf
        return logits

    def _begin(self, params: SamplingParams, prompt: list[int] | None, output: list[int]) -> History | None:
        size = requested(params, self._default)
        if not size:
            return None
        return (
            History(size, [], output, self._own.may_repeat)
            if self._own
            else History(size, prompt or [], output)
        )


class OnDevice:
    """The guard of vLLM's second model runner: nothing leaves the device, nothing is waited for."""

    def __init__(self, default: int, own: Generation | None, state: LogitsProcRequestState) -> None:
        """`own`: how the checkpoint says that its answers are written."""
        self._default = default
        self._own = own
        self._state = state
        self._free = torch.tensor(own.may_repeat if own else (), dtype=torch.int64, device=state.device)
        self._sizes = np.zeros(state.max_num_reqs, dtype=np.int64)
        self._device_sizes = torch.zeros(state.max_num_reqs, dtype=torch.int64, device=state.device)

    def add_request(self, slot: int, params: SamplingParams) -> bool:
        """Remember the size that a request asks for."""
        size = requested(params, self._default)
        self._sizes[slot] = size
        self._device_sizes[slot] = size
        return size > 0

    def apply(self, logits: Tensor, context: LogitsContext) -> Tensor:
        """Ban in place; `logits` is [rows, vocabulary], a row a token that is being chosen."""
        for size in {int(size) for size in self._sizes[context.idx_mapping_np]} - {0}:
            longest = int(context.seq_lens_upper_bound_np.max())
            if longest >= size:
                slots = context.expanded_idx_mapping
                tokens = self._state.all_token_ids.gpu[slots, :longest].long()
                lengths = (context.pos + 1) * (self._device_sizes[slots] == size)
                begins = self._state.prompt_len.gpu[slots] if self._own else torch.zeros_like(lengths)
                ban(logits, tokens, lengths, size, begins, self._free)
        return logits


def ban(
    logits: Tensor, tokens: Tensor, lengths: Tensor, size: int, begins: Tensor, free: Tensor | None = None
) -> None:
    """Set to -inf, in place, what would repeat an n-gram of `size` tokens.

    `logits` [rows, vocabulary]; `tokens` [rows, longest], right-padded with anything; `lengths` [rows], where
    0 leaves a row alone; `begins` [rows], the first token that counts; `free` [tokens] are never banned, nor
    is what follows (n - 1) of them. No data-dependent shapes, so that a GPU is never waited for.
    """
    longest = tokens.shape[1]
    first = lengths.unsqueeze(1) - size + 1  # of the n-gram that is being begun
    at = first.clamp(min=0) + torch.arange(size - 1, device=tokens.device)
    last = tokens.gather(1, at.clamp(max=longest - 1))  # [rows, size - 1]
    starts = longest - size + 1
    same = torch.ones(tokens.shape[0], starts, dtype=torch.bool, device=tokens.device)
    for offset in range(size - 1):
        same &= tokens[:, offset : offset + starts] == last[:, offset : offset + 1]
    follower = torch.arange(size - 1, longest, device=tokens.device)
    same &= follower < lengths.unsqueeze(1)
    same &= follower - (size - 1) >= begins.unsqueeze(1)
    if free is not None:
        same &= ~torch.isin(last, free).all(1, keepdim=True)
    vocabulary = logits.shape[1]
    # One column more than there are tokens takes what is not to be banned.
    columns = torch.where(same, tokens[:, size - 1 :], vocabulary)
    banned = torch.zeros(logits.shape[0], vocabulary + 1, dtype=torch.bool, device=logits.device)
    banned.scatter_(1, columns, True)
    if free is not None:
        banned[:, free] = False
    logits.masked_fill_(banned[:, :vocabulary], -torch.inf)


def requested(params: SamplingParams, default: int) -> int:
    """The size a request asks for, or the model's own; 0 is none. Raises ValueError."""
    size = (params.extra_args or {}).get(ARGUMENT, default)
    if isinstance(size, bool) or not isinstance(size, int | float) or not (size == 0 or 2 <= size <= LONGEST):
        raise ValueError(f"{ARGUMENT} must be 0 (off) or from 2 to {LONGEST}.")
    if size != int(size):
        raise ValueError(f"{ARGUMENT} must be a whole number; 0 switches the guard off.")
    return int(size)


class NoRepeatNGram(HostInterface, DeviceInterface):
    """The guard as either of vLLM's model runners loads it; which one it is shows in the arguments."""

    def __init__(
        self,
        vllm_config: VllmConfig,
        device_or_state: torch.device | LogitsProcRequestState,
        is_pin_memory: bool = False,
    ) -> None:
        config = vllm_config.model_config.hf_config
        default = getattr(config, "no_repeat_ngram", 0)
        said = getattr(config, "answers", None)
        own = Generation.model_validate(said) if said else None
        self._guard: OnHost | OnDevice = (
            OnDevice(default, own, device_or_state)
            if isinstance(device_or_state, LogitsProcRequestState)
            else OnHost(default, own)
        )

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for a size that makes no sense: the request is answered with 400."""
        requested(sampling_params, 0)

    def is_argmax_invariant(self) -> bool:
        """It changes which token is the likeliest."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """First runner: called before every step."""
        assert isinstance(self._guard, OnHost)
        self._guard.update_state(batch_update)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Second runner: called for every new request."""
        assert isinstance(self._guard, OnDevice)
        return self._guard.add_request(req_idx, sampling_params)

    def apply(self, logits: Tensor, *context: Any) -> Tensor:
        """Ban in place."""
        return self._guard.apply(logits, *context)
