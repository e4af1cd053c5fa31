"""What is seen from outside: the metrics of the platform, read from Dagster, MLflow and MongoDB."""
