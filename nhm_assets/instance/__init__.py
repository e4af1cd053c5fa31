"""What `dagster.yaml` names: the queue of runs, and what launches and watches them."""
