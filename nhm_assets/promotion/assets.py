"""The asset of the promotion stage."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from dagster import AssetExecutionContext, MetadataValue, Output, ResourceParam, asset

from nhm_assets.domain.dagster_names import GROUP
from nhm_assets.domain.errors import ChampionChanged, PromotionRefused
from nhm_assets.domain.outcomes import HELD_BY, HeldAs, Outcome, decided_tags
from nhm_assets.domain.records import EvaluationReport, Promotion
from nhm_assets.promotion.argument import argument
from nhm_assets.promotion.blocking_checks import why_unfit
from nhm_assets.promotion.protocol import Decision, Request, promote, superseded_by
from nhm_assets.promotion.recorded_gate import RecordedGate, recorded_gate
from nhm_assets.promotion.refused_events import keep_as_decided
from nhm_assets.registry.ab_tests import running_test
from nhm_assets.registry.audit_log import (
    AUDIT_LOG,
    below_in_a_row,
    evidence,
    is_repeat,
    record_decision,
    subject,
    who,
)
from nhm_assets.registry.descriptions import describe
from nhm_assets.registry.recovery import audited_version
from nhm_assets.registry.versions import version_in_production
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.runs.log_lines import name_version
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.mlflow import Mlflow
from resources.mongo import Mongo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection


@asset(
    partitions_def=specialist_weeks,
    hooks={tag_broken_run},
    group_name=GROUP,
    io_manager_key="records",
    output_required=False,
    kinds={"mlflow"},
    description=(
        "The candidate in stage Production, with the alias `production`. The version before is Archived, with the"
        " alias `previous`. A candidate is promoted only if all its gate checks passed for exactly this report."
        " A held candidate (the gate said no, or a person rolled the version back, or an A/B test runs) and a"
        " superseded one (the champion learned from a newer window) are not materialized; the run stays green and its"
        " tag `nhm/outcome` says why. If an earlier run had the same outcome for the same version, the outcome is"
        " `unchanged`."
    ),
)
@retry_transient_errors
def promoted_version(
    context: AssetExecutionContext,
    evaluation_report: EvaluationReport,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Iterator[Output[Promotion]]:
    """Promote the candidate if its recorded gate is open; else hold or refuse it."""
    name_version(evaluation_report.version)
    gate = recorded_gate(context.instance, context.partition_key, evaluation_report.digest())
    with mongo.database() as database, mlflow.client() as client:
        log = database[AUDIT_LOG]
        record = partial(
            record_decision, log, evaluation_report, thresholds=gate.thresholds, run=context.run, now=settings.now()
        )
        try:
            decision = _decide(context, evaluation_report, gate, settings, client, log)
        except PromotionRefused as error:
            record(Outcome.REFUSED, reason=str(error))
            keep_as_decided(context.instance, context.selected_asset_keys, context.partition_key, gate.run_ids)
            raise
        outcome = decision.outcome
        if is_repeat(log, evaluation_report, outcome, decision.reason, run=context.run):
            decision = replace(decision, outcome=Outcome.UNCHANGED, reason=f"as before, {decision.reason}")
        elif unrecorded := _unrecorded(log, evaluation_report, decision):
            decision = replace(decision, outcome=Outcome.UNCHANGED, reason=unrecorded)
        if decision.outcome is not Outcome.UNCHANGED:
            run_url = Links.of(settings).dagster_run(context.run_id)
            describe(client, evaluation_report, outcome, decision.reason, run_url=run_url, now=settings.now())
        if decision.outcome is not Outcome.PROMOTED:
            record(decision.outcome, reason=decision.reason, held_as=decision.held_as)
        in_a_row = below_in_a_row(log, evaluation_report.model) if decision.held_as is HeldAs.BELOW else 0
    _tag(context, evaluation_report.version, decision, gate.failed if outcome is Outcome.HELD else (), in_a_row)
    if outcome is Outcome.PROMOTED:
        promotion = _promotion(evaluation_report, decision)
        said = argument(
            evaluation_report, previous=promotion.previous_version, max_f1_regression=settings.max_f1_regression
        )
        shown = promotion.model_dump(mode="json", exclude={"schema_version"})
        about = (promotion.specialist, promotion.model, promotion.version, evaluation_report.run_id)
        links = Links.of(settings).about_version(*about, audit_id=promotion.audit_id)
        decided = {"decision": MetadataValue.md(said)}
        yield Output(promotion, metadata={**decided, **shown, "reason": decision.reason, "links": links})


def _decide(
    context: AssetExecutionContext,
    report: EvaluationReport,
    gate: RecordedGate,
    settings: Settings,
    client: "MlflowClient",
    log: "Collection[dict[str, Any]]",
) -> Decision:
    """Promote the candidate or hold it, unless that is refused."""
    _refuse_without_verdicts(context, report, gate)
    request = _request(context, report, gate)
    try:
        return _hold(client, log, request, gate, settings.now()) or promote(
            client, log, request, now=settings.now(), wait_s=settings.promotion_wait_s
        )
    except ChampionChanged as error:
        if context.run_id in gate.run_ids:
            raise
        # A person asked to promote an evaluation of an earlier run.
        raise PromotionRefused(str(error)) from error


def _hold(
    client: "MlflowClient", log: "Collection[dict[str, Any]]", request: Request, gate: RecordedGate, now: datetime
) -> Decision | None:
    """The decision if the gate is closed; None if it is open.

    An older window is checked first: whatever the gate says, such a candidate must not replace the champion. (A
    champion that learned from the candidate's test rows would also win most comparisons on them.)
    """
    if gate.open:
        return None
    champion = version_in_production(client, request.model)
    if reason := superseded_by(champion, request.window_end):
        return Decision(Outcome.SUPERSEDED, reason, None, None)
    held_by = f"{HELD_BY} {', '.join(gate.failed)}"
    reason = f"{held_by} ({gate.held_as.in_words}): {gate.because}" if gate.held_as and gate.because else held_by
    if test := running_test(log, request.model, now):
        reason = f"{reason}; meanwhile, the {test.sentence} goes on"
    return Decision(Outcome.HELD, reason, None, None, gate.held_as or HeldAs.UNCERTAIN)


def _unrecorded(log: "Collection[dict[str, Any]]", report: EvaluationReport, decision: Decision) -> str | None:
    """What to say of a version that was found in Production, where the audit log does not have it; else None.

    Such as after the audit log was restored from an older back-up than the registry. It may be a move by others as
    well, which a person has to settle.
    """
    if decision.outcome is not Outcome.PROMOTED or decision.audit_id is not None:
        return None
    last = audited_version(log, report.model)
    if last == report.version:
        return None
    recorded = f"last recorded version {last}" if last else "records no version"
    return (
        f"version {report.version} is {decision.reason}, but the audit log {recorded}. To record it, run"
        f" `nhm adopt {report.specialist} --reason TEXT`"
    )


def _refuse_without_verdicts(context: AssetExecutionContext, report: EvaluationReport, gate: RecordedGate) -> None:
    """Refuse what is not judged, what an earlier run has held already, and what a check that stops runs found unfit."""
    candidate = f"{report.model} version {report.version} ({report.specialist}, week {report.week})"
    if gate.missing:
        raise PromotionRefused(
            f"{candidate} is not promoted: this report has no verdict for"
            f" {', '.join(gate.missing)}. Materialize evaluation_report and promoted_version together"
        )
    if gate.failed and context.run_id not in gate.run_ids:
        raise PromotionRefused(
            f"{candidate} is not promoted: it is held by {', '.join(gate.failed)} and stays in Staging. The checks on"
            " evaluation_report say why. Retrain on other data, or change the thresholds and evaluate again"
        )
    if reason := why_unfit(context.instance, context.partition_key, report, gate.run_ids):
        raise PromotionRefused(
            f"{candidate} is not promoted: {reason}. These checks must have passed for exactly this version and its"
            " dataset. Run the whole job for this partition, which asks them again: nhm retrain --specialist"
            f" {report.specialist} --week {report.week}"
        )


def _request(context: AssetExecutionContext, report: EvaluationReport, gate: RecordedGate) -> Request:
    fields = {
        **subject(report),
        **evidence(report, gate.thresholds),
        "reason": "every gate check passed",
        "gate_run_ids": sorted(gate.run_ids),
        "dagster_run_id": context.run_id,
        **who(context.run),
    }
    return Request(report.model, report.version, report.window_end, report.compared_with, fields)


def _promotion(report: EvaluationReport, decision: Decision) -> Promotion:
    return Promotion(
        **report.model_dump(include={"specialist", "week", "window_end", "model", "version"}),
        previous_version=decision.previous if decision.previous != report.version else None,
        report_digest=report.digest(),
        audit_id=decision.audit_id,
    )


def _tag(
    context: AssetExecutionContext, version: str, decision: Decision, held_by: Sequence[str], in_a_row: int
) -> None:
    context.log.info("%s: %s", decision.outcome, decision.reason)
    tags = decided_tags(
        decision.outcome,
        decision.reason,
        held_by=held_by,
        held_as=decision.held_as,
        below_in_a_row=in_a_row,
        version=version,
        inherited=context.run.tags,
    )
    context.instance.add_run_tags(context.run_id, tags)
