# One image for all parts of the platform: webserver, daemon, code location, runs and MLflow server.
#   docker build -t nhm-assets:0.1.0 .
# constraints.txt pins every package. If your MLflow server is a 2.x, build with
# `--build-arg CONSTRAINTS=constraints-mlflow2.txt`.
#
# Two layers are of ours. The packages change with constraints.txt and the dependencies of pyproject.toml only; the code
# is the last layer, and small.
ARG PYTHON=python:3.11.16-slim-bookworm@sha256:2e32f7d302adc1c37428355c1e646897c0c53f4fd60b6a551245fb90ee129f91

FROM ${PYTHON} AS requirements
WORKDIR /src
COPY pyproject.toml deploy/image/requirements.py ./
RUN python requirements.py pyproject.toml postgres s3 > requirements.txt

FROM ${PYTHON} AS packages
ARG CONSTRAINTS=constraints.txt
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /packages
# pip stays outside, in the image that it works from.
RUN python -m venv --without-pip /opt/nhm
COPY constraints.txt constraints-mlflow2.txt ./
COPY --from=requirements /src/requirements.txt ./
RUN python -m pip --python /opt/nhm/bin/python install --no-compile -c ${CONSTRAINTS} -r requirements.txt
COPY deploy/image/trim.py ./
RUN python trim.py /opt/nhm

FROM packages AS code
WORKDIR /src
COPY pyproject.toml README.md ./
COPY deploy/local deploy/local
COPY nhm_assets nhm_assets
COPY resources resources
COPY sensors sensors
RUN python -m pip --python /opt/nhm/bin/python install --no-deps --compile --prefix /code .

FROM ${PYTHON}
# Without pip, and with a user of its own. The wheels contain the libraries that they need, so no Debian package is
# installed.
RUN rm -rf /usr/local/lib/python3.11/site-packages/* /usr/local/lib/python3.11/ensurepip /usr/local/bin/pip* \
 && groupadd --gid 10001 nhm \
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
COPY --from=packages /opt/nhm /opt/nhm
COPY --from=code /code /opt/nhm
USER 10001:10001
CMD ["nhm", "--help"]
