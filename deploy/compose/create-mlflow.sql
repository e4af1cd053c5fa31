-- PostgreSQL runs this once, when its volume is new. MLflow creates its tables itself.
CREATE DATABASE mlflow;
