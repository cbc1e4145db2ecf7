"""From corpora as they are delivered to a checkpoint that can be served."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in model/__init__.py: before onnxruntime is imported
