"""The vLLM plugin: serves every checkpoint of the architecture (paper, section 2.2).

vLLM finds `register` by the entry point `vllm.general_plugins` and calls it in every one of its processes.
"""

from __future__ import annotations

from model.layouts import LAYOUTS
from model.vllm_plugin import versions

MODEL = "model.vllm_plugin.modeling:AudioLLMForConditionalGeneration"


def register() -> None:
    """Tell transformers and vLLM about the published model types; twice does no harm.

    Raises UnsupportedVersion.
    """
    versions.check(versions.installed())
    from transformers import AutoConfig
    from vllm import ModelRegistry

    from model.configuration import CONFIGS

    for config in CONFIGS:
        AutoConfig.register(config.model_type, config, exist_ok=True)
    known = ModelRegistry.get_supported_archs()
    for layout in LAYOUTS:
        if layout.architecture not in known:
            ModelRegistry.register_model(layout.architecture, MODEL)
