# The controller: python -m backend. No torch, no pages, no model.
#     docker build -f deploy/images/controller.Dockerfile -t meralion/controller:0.1.0 .
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS packages
COPY requirements/controller.txt /tmp/requirements.txt
# Nothing is resolved: the file lists everything, and the check says so if it does not.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-deps -r /tmp/requirements.txt \
    && pip --python /opt/venv/bin/python check

FROM ${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="MERaLiON demo: controller" \
    org.opencontainers.image.description="One OpenAI-compatible API in front of any number of engines." \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0"
# The number is the same in every image, so that a volume or a policy can name it.
RUN groupadd --gid 10001 meralion \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin meralion
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/meralion
COPY LICENSE NOTICE pyproject.toml ./
COPY samples samples
# Of the model only what decodes sound.
COPY model/__init__.py model/audio.py model/audio_containers.py model/audio_libav.py model/audio_limits.py \
    model/audio_worker.py model/
COPY backend backend
# Compiled here, since the file system is read-only where it runs.
RUN /opt/venv/bin/python -m compileall -q backend model
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MERALION_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "backend"]
