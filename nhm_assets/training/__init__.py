"""Stage 2: trains a model on a dataset and registers it as a candidate."""
