"""The classes that `dagster.yaml` names: they queue, launch and watch runs. And the folders of one machine."""
