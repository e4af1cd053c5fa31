#!/bin/sh
# Run once, by the image, when the data folder is new: the second user and database.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$MLFLOW_PG_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow, dagster FROM PUBLIC;
SQL
