# syntax=docker/dockerfile:1
# One file, a target per service:   docker build --target agent-service -t ratchet/agent-service:0.1.0 .
#
#   agent-service feedback-service sandbox-service trainer-service model-server command    on the CPU
#   box box-bare                                       what boxes that are pods run in; no task, no verifier in them
#   trainer-service-cuda model-server-cuda sandbox-service-cuda box-cuda                     with CUDA
#
# Everything comes from constraints.txt. The digests are those that many public projects pin for these tags;
# `docker buildx imagetools inspect IMAGE` shows them. `command` comes last, so it is what a plain build makes.
ARG PYTHON=docker.io/library/python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG CUDA=docker.io/nvidia/cuda:13.0.2-devel-ubuntu24.04@sha256:5dc1bca23d05bd37b011be68ec470c03b403a5da07ec3a86e41af9470e9d0cc6

# ---- what all have: an ordinary user, no compiled caches, no writable code
FROM ${PYTHON} AS base
ENV PATH=/opt/ratchet/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8 \
    PYTHONPATH=/opt/ratchet
RUN groupadd --gid 65532 ratchet \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/ratchet --shell /usr/sbin/nologin ratchet \
 && install -d -o ratchet -g ratchet /var/lib/ratchet \
 && ln -s /usr/local/bin/python3 /usr/bin/python3
WORKDIR /opt/ratchet

# ---- environments: the light one, and the one with torch
FROM base AS light-venv
COPY pyproject.toml constraints.txt README.md ./
COPY docker/venv.sh docker/venv.sh
RUN docker/venv.sh /opt/ratchet/.venv python3 k8s

FROM base AS torch-venv
COPY pyproject.toml constraints.txt README.md ./
COPY docker/venv.sh docker/venv.sh
RUN TORCH_ARGS=--torch-backend=cpu docker/venv.sh /opt/ratchet/.venv python3 train,k8s

FROM base AS torch-cuda-venv
COPY pyproject.toml constraints.txt README.md ./
COPY docker/venv.sh docker/venv.sh
RUN TORCH_ARGS=--torch-backend=cu130 docker/venv.sh /opt/ratchet/.venv python3 train,k8s

# ---- code over environments
FROM base AS light
COPY --from=light-venv /opt/ratchet/.venv .venv
COPY . .
COPY docker/ratchet-fresh /usr/local/bin/

FROM base AS torch
# g++: torch compiles, and DeepSpeed builds its CPU optimizer, at run time
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY --from=torch-venv /opt/ratchet/.venv .venv
COPY . .
COPY docker/ratchet-fresh /usr/local/bin/
USER 65532:65532

FROM base AS torch-cuda
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY --from=torch-cuda-venv /opt/ratchet/.venv .venv
COPY . .
COPY docker/ratchet-fresh /usr/local/bin/
USER 65532:65532

# ---- the services
FROM light AS agent-service
# bubblewrap: for one host; in a cluster boxes are pods
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
USER 65532:65532
ENTRYPOINT ["python", "-m", "agent_service.worker"]

FROM light AS feedback-service
USER 65532:65532
ENTRYPOINT ["python", "-m", "feedback_service.worker"]

FROM light AS sandbox-service
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap gcc g++ libc6-dev libgomp1 \
 && rm -rf /var/lib/apt/lists/*
USER 65532:65532
ENTRYPOINT ["python", "-m", "sandbox_service.worker"]

FROM torch AS trainer-service
ENTRYPOINT ["python", "-m", "trainer_service.worker"]

FROM torch AS model-server
ENTRYPOINT ["python", "-m", "agent_service.model_server"]

FROM torch-cuda AS trainer-service-cuda
ENTRYPOINT ["python", "-m", "trainer_service.worker"]

FROM torch-cuda AS model-server-cuda
ENTRYPOINT ["python", "-m", "agent_service.model_server"]

# ---- boxes: the same interpreter at the same path, what candidates and scaffolds may import, and a compiler.
#      Of our code only shared/: no task, no verifier, no service.
FROM base AS box
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc g++ libc6-dev libgomp1 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=light-venv /opt/ratchet/.venv .venv
COPY shared shared
USER 65532:65532
CMD ["python", "-c", "raise SystemExit('this image is started by the service that makes boxes')"]

# The same without the environment, in whose libraries a kernel could find what it is to compute itself.
FROM base AS box-bare
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc g++ libc6-dev libgomp1 \
 && rm -rf /var/lib/apt/lists/*
COPY shared/box/pods/inside shared/box/pods/inside
COPY shared/box/kernel_call.py shared/box/
USER 65532:65532
CMD ["/usr/bin/python3", "-c", "raise SystemExit('this image is started by the service that makes boxes')"]

# ---- CUDA: nvcc for candidates, PyCUDA (built here, against the toolkit's stubs) for the trusted runner
FROM ${CUDA} AS cuda-base
ENV PATH=/opt/ratchet/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8 \
    PYTHONPATH=/opt/ratchet
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap gcc g++ libc6-dev libgomp1 python3 python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 65532 ratchet \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/ratchet --shell /usr/sbin/nologin ratchet \
 && install -d -o ratchet -g ratchet /var/lib/ratchet
WORKDIR /opt/ratchet

FROM cuda-base AS cuda-venv
ENV LIBRARY_PATH=/usr/local/cuda/lib64/stubs
COPY pyproject.toml constraints.txt README.md ./
COPY docker/venv.sh docker/venv.sh
RUN docker/venv.sh /opt/ratchet/.venv python3 k8s,cuda

FROM cuda-base AS sandbox-service-cuda
COPY --from=cuda-venv /opt/ratchet/.venv .venv
COPY . .
COPY docker/ratchet-fresh /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["python", "-m", "sandbox_service.worker"]

FROM cuda-base AS box-cuda
COPY --from=cuda-venv /opt/ratchet/.venv .venv
COPY shared shared
USER 65532:65532
CMD ["python", "-c", "raise SystemExit('this image is started by the service that makes boxes')"]

# ---- the command line: runs, migration, Flower, metrics
FROM light AS command
USER 65532:65532
ENTRYPOINT ["ratchet"]
