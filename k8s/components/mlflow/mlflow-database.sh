#!/bin/sh
# Creates MLflow's user and database. The postgres image runs this once, when the data folder is new.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$MLFLOW_PG_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow, dagster FROM PUBLIC;
SQL
