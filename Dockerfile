# Two images from one file: --target operator, --target trainer. The base needs Python 3.11 or newer with venv.
# Each holds the list of its Python packages as CycloneDX in /opt/sbom. --build-arg REVISION, CREATED and SOURCE say where it comes from.
# To reuse wheels between builds, mount a folder at /var/cache/uv and say --build-arg UV_NO_CACHE=0.
ARG BASE_IMAGE=python:3.12-slim
ARG UV_VERSION=0.13.9

FROM ${BASE_IMAGE} AS tools
ARG UV_VERSION
ARG HATCHLING_VERSION=1.33.0
ARG PIP_CERT
ARG SSL_CERT_FILE
RUN python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==${UV_VERSION} hatchling==${HATCHLING_VERSION}

# Our own code is a layer of its own, so that a change of it does not move the packages.
FROM tools AS project
ENV PATH=/opt/tools/bin:${PATH} UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
COPY trainer_image trainer_image
RUN uv build --quiet --wheel --no-build-isolation --python python3 --out-dir /dist \
 && pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --no-compile --target /opt/rfdetr /dist/*.whl \
 && python3 -m compileall -q /opt/rfdetr \
 && rm -rf /opt/rfdetr/bin
FROM project AS operator-code
RUN rm -rf /opt/rfdetr/rfdetr_trainer
FROM project AS trainer-code
RUN rm -rf /opt/rfdetr/rfdetr_operator

FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/venv/bin:${PATH} PYTHONPATH=/opt/rfdetr PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
LABEL org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="0.1.0"
WORKDIR /tmp

# The packages are installed where they stay, and uv comes and goes in the same step: no second copy, no build tool in the result.
FROM runtime AS operator
LABEL org.opencontainers.image.title="rfdetr-operator" \
      org.opencontainers.image.description="Trains RF-DETR on Kubernetes: the operator"
ARG UV_VERSION
ARG PIP_CERT
ARG SSL_CERT_FILE
ARG UV_NO_CACHE=1
COPY locks/operator.txt /opt/locks/
# It speaks to the API server in plain dictionaries: 100 MB of the client's generated classes are left out.
RUN export UV_CACHE_DIR=/var/cache/uv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
 && python3 -m venv /tmp/tools \
 && /tmp/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==${UV_VERSION} \
 && /tmp/tools/bin/uv venv --quiet --python "$(command -v python3)" /opt/venv \
 && /tmp/tools/bin/uv pip sync --quiet --require-hashes --python /opt/venv/bin/python /opt/locks/operator.txt \
 && rm -rf /tmp/tools \
 && for part in client/api client/models aio/client/api aio/client/models; do \
      find /opt/venv/lib/python3*/site-packages/kubernetes/$part -type f ! -name '__init__*' -delete; \
    done
ARG CYCLONEDX_VERSION=7.5.0
RUN python3 -m venv /tmp/tools \
 && /tmp/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check cyclonedx-bom==${CYCLONEDX_VERSION} \
 && mkdir /opt/sbom \
 && /tmp/tools/bin/cyclonedx-py environment --output-reproducible --output-file /opt/sbom/operator.cdx.json /opt/venv/bin/python \
 && rm -rf /tmp/tools
COPY --from=operator-code /opt/rfdetr /opt/rfdetr
ARG REVISION=unknown
ARG CREATED=
ARG SOURCE=
ENV RFDETR_REVISION=${REVISION}
LABEL org.opencontainers.image.revision="${REVISION}" org.opencontainers.image.created="${CREATED}" org.opencontainers.image.source="${SOURCE}"
USER 10001:10001
EXPOSE 8080
CMD ["python", "-m", "rfdetr_operator"]

FROM runtime AS trainer
LABEL org.opencontainers.image.title="rfdetr-trainer" \
      org.opencontainers.image.description="Trains RF-DETR on Kubernetes: the launcher and the trainer of one node"
ARG UV_VERSION
ARG PIP_CERT
ARG SSL_CERT_FILE
ARG UV_NO_CACHE=1
COPY locks/trainer.txt /opt/locks/
RUN export UV_CACHE_DIR=/var/cache/uv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
 && python3 -m venv /tmp/tools \
 && /tmp/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==${UV_VERSION} \
 && /tmp/tools/bin/uv venv --quiet --python "$(command -v python3)" /opt/venv \
 && /tmp/tools/bin/uv pip sync --quiet --require-hashes --python /opt/venv/bin/python /opt/locks/trainer.txt \
 && rm -rf /tmp/tools
ARG CYCLONEDX_VERSION=7.5.0
RUN python3 -m venv /tmp/tools \
 && /tmp/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check cyclonedx-bom==${CYCLONEDX_VERSION} \
 && mkdir /opt/sbom \
 && /tmp/tools/bin/cyclonedx-py environment --output-reproducible --output-file /opt/sbom/trainer.cdx.json /opt/venv/bin/python \
 && rm -rf /tmp/tools
COPY --from=trainer-code /opt/rfdetr /opt/rfdetr
ARG REVISION=unknown
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.revision="${REVISION}" org.opencontainers.image.created="${CREATED}" org.opencontainers.image.source="${SOURCE}"
USER 10001:10001
EXPOSE 9400
CMD ["python", "-m", "rfdetr_trainer.launch", "--help"]
