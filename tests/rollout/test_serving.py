"""What a pod's answer to `/status` proves."""

import json
from typing import Any

import pytest

from nhm_assets.rollout.serving import Answer, Expected, PodVerdict, Serving, judge_answer, parse_boolean, pods_table
from tests.support.specialists import status

EXPECTED = Expected("technical", "6", "run-6")


def judged(answer: Any, expected: Expected = EXPECTED) -> PodVerdict:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return judge_answer("pod-1", Answer(200, body), expected)


@pytest.mark.parametrize("value", [True, "True", "true", " TRUE ", 1, "1", "yes"])
def test_true_is_understood_in_any_spelling(value: Any):
    assert parse_boolean(value) is True
    assert judged(status(model_loaded=value, mlflow_connected=value)).loaded


@pytest.mark.parametrize("value", [False, "False", "false", 0, "0", "no"])
def test_false_is_understood_in_any_spelling(value: Any):
    assert parse_boolean(value) is False
    for name in ("model_loaded", "mlflow_connected"):
        assert judged(status(**{name: value})).faults[0].startswith(name)


@pytest.mark.parametrize("value", [None, "", "maybe", 2, [], ["true"], {"true": True}, 1.5])
def test_any_other_value_is_neither_true_nor_false(value: Any):
    assert parse_boolean(value) is None
    assert not judged(status(model_loaded=value)).loaded


def test_a_pod_that_does_not_report_its_version_is_loaded_but_unproven():
    verdict = judged(status())
    assert (verdict.loaded, verdict.proven, verdict.version) == (True, False, None)


@pytest.mark.parametrize("details", [{"model_version": "6"}, {"model_version": 6}, {"model_run_id": "run-6"}])
def test_a_pod_that_names_the_version_or_its_run_is_proven(details: dict[str, Any]):
    verdict = judged(status(**details))
    assert (verdict.loaded, verdict.proven) == (True, True)


@pytest.mark.parametrize(
    "details",
    [
        {"model_version": "5"},
        {"model_run_id": "run-5"},
        {"model_version": "6", "model_run_id": "run-5"},
    ],
)
def test_a_pod_that_names_another_version_or_run_is_not_loaded(details: dict[str, Any]):
    verdict = judged(status(**details))
    assert (verdict.loaded, verdict.proven, verdict.denied) == (False, False, True)
    assert "5 loaded" in verdict.faults[0]


@pytest.mark.parametrize("version", ["", "unknown", None])
def test_an_empty_or_unknown_version_counts_as_not_reported(version: str | None):
    verdict = judged(status(model_version=version))
    assert (verdict.loaded, verdict.proven) == (True, False)


def test_without_an_expected_version_nothing_is_compared():
    verdict = judged(status(model_version="5"), Expected("technical", None, None))
    assert (verdict.loaded, verdict.proven) == (True, False)


@pytest.mark.parametrize("value", ["NOT_SERVING", "serving", "", None, 1])
def test_every_status_but_serving_is_a_fault(value: Any):
    assert "not SERVING" in judged(status(status=value)).faults[0]


def test_an_answer_as_another_specialist_is_a_fault():
    assert "answers as business" in judged(status(specialist_type="business")).faults[0]


def test_the_faults_repeat_why_a_pod_is_degraded():
    verdict = judged(status(mlflow_connected="False", degraded_reasons=["MLflow is away", "no ledger"]))
    assert verdict.faults == ("mlflow_connected is False", "degraded: MLflow is away; no ledger")
    assert judged(status(degraded_reasons=["no ledger"])).loaded


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON: nothing"),
        (b"<html>Bad Gateway</html>", "not JSON: <html>"),
        (b'{"status": "SERVING", "details": {', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"null", "no `details`"),
        (b"[]", "no `details`"),
        (b'{"status": "SERVING"}', "no `details`"),
        (b'{"status": "SERVING", "details": "fine"}', "no `details`"),
    ],
)
def test_an_answer_of_another_shape_is_a_fault_that_quotes_it(body: bytes, reason: str):
    verdict = judged(body)
    assert reason in verdict.faults[0]
    assert len(verdict.faults[0]) < 200
    assert (verdict.loaded, verdict.denied) == (False, False)


def test_http_errors_and_silence_are_faults_but_no_denial():
    for answer in (Answer(503, b"starting"), Answer(fault="it did not answer")):
        verdict = judge_answer("pod-1", answer, EXPECTED)
        assert (verdict.loaded, verdict.denied) == (False, False)
    assert "HTTP 503: starting" in judge_answer("pod-1", Answer(503, b"starting"), EXPECTED).faults[0]


@pytest.mark.parametrize(
    "details",
    [
        {"model_loaded": False},
        {"model_loaded": "False", "status": "NOT_SERVING"},
        {"model_loaded": False, "ledger_connected": False, "status": "NOT_SERVING"},
        {"model_loaded": False, "mlflow_connected": None},
        {"model_version": "5"},
        {"model_run_id": "run-5", "status": "NOT_SERVING"},
    ],
)
def test_a_pod_that_reached_mlflow_and_lacks_the_version_denies_it(details: dict[str, Any]):
    verdict = judged(status(**details))
    assert (verdict.loaded, verdict.lacks_version, verdict.denied) == (False, True, True)
    assert verdict.summary.startswith("not loaded: ")


@pytest.mark.parametrize(
    ("details", "lacks_version"),
    [
        ({"mlflow_connected": False}, False),
        ({"mlflow_connected": False, "model_loaded": False}, True),
        ({"mlflow_connected": "False", "model_version": "5"}, True),
        ({"ledger_connected": False, "status": "NOT_SERVING"}, False),
        ({"ledger_connected": False, "status": "DEGRADED"}, False),
        ({"status": "NOT_SERVING"}, False),
        ({"status": "STARTING"}, False),
        ({"status": "starting", "model_loaded": False}, True),
        ({"status": "INITIALIZING", "model_loaded": False}, True),
        ({"model_loaded": None}, False),
        ({"model_loaded": "perhaps"}, False),
        ({"specialist_type": "business", "model_loaded": False}, True),
    ],
)
def test_a_pod_that_could_load_no_version_does_not_speak_against_this_one(
    details: dict[str, Any], *, lacks_version: bool
):
    """The version before would not serve either: the pod is still starting, cut off, or another service."""
    verdict = judged(status(**details))
    assert (verdict.loaded, verdict.lacks_version, verdict.denied) == (False, lacks_version, False)
    assert verdict.summary.startswith("not clear: ")
    assert Serving(EXPECTED, (verdict,)).reason.startswith("1 of 1 pods do not make clear whether they serve version 6")


def test_a_pod_without_its_ledger_has_the_model_loaded():
    assert judged(status(ledger_connected=False)).loaded


GOOD = PodVerdict("pod-1", model_loaded=True, mlflow_connected=True, status="SERVING", version="6", proven=True)
SILENT = PodVerdict("pod-2", model_loaded=True, mlflow_connected=True, status="SERVING")
BAD = PodVerdict("pod-3", model_loaded=False, faults=("model_loaded is False",), denied=True)


@pytest.mark.parametrize(
    ("pods", "loaded", "proven", "reason"),
    [
        ((GOOD, GOOD), True, True, "2 of 2 pods serve version 6"),
        ((GOOD, SILENT), True, False, "unproven"),
        ((GOOD, SILENT, BAD), False, False, "1 of 3 pods do not serve version 6: pod-3: model_loaded is False"),
        ((), False, False, "there is no pod"),
    ],
)
def test_a_specialist_serves_only_if_all_of_its_pods_do(
    pods: tuple[PodVerdict, ...], *, loaded: bool, proven: bool, reason: str
):
    serving = Serving(EXPECTED, pods)
    assert (serving.loaded, serving.proven) == (loaded, proven)
    assert reason in serving.reason


def test_the_table_has_a_row_per_pod_and_escapes_what_pods_report():
    odd = PodVerdict("pod-4", status="a|b", faults=("it answered <b>|</b>",))
    lines = pods_table(Serving(EXPECTED, (GOOD, SILENT, odd))).splitlines()
    assert lines[2] == "| pod-1 | True | True | SERVING | 6 | loaded |"
    assert lines[3] == "| pod-2 | True | True | SERVING | not reported | loaded, unproven |"
    assert lines[4] == "| pod-4 | ? | ? | a\\|b | not reported | cannot be asked: it answered &lt;b>\\|&lt;/b> |"
