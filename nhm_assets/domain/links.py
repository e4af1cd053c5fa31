"""Addresses of what people look at: a run, a report, a section of the runbook."""

from urllib.parse import quote


def run_link(dagster_url: str, run_id: str) -> str:
    """The page of a run in Dagster's UI."""
    return f"{dagster_url.rstrip('/')}/runs/{run_id}"


def report_link(dagster_url: str, partition_key: str) -> str:
    """The page of a partition's evaluation report in Dagster's UI."""
    from nhm_assets.domain.asset_keys import EVALUATION_REPORT

    asset = EVALUATION_REPORT.to_user_string()
    return f"{dagster_url.rstrip('/')}/assets/{asset}?view=partitions&partition={quote(partition_key, safe='')}"


def runbook_link(runbook_url: str, title: str) -> str:
    """The section with this title."""
    anchor = "".join(one for one in title.lower().replace(" ", "-") if one.isalnum() or one in "-_")
    return f"{runbook_url}#{anchor}"
