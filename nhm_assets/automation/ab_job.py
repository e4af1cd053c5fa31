"""The job `ab_test`, which starts and stops A/B tests; `nhm ab start` and `nhm ab stop` run it, too."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    Field,
    JobDefinition,
    OpExecutionContext,
    Out,
    Output,
    ResourceParam,
    in_process_executor,
    job,
    op,
)

from nhm_assets.automation.launchpad import FORM, choice, optional_text, prefilled, with_form
from nhm_assets.domain.ab_records import DAYS, MIN_SAMPLES, MODES, REPLAY, AbTest
from nhm_assets.domain.dagster_names import AB_TEST_JOB, IN_MEMORY
from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.outcomes import SPECIALIST_TAG
from nhm_assets.domain.partitions import Partition, parse_specialist
from nhm_assets.promotion.protocol import superseded_by
from nhm_assets.registry.ab_tests import AbRequest, newest_test, start_test, stop_test
from nhm_assets.registry.audit_log import AUDIT_LOG, who
from nhm_assets.registry.versions import version_by_alias, version_if_any, versions_in_production, window_end
from nhm_assets.registry.vocabulary import CANDIDATE_ALIAS, PARTITION_TAG, STAGING, UNSTAGED
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.served.ab_measure import measure_test
from nhm_assets.served.measure import first_line
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.mlflow import Mlflow
from resources.mongo import Mongo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.database import Database

AB_OP: Final = "change_ab_test"
START: Final = "start"
STOP: Final = "stop"
_LONGEST_DAYS: Final = 366
_MEANS: Final = {
    "mode": "replay: the challenger is asked about every plan that comes in. live: by the marks of"
    " ABTestingSpecialist, where it answers.",
    "split": "Share of plans of the champion.",
    "days": "After so many days it is over by itself.",
    "min_samples": "Reviewed plans without which there is no verdict.",
}
"""Descriptions of the fields that may be left out."""


def defaults_of(settings: Settings) -> dict[str, Any]:
    """What may be left out of a request, and what is taken for it."""
    return {"mode": REPLAY, "split": settings.ab_test_traffic_split, "days": DAYS, "min_samples": MIN_SAMPLES}


def fields_of(settings: Settings, specialists: Sequence[str]) -> dict[str, Field]:
    """What the launchpad asks for."""
    return {
        "specialist": choice("Specialist", specialists, "Whose versions are compared."),
        "action": choice("AbAction", (START, STOP), "start: a new test. stop: end the one that runs."),
        "challenger": optional_text(
            "Number of the version that is compared with the one in Production; to stop, it is not needed. Choose a"
            " partition above to fill in the newest candidate."
        ),
        **{
            name: Field(type(value), default_value=value, is_required=False, description=_MEANS[name])
            for name, value in defaults_of(settings).items()
        },
    }


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """The request, if it can be one.

    Raises:
        UsageError: a value is out of range, or the challenger is missing.
    """
    challenger = config["challenger"]
    if config["action"] == START and not (challenger and challenger.isdigit()):
        raise UsageError(f"challenger: {challenger!r} is no version: versions are numbers, such as 7")
    if config["mode"] not in MODES:
        raise UsageError(f"mode: {config['mode']!r} is neither {' nor '.join(MODES)}")
    if not 0 < config["split"] < 1:
        raise UsageError(f"split: {config['split']:g} is not between 0 and 1: it is the champion's share of the plans")
    if not 0 < config["days"] <= _LONGEST_DAYS:
        raise UsageError(f"days: {config['days']:g} is not between 0 and {_LONGEST_DAYS}")
    if config["min_samples"] < 1:
        raise UsageError(f"min_samples: {config['min_samples']} is not at least 1")
    return config


@op(
    out=Out(io_manager_key=IN_MEMORY),
    config_schema=FORM,
    description=(
        "Starts or stops an A/B test. While it runs, the challenger is the one version in Staging, and nothing is"
        " promoted: other candidates wait. A test that is over promotes nothing: the winner has to pass the gate."
    ),
)
@retry_transient_errors
def change_ab_test(
    context: OpExecutionContext,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Output[dict[str, Any]]:
    """Start or stop, under the same lock as a promotion."""
    asked = context.op_config
    specialist = parse_specialist(asked["specialist"])
    fields = {"specialist": str(specialist), "dagster_run_id": context.run_id, **who(context.run)}
    context.instance.add_run_tags(context.run_id, {SPECIALIST_TAG: str(specialist)})
    with mongo.database() as database, mlflow.client() as client:
        if asked["action"] == START:
            test, said = _start(client, database, settings, asked, fields)
        else:
            test, said = _stop(client, database, settings, specialist.registered_model, fields)
    context.log.info(said)
    return Output({"test": test.model_dump(mode="json"), "summary": said}, metadata={"summary": said})


def _start(
    client: "MlflowClient",
    database: "Database[dict[str, Any]]",
    settings: Settings,
    asked: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> tuple[AbTest, str]:
    """Start a test, or find the one that an earlier attempt or the same request has started."""
    now = settings.now()
    request = AbRequest(
        specialist=asked["specialist"],
        model=parse_specialist(asked["specialist"]).registered_model,
        challenger=asked["challenger"],
        mode=asked["mode"],
        split=asked["split"],
        seed=settings.ab_test_hash_seed,
        until=now + timedelta(days=asked["days"]),
        min_samples=asked["min_samples"],
        fields=fields,
    )
    test = start_test(client, database[AUDIT_LOG], request, now=now, wait_s=settings.promotion_wait_s)
    return test, f"{'started' if test.started_at == now else 'runs already'}: {test.sentence}"


def _stop(
    client: "MlflowClient",
    database: "Database[dict[str, Any]]",
    settings: Settings,
    model: str,
    fields: Mapping[str, Any],
) -> tuple[AbTest, str]:
    """End the newest test. Its verdict so far goes into the audit log, if it can be measured."""
    log, now = database[AUDIT_LOG], settings.now()
    verdict = _verdict(client, database, settings, newest_test(log, model))
    test = stop_test(client, log, model, {**fields, "reason": verdict}, now=now, wait_s=settings.promotion_wait_s)
    return test, f"over: {test.sentence}. {verdict} {_next_step(client, test)}"


def _verdict(
    client: "MlflowClient", database: "Database[dict[str, Any]]", settings: Settings, test: AbTest | None
) -> str:
    if test is None:
        return ""
    try:
        return measure_test(client, database, settings, test, settings.now()).verdict.sentence
    except Exception as error:  # noqa: BLE001 - a test can be stopped whatever its figures are
        return f"Its verdict was not measured: {first_line(error)}."


def _next_step(client: "MlflowClient", test: AbTest) -> str:
    """How the challenger can still be promoted: by the gate alone."""
    version = version_if_any(client, test.model, test.challenger)
    if version is None:
        return f"Nothing was promoted, and version {test.challenger} does not exist any more."
    if version.current_stage not in (STAGING, UNSTAGED):
        return f"Version {test.challenger} is in stage {version.current_stage} now."
    end, champion = window_end(version), next(iter(versions_in_production(client, test.model)), None)
    if end and (older := superseded_by(champion, end)):
        return f"Nothing was promoted, and version {test.challenger} cannot be: {older}."
    partition = Partition.named(version.tags.get(PARTITION_TAG, ""))
    week = f" --week {partition.week}" if partition else ""
    return (
        f"Nothing was promoted: to let the gate decide about version {test.challenger}, run `nhm retrain --specialist"
        f" {test.specialist}{week}`."
    )


def _newest_candidate(client: "MlflowClient", model: str) -> dict[str, Any]:
    return {"challenger": version_by_alias(client, model, CANDIDATE_ALIAS)}


def ab_test_job(settings: Settings, specialists: Sequence[str]) -> JobDefinition:
    """The job `ab_test`.

    Its partitions are the specialists: whoever chooses one in the launchpad gets a form with its newest candidate.
    """
    form = with_form(change_ab_test, AB_OP, fields_of(settings, specialists), checked)

    @job(
        name=AB_TEST_JOB,
        hooks={tag_broken_run},
        executor_def=in_process_executor,
        config=prefilled(settings, specialists, AB_OP, _newest_candidate, {"action": START, **defaults_of(settings)}),
        tags={"dagster/retry_on_asset_or_op_failure": "false"},
        description=(
            "Starts or stops an A/B test of one specialist: a candidate against the version in Production, on the plans"
            " that come in. In the launchpad, choose the specialist as partition. The asset served_quality shows what"
            " the test says."
        ),
    )
    def ab_test() -> None:
        form()

    return ab_test
