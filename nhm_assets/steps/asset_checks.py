"""Builds asset checks of a partition from descriptions, and their results from verdicts."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    PreviewWarning,
)

from nhm_assets.domain.check_result import Verdict, check_text
from nhm_assets.domain.evidence import EVIDENCE_CHECKS
from nhm_assets.domain.outcomes import GATE_CHECKS
from nhm_assets.domain.partitions import Partition
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


def check_results(
    asset: AssetKey,
    verdicts: Iterable[Verdict],
    partition_key: str,
    *,
    blocking: Iterable[str] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[AssetCheckResult]:
    """One check result per verdict.

    Args:
        asset: that the checks judge.
        verdicts: on it.
        partition_key: which part of it.
        blocking: names of the checks that break the run.
        about: metadata that names exactly what was judged, so that the promotion finds the verdicts on it.
    """
    partition, breaking = Partition.from_key(partition_key), frozenset(blocking)
    subject = f"{partition.specialist} {partition.week}"
    for verdict in verdicts:
        yield AssetCheckResult(
            asset_key=asset,
            check_name=verdict.check,
            passed=verdict.passed,
            description=check_text(verdict.reason, subject, _role(verdict, breaking)),
            metadata={**verdict.figures, **about},
            severity=AssetCheckSeverity.WARN if verdict.warns_only else AssetCheckSeverity.ERROR,
        )


def _role(verdict: Verdict, blocking: frozenset[str]) -> str:
    """What a failure of the check leads to."""
    if verdict.check in GATE_CHECKS:
        return "decides the promotion: if it fails, the candidate is held"
    if verdict.check in EVIDENCE_CHECKS:
        return "decides whether anything is trained"
    if verdict.check in blocking:
        return "stops the run if it fails"
    return "only warns" if verdict.warns_only else "reports a fault and decides nothing"


def selected_results(
    context: AssetCheckExecutionContext,
    asset: AssetKey,
    verdicts: Iterable[Verdict],
    *,
    blocking: Iterable[str] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[AssetCheckResult]:
    """The results of the checks that this run selects; see `check_results`."""
    selected = {key.name for key in context.selected_asset_check_keys}
    chosen = (verdict for verdict in verdicts if verdict.check in selected)
    yield from check_results(asset, chosen, context.partition_key, blocking=blocking, about=about)
