# One image for all parts of the platform: webserver, daemon, code location, runs and MLflow server.
#   docker build -t nhm-assets:0.1.0 .
# constraints.txt pins every package. If your MLflow server is a 2.x, build with
# `--build-arg CONSTRAINTS=constraints-mlflow2.txt`.
ARG PYTHON=python:3.11.13-slim-bookworm

FROM ${PYTHON} AS build
ARG CONSTRAINTS=constraints.txt
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/nhm
COPY pyproject.toml constraints.txt constraints-mlflow2.txt README.md ./
COPY deploy/local deploy/local
COPY nhm_assets nhm_assets
COPY resources resources
COPY sensors sensors
RUN /opt/nhm/bin/pip install --compile -c ${CONSTRAINTS} '.[postgres,s3]'

FROM ${PYTHON}
# The wheels contain the libraries that they need, so no Debian package is installed.
COPY --from=build /opt/nhm /opt/nhm
RUN groupadd --gid 10001 nhm \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin nhm \
 && mkdir -p /opt/dagster/dagster_home /var/lib/nhm /var/lib/nhm-storage /var/lib/mlflow \
 && chown 10001:10001 /opt/dagster/dagster_home /var/lib/nhm /var/lib/nhm-storage /var/lib/mlflow
ENV PATH=/opt/nhm/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NHM_HOME=/var/lib/nhm \
    DAGSTER_HOME=/opt/dagster/dagster_home \
    MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /tmp
USER 10001:10001
CMD ["nhm", "--help"]
