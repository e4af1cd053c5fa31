"""Builds asset checks of a partition from descriptions, and their results from verdicts."""

import warnings
from collections.abc import Iterable, Iterator, Mapping

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    PreviewWarning,
)

from nhm_assets.domain.check_result import Verdict
from nhm_assets.steps.partitions import specialist_weeks


def check_specs(
    asset: AssetKey,
    descriptions: Mapping[str, str],
    *,
    blocking: Iterable[str] = (),
    also_read: Iterable[AssetKey] = (),
) -> list[AssetCheckSpec]:
    """Partitioned check specs of an asset from name -> description; a failed blocking check breaks the run.

    Args:
        asset: that the checks judge.
        descriptions: for the UI.
        blocking: names of the checks that break the run.
        also_read: assets that the checks need besides.
    """
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13. Without them a check does not know its week.
        warnings.simplefilter("ignore", PreviewWarning)
        return [
            AssetCheckSpec(
                name,
                asset=asset,
                description=description,
                blocking=name in set(blocking),
                additional_deps=list(also_read),
                partitions_def=specialist_weeks,
            )
            for name, description in descriptions.items()
        ]


def check_results(asset: AssetKey, verdicts: Iterable[Verdict]) -> Iterator[AssetCheckResult]:
    """One check result per verdict."""
    for verdict in verdicts:
        yield AssetCheckResult(
            asset_key=asset,
            check_name=verdict.check,
            passed=verdict.passed,
            description=verdict.reason,
            metadata=dict(verdict.figures),
            severity=AssetCheckSeverity.WARN if verdict.warns_only else AssetCheckSeverity.ERROR,
        )


def selected_results(
    context: AssetCheckExecutionContext, asset: AssetKey, verdicts: Iterable[Verdict]
) -> Iterator[AssetCheckResult]:
    """The results of the checks that this run selects."""
    selected = {key.name for key in context.selected_asset_check_keys}
    yield from check_results(asset, (verdict for verdict in verdicts if verdict.check in selected))
