"""An old MLflow server that clusters still run: 2.9.2, in an environment of its own.

`make test-mlflow2` creates that environment and runs this module with the client 2.22. Once the environment is there,
`make test` runs this module with the client 3.x.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from nhm_assets.registry.champions import champions
from resources.mlflow import Mlflow
from tests.registry.test_champions import each_by_itself, filled, plain, put
from tests.support.documents import WEEK, reviewed_opinions
from tests.support.documents import put as put_documents
from tests.support.nhm import nhm
from tests.support.platform import Platform, verdicts
from tests.support.registry_questions import answers, fill, moves, questions
from tests.support.servers import mlflow_server

pytestmark = [pytest.mark.servers]

OLD_CLIENT = mlflow.__version__.startswith("2.")


@pytest.fixture(scope="module")
def old_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = Path(os.environ.get("NHM_TEST_MLFLOW29_PYTHON", ".venv-mlflow-server-2.9/bin/python")).absolute()
    if not python.exists():
        pytest.skip("the server's environment is missing: `make test-mlflow2` creates it")
    with mlflow_server(tmp_path_factory.mktemp("server"), program=python.with_name("mlflow")) as address:
        yield address


@pytest.mark.skipif(not OLD_CLIENT, reason="the main path needs the client 2.22: see the Makefile's test-mlflow2")
def test_the_client_2_22_trains_and_promotes_on_a_server_2_9(platform: Platform, old_server: str):
    opinions, reviews = reviewed_opinions(500)
    put_documents(platform.database, opinions=opinions, feedback=reviews)
    served = platform.with_settings(mlflow_tracking_uri=old_server)
    result = served.retrain()
    assert result.success
    assert served.tags(result)["nhm/outcome"] == "promoted", verdicts(result)
    again = served.with_settings(force_retrain=True).retrain()
    assert again.asset_value("promoted_version").previous_version == "1"
    assert verdicts(again)["registry_consistent"]
    assert again.asset_value("evaluation_report").candidate == result.asset_value("evaluation_report").candidate


@pytest.mark.skipif(not OLD_CLIENT, reason="a client 3.x is refused")
def test_the_reader_of_a_server_2_9_answers_as_mlflows_client_does(tmp_path: Path, old_server: str):
    server = Mlflow(uri=old_server, home=tmp_path, timeout_s=60)
    with server.client() as client, server.reading() as reader:
        # The client does not see a model in the list of this server.
        asked = {text: ask for text, ask in questions(fill(client)).items() if "models" not in text}
        assert answers(reader, asked) == answers(client, asked)
        assert moves(client) == []
        audited: dict[str, str | None] = {filled(client, f"{number}-evaluator"): "3" for number in range(2)}
        put(client, "1-evaluator", "1")
        audited["0-evaluator"] = None
        expected = each_by_itself(client, audited)
        assert expected["1-evaluator"]["numbers"] == ("3", "1")
        for by in (client, reader):
            assert {model: plain(one) for model, one in champions(by, audited).items()} == expected


@pytest.mark.skipif(OLD_CLIENT, reason="only a client 3.x is refused")
def test_a_client_3_is_refused_at_once_in_one_line(tmp_path: Path, old_server: str, mongod_uri: str):
    done = nhm(*("retrain", "--week", WEEK), nhm_home=tmp_path, mongodb_uri=mongod_uri, mlflow_tracking_uri=old_server)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "MLflow client" in line]
    assert mlflow.__version__ in line
    assert "2.9.2" in line
    assert "use client 3.x with server 3.x" in line
