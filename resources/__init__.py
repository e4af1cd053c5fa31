"""One module for each system outside: MongoDB, MLflow, storage. They know nothing of the assets."""
