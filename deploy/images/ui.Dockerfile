# The pages: streamlit run Home.py. They ask the controller that MERALION_BACKEND_URL names.
#     docker build -f deploy/images/ui.Dockerfile -t meralion/ui:0.1.0 .
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS packages
COPY requirements/ui.txt /tmp/requirements.txt
# Nothing is resolved: the file lists everything, and the check says so if it does not.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-deps -r /tmp/requirements.txt \
    && pip --python /opt/venv/bin/python check

FROM ${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="MERaLiON demo: pages" \
    org.opencontainers.image.description="Talk to an audio language model that understands Singlish." \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0"
# The number is the same in every image, so that a volume or a policy can name it. /data: what visitors give.
RUN groupadd --gid 10001 meralion \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin meralion \
    && install -d -m 0700 -o 10001 -g 10001 /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/meralion
COPY LICENSE NOTICE pyproject.toml ./
COPY .streamlit .streamlit
COPY samples samples
COPY Home.py ./
COPY pages pages
COPY ui ui
# Compiled here, since the file system is read-only where it runs.
RUN /opt/venv/bin/python -m compileall -q Home.py pages ui
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MERALION_BACKEND_URL=http://controller:8000 \
    MERALION_UI_FEEDBACK_DIR=/data/feedback \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501 \
    STREAMLIT_SERVER_HEADLESS=true
USER 10001:10001
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "Home.py"]
