"""A specialist's client loads the promoted version through a real MLflow server.

The client runs in an environment of its own (tests/environments/serving.txt); `make test` creates it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from tests.support.documents import put, reviewed_opinions
from tests.support.platform import Platform, verdicts
from tests.support.servers import mlflow_server

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

ROWS = 7
LOAD_AND_PREDICT = """
import json, sys, mlflow, pandas, sklearn
address, model, names, rows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
mlflow.set_tracking_uri(address)
frame = pandas.DataFrame([[0.1 * row] * len(names) for row in range(rows)], columns=names)
loaded = mlflow.pyfunc.load_model(f"models:/{model}/Production")
probabilities = loaded.predict(frame)
versions = {"mlflow": mlflow.__version__, "sklearn": sklearn.__version__}
print(json.dumps(versions | {"probabilities": probabilities.tolist()}))
"""


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
    ("specialist", "absent"),
    [("technical", None), ("business", "reject"), ("evolution", "review_required")],
)
def test_a_promoted_version_returns_three_probabilities_per_row(
    platform: Platform, server: str, serving_python: Path, specialist: str, absent: str | None
):
    kept = [label for label in ("approve", "reject", "review_required") if label != absent]
    opinions, reviews = reviewed_opinions(500, specialist=specialist, recommendations=kept)
    put(platform.database, opinions=opinions, feedback=reviews)
    served = platform.with_settings(mlflow_tracking_uri=server)
    result = served.retrain(specialist)
    assert served.tags(result)["nhm/outcome"] == "promoted", verdicts(result)

    response = predict(serving_python, server, f"{specialist}-evaluator")
    assert (response["mlflow"], response["sklearn"]) == ("2.19.0", "1.5.2")
    assert [len(row) for row in response["probabilities"]] == [3] * ROWS
    assert all(abs(sum(row) - 1) < 1e-9 for row in response["probabilities"])
    if absent:
        column = ["reject", "approve", "review_required"].index(absent)
        assert {row[column] for row in response["probabilities"]} == {0.0}


def predict(python: Path, address: str, model: str) -> dict:
    """Load the version in Production with this Python, and return its predictions and library versions."""
    arguments = [address, model, json.dumps(FEATURE_NAMES), str(ROWS)]
    command = [str(python), "-W", "ignore", "-c", LOAD_AND_PREDICT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
