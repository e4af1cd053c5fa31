"""The lines of a run: every one names its run, in the form of LOG_FORMAT, and none shows a secret."""

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    DagsterInstance,
    Definitions,
    OpExecutionContext,
    Output,
    asset,
    define_asset_job,
    job,
    multi_asset_check,
    op,
)

from nhm_assets.domain.dagster_internals import replace_console_logger
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.runs.log_lines import console_logger, formatter, name_version, show_lines, use_log_format
from nhm_assets.runs.log_secrets import Mask
from nhm_assets.settings import Settings
from tests.support.dagster_internals import InstigationLogger, instigation_logger
from tests.support.platform import QUIET
from tests.support.processes import ROOT

URI = "mongodb://reader:pa55%2Fword@db.example:27017/?authSource=admin"
TAGS = {
    "dagster/partition": "technical|2026-03-01",
    "dagster/partition/specialist": "technical",
    "dagster/partition/week": "2026-03-01",
}
SETTINGS = Settings(
    log_format="json",
    mongodb_uri=URI,
    mlflow_tracking_uri="http://nhm:s3cret-word@mlflow:5000",
    notify_urls="json://hooks.example/T0KEN",
)


@op
def trains(context: OpExecutionContext) -> None:
    context.log.info("The training begins")
    name_version("7")
    logging.getLogger("mlflow.tracking").info("Successfully registered model")
    logging.getLogger("urllib3.connectionpool").info("nobody reads this")
    warnings.warn("a library warns", UserWarning, stacklevel=1)
    try:
        raise ConnectionError(f"no answer from {URI}")
    except ConnectionError:
        logging.getLogger("nhm_assets.rollout").exception("%s is down (pa55/word, http://hooks.example)", URI)


@op
def breaks(context: OpExecutionContext) -> None:
    raise ValueError(f"cannot reach {URI}")


@job(name=JOB)
def training_job() -> None:
    trains()


@job(name=JOB)
def broken_job() -> None:
    breaks()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a process sets once."""
    from dagster import colored_console_logger

    loggers = ["mlflow", "alembic", "sqlalchemy.engine", "huey", "nhm_assets", "resources", "sensors"]
    before = {name: (one.handlers, one.level, one.propagate) for name in loggers if (one := logging.getLogger(name))}
    root, shown, console = list(logging.getLogger().handlers), warnings.showwarning, colored_console_logger.logger_fn
    of_ticks = instigation_logger.create_console_logger
    yield
    for name, (handlers, level, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    logging.getLogger().handlers, warnings.showwarning = root, shown
    replace_console_logger(console)
    instigation_logger.create_console_logger = of_ticks


def lines_of(of: Any, settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """Id of the run, and what it prints."""
    replace_console_logger(lambda context: console_logger(context, settings))
    with DagsterInstance.ephemeral() as instance:
        done = of.execute_in_process(instance=instance, tags=TAGS, raise_on_error=False)
    return done.run_id, capsys.readouterr().err.splitlines()


def test_every_line_of_a_run_is_json_and_names_it_whichever_library_wrote_it(capsys: pytest.CaptureFixture[str]):
    run_id, printed = lines_of(training_job, SETTINGS, capsys)
    lines = [json.loads(line) for line in printed]
    for line in lines:
        assert (line["run_id"], line["specialist"], line["week"]) == (run_id, "technical", "2026-03-01"), line
        assert line.keys() >= {"timestamp", "level", "event", "logger"}
    events = [line["event"] for line in lines]
    assert "The training begins" in events, "without the names that are in fields of their own"
    by_logger = {line["logger"]: line for line in lines}
    assert {"dagster", "mlflow.tracking", "nhm_assets.rollout", "py.warnings"} == by_logger.keys()
    assert by_logger["py.warnings"]["event"] == "UserWarning: a library warns"
    assert "ConnectionError" in by_logger["nhm_assets.rollout"]["exception"]
    begin = events.index("The training begins")
    assert lines[begin]["step"] == "trains"
    assert {line.get("version") for line in lines[: begin + 1]} == {None}
    assert {line.get("version") for line in lines[begin + 1 :]} == {"7"}


def test_the_next_run_of_a_process_does_not_have_the_version_of_the_one_before(capsys: pytest.CaptureFixture[str]):
    name_version("7")
    run_id, printed = lines_of(broken_job, SETTINGS, capsys)
    lines = [json.loads(line) for line in printed]
    assert {line["run_id"] for line in lines} == {run_id}
    assert not any("version" in line for line in lines)
    failed = next(line for line in lines if line.get("dagster_event") == "STEP_FAILURE")
    assert (failed["level"], failed["step"]) == ("error", "breaks")
    assert "ValueError: cannot reach" in failed["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("of", [training_job, broken_job], ids=["in messages", "in errors"])
def test_no_line_shows_a_secret(of: Any, form: str, capsys: pytest.CaptureFixture[str]):
    _, printed = lines_of(of, SETTINGS.model_copy(update={"log_format": form}), capsys)
    assert "db.example" in "".join(printed)
    for secret in ("pa55", "s3cret-word", "T0KEN"):
        assert secret not in "".join(printed)


def test_text_for_people_names_the_run_too(capsys: pytest.CaptureFixture[str]):
    run_id, printed = lines_of(training_job, SETTINGS.model_copy(update={"log_format": "console"}), capsys)
    (line,) = [line for line in printed if "The training begins" in line]
    assert "[info     ] The training begins" in line
    assert line.endswith(f"run_id={run_id} specialist=technical step=trains week=2026-03-01")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://store/x?X-Amz-Signature=abc&v=1", "GET https://store/x?X-Amz-Signature=***&v=1"),
        ("set MLFLOW_TRACKING_TOKEN=abcdef, then", "set MLFLOW_TRACKING_TOKEN=***, then"),
        ("http://u:p@host/x failed", "http://u:***@host/x failed"),
        ("the bare s3cret-word", "the bare ***"),
        ("sent to json://hooks.example/T0KEN", "sent to ***"),
        ("mail ada@example.org about http://host:5000/x", "mail ada@example.org about http://host:5000/x"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, shown: str):
    assert Mask.of(SETTINGS).hidden(text) == shown


def test_lines_of_dagsters_own_programs_are_printed_once_and_have_the_form(capsys: pytest.CaptureFixture[str]):
    """`dagster api grpc` gives the logger `dagster` a handler before it loads our code."""
    logger, handler = logging.getLogger("dagster"), logging.StreamHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        show_lines(SETTINGS)
        logger.getChild("code_server").info("Started Dagster code server")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert json.loads(capsys.readouterr().err)["logger"] == "dagster.code_server"


def test_a_line_of_a_sensor_or_schedule_has_the_form_and_shows_no_secret(capsys: pytest.CaptureFixture[str]):
    use_log_format(SETTINGS)
    with InstigationLogger(repository_name="__repository__", instigator_name="a_sensor") as log:
        log.warning("no answer from %s", URI)
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line.keys() == {"timestamp", "level", "event", "logger"}
    assert (line["level"], line["logger"]) == ("warning", "dagster")
    assert line["event"].startswith("a_sensor: no answer from mongodb://")
    assert "pa55" not in line["event"]


@pytest.mark.parametrize("made", [False, True])
def test_dagster_warns_of_checks_without_a_verdict_only_if_the_next_step_proceeds(
    made: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
):
    use_log_format(Settings())

    @asset(output_required=False)
    def model() -> Iterator[Output[int]]:
        if made:
            yield Output(1)

    @multi_asset_check(specs=[AssetCheckSpec("loads", asset="model", blocking=True)], can_subset=True)
    def model_checks(model: int) -> Iterator[AssetCheckResult]:
        yield from ()

    @asset
    def report(model: int) -> int:
        return model

    location = Definitions([model, report], asset_checks=[model_checks], jobs=[define_asset_job("all")])
    with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
        result = location.resolve_job_def("all").execute_in_process(instance=instance, run_config=QUIET)
    assert bool([event for event in result.all_events if event.is_step_success and event.step_key == "report"]) == made
    warned = [record for record in caplog.records if "will proceed without gating" in record.getMessage()]
    assert len(warned) == made


def test_a_line_without_a_run_has_no_fields_of_one():
    name_version("7")
    record = logging.LogRecord("nhm_assets", logging.WARNING, "x.py", 1, "MongoDB is %s", ("down",), None)
    lines_of_no_run = json.loads(formatter(SETTINGS).format(record))
    assert lines_of_no_run["event"] == "MongoDB is down"
    assert "run_id" not in lines_of_no_run


def test_the_mlflow_server_of_the_manifests_prints_as_nhm_dev_lets_it_print():
    ours = (ROOT / "nhm_assets/templates/mlflow-logs.json").read_text()
    assert (ROOT / "k8s/components/mlflow/mlflow-logs.json").read_text() == ours
