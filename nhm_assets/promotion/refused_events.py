"""What a refused request leaves behind in Dagster's graph: nothing.

Dagster shows a partition as failed if the newest run that meant to materialize it failed, and shows it so until it is
materialized. A held candidate never is. So the run that decided becomes the newest one again, before the run that asks
for what it held has failed.
"""

from collections.abc import Collection

from dagster import AssetKey, DagsterEvent, DagsterInstance, DagsterRunStatus

from nhm_assets.domain.dagster_internals import AssetMaterializationPlannedData


def keep_as_decided(
    instance: DagsterInstance, assets: Collection[AssetKey], partition: str, decided_by: Collection[str]
) -> None:
    """Show these assets of a partition as the run that decided about it left them.

    Args:
        instance: of Dagster.
        assets: that the refused run was to materialize.
        partition: key of the partition.
        decided_by: ids of the runs that recorded the verdicts. If none of them succeeded, nothing is done.
    """
    runs = [run for run_id in sorted(decided_by) if (run := instance.get_run_by_id(run_id))]
    decided = next((run for run in runs if run.status is DagsterRunStatus.SUCCESS), None)
    if decided is None:
        return
    for asset in assets:
        planned = AssetMaterializationPlannedData(asset, partition=partition)
        step = asset.to_python_identifier()
        event = DagsterEvent.build_asset_materialization_planned_event(decided.job_name, step, planned)
        message = f"A later request for {asset.to_user_string()} was refused: what this run decided is still valid."
        instance.report_dagster_event(event._replace(message=message), run_id=decided.run_id)
