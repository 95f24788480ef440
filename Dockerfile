# The harness with the exact pins of requirements.lock; docs/install.md has the commands.
#   CPU:  docker build -t msmae-harness .
#   CUDA: docker build -t msmae-harness:cuda --build-arg BASE=nvidia/cuda:13.0.1-runtime-ubuntu24.04 \
#           --build-arg INDEX= .
# BASE needs Python 3.11 or 3.12 as python3, or Debian's or Ubuntu's packages of one.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# Where the CPU builds of torch and torchvision are; empty for the registry's CUDA builds.
ARG INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    PATH=/opt/harness/bin:$PATH

# OpenCV, which mmcv imports, loads libGL and libglib; the CUDA images have no Python.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && { python3 -m venv --help >/dev/null 2>&1 && python3 -m ensurepip --version >/dev/null 2>&1 \
         || apt-get install -y --no-install-recommends python3 python3-venv; } \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements.lock ./
RUN python3 -m venv /opt/harness \
    && if [ -n "$INDEX" ]; then pip install --index-url "$INDEX" \
         $(grep -E '^(torch|torchvision)==' requirements.lock); fi \
    && pip install -r requirements.lock

COPY pyproject.toml README.md LICENSE msmae_tvcompat.py ./
COPY harness ./harness
COPY msmae ./msmae
COPY baselines ./baselines
COPY experiments ./experiments
RUN python3 -m hatchling build -t wheel -d /tmp/dist \
    && pip install --no-deps /tmp/dist/*.whl && rm -rf /tmp/dist

# Not root; a mounted folder has to be writable for this number.
RUN useradd --create-home --uid 10001 harness \
    && mkdir -p /data /runs /reports && chown harness:harness /data /runs /reports
USER harness
WORKDIR /home/harness
ENV HARNESS_DATA=/data HARNESS_RUNS=/runs
VOLUME ["/data", "/runs", "/reports"]

ENTRYPOINT ["harness"]
# The demo: two data sets of Table 1 at toy size, from generated images.
CMD ["run", "table1", "--profile", "smoke", "--datasets", "btmd,ham10000", "--out", "/reports"]
