"""A specialist's client loads the promoted version through a real MLflow server, and reads it by the specialists' rule.

The client runs in an environment of its own (tests/environments/serving.txt); `make test` creates it.
"""

import json
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dagster import AssetKey

from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, FEATURE_NAMES, REJECT, TEST
from tests.support import reading_client
from tests.support.documents import put, reviewed_opinions
from tests.support.platform import Platform, verdicts
from tests.support.servers import mlflow_server

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

ORDERS = {"names": ["approve", "reject", "review_required"], "codes": ["reject", "approve", "review_required"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def serving_python() -> Path:
    """The Python of a specialist's environment."""
    python = Path(os.environ.get("NHM_TEST_SERVING_PYTHON", ".venv-serving/bin/python"))
    if not python.exists():
        pytest.skip(
            "the serving environment is missing: `make test` creates it, NHM_TEST_SERVING_PYTHON names its Python"
        )
    return python


@pytest.mark.parametrize(
    ("specialist", "absent", "served"),
    [
        ("technical", None, "names"),
        ("business", "reject", "names"),
        ("evolution", "review_required", "names"),
        ("behavior", None, "codes"),
    ],
)
def test_plans_that_people_approved_get_more_confidence_and_less_risk(
    platform: Platform, server: str, serving_python: Path, specialist: str, absent: str | None, served: str
):
    """In the order of the numbers, the same rule gave a good plan the confidence .01 and the risk .92."""
    kept = [label for label in CLASS_NAMES if label != absent]
    opinions, reviews = reviewed_opinions(500, specialist=specialist, recommendations=kept)
    put(platform.database, opinions=opinions, feedback=reviews)
    hive = platform.with_settings(mlflow_tracking_uri=server, served_classes=served)
    result = hive.retrain(specialist)
    assert hive.tags(result)["nhm/outcome"] == "promoted", verdicts(result)

    frame = result.asset_value(AssetKey("feedback_dataset"))
    rows = frame[frame["split"] == TEST]
    response = opinions_of(serving_python, server, f"{specialist}-evaluator", rows)
    assert (response["mlflow"], response["sklearn"]) == ("2.19.0", "1.5.2")
    assert {tuple(opinion["shape"]) for opinion in response["opinions"]} == {(1, 3)}
    values = pd.DataFrame([opinion["values"] for opinion in response["opinions"]], columns=ORDERS[served])
    assert values.sum(axis=1).to_numpy() == pytest.approx(1)
    if absent:
        assert set(values[absent]) == {0.0}

    read = pd.DataFrame(response["opinions"], index=rows.index)
    if served == "codes":
        # The rule of readers that take index 1 for approve.
        read = read.rename(columns={"confidence": "risk", "risk": "confidence"})
    approved = rows["label"] == APPROVE
    others = rows["label"] == REJECT if absent != "reject" else ~approved
    assert read["confidence"][approved].mean() > read["confidence"][others].mean() + 0.3
    if absent != "reject":
        assert read["risk"][approved].mean() < read["risk"][others].mean() - 0.3


def opinions_of(python: Path, address: str, model: str, rows: pd.DataFrame) -> dict[str, Any]:
    """What a specialist with this Python makes of these plans, one at a time."""
    plans = [
        {name: None if math.isnan(value) else value for name, value in plan.items()}
        for plan in rows[list(FEATURE_NAMES)].to_dict("records")
    ]
    command = [str(python), "-P", "-W", "ignore", str(Path(reading_client.__file__)), address, model]
    done = subprocess.run(command, input=json.dumps(plans), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
