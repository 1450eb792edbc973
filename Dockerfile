# Two images from one file: --target operator, --target trainer. The base needs Python 3.11 or newer with venv.
ARG BASE_IMAGE=docker.io/library/python:3.12-slim

FROM ${BASE_IMAGE} AS tools
ARG UV_VERSION=0.13.9
ARG HATCHLING_VERSION=1.33.0
ARG PIP_CERT
ARG SSL_CERT_FILE
RUN python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==${UV_VERSION} hatchling==${HATCHLING_VERSION}
ENV PATH=/opt/tools/bin:${PATH} UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never

# Our own code is a layer of its own, so a change of it does not move the packages.
FROM tools AS project
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
COPY trainer_image trainer_image
RUN uv build --quiet --wheel --no-build-isolation --python python3 --out-dir /dist \
 && uv pip install --quiet --no-deps --python python3 --target /opt/rfdetr /dist/*.whl \
 && rm -rf /opt/rfdetr/bin /opt/rfdetr/.lock
FROM project AS operator-code
RUN rm -rf /opt/rfdetr/rfdetr_trainer
FROM project AS trainer-code
RUN rm -rf /opt/rfdetr/rfdetr_operator

# The operator speaks to the API server in plain dictionaries: 100 MB of generated classes stay behind.
FROM tools AS operator-packages
ARG SSL_CERT_FILE
COPY locks/operator.txt /locks/
RUN uv venv --quiet --python "$(command -v python3)" /opt/venv \
 && uv pip sync --quiet --require-hashes --python /opt/venv/bin/python /locks/operator.txt \
 && cd /opt/venv/lib/python3*/site-packages/kubernetes \
 && find client/api client/models aio/client/api aio/client/models -type f ! -name '__init__*' -delete

FROM tools AS trainer-packages
ARG SSL_CERT_FILE
COPY locks/trainer.txt /locks/
RUN uv venv --quiet --python "$(command -v python3)" /opt/venv \
 && uv pip sync --quiet --require-hashes --python /opt/venv/bin/python /locks/trainer.txt

FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/venv/bin:${PATH} PYTHONPATH=/opt/rfdetr PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
LABEL org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="0.1.0"
WORKDIR /tmp
USER 10001:10001

FROM runtime AS operator
LABEL org.opencontainers.image.title="rfdetr-operator" \
      org.opencontainers.image.description="Trains RF-DETR on Kubernetes: the operator"
COPY --from=operator-packages /opt/venv /opt/venv
COPY --from=operator-code /opt/rfdetr /opt/rfdetr
EXPOSE 8080
CMD ["python", "-m", "rfdetr_operator"]

FROM runtime AS trainer
LABEL org.opencontainers.image.title="rfdetr-trainer" \
      org.opencontainers.image.description="Trains RF-DETR on Kubernetes: the launcher and the trainer of one node"
COPY --from=trainer-packages /opt/venv /opt/venv
COPY --from=trainer-code /opt/rfdetr /opt/rfdetr
EXPOSE 9400
CMD ["python", "-m", "rfdetr_trainer.launch", "--help"]
