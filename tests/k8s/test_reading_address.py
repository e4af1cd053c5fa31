"""The component mlflow-read-only before servers that are not the platform's own."""

from pathlib import Path

import pytest
import requests

from tests.support import nginx
from tests.support.notified import self_signed
from tests.support.web import website

pytestmark = pytest.mark.skipif(
    not nginx.is_installed(), reason="nginx is not installed: apt-get install nginx gettext-base"
)


def test_a_server_behind_https_is_asked_by_its_name_and_its_certificate_is_verified(tmp_path: Path):
    """An ingress with many names refuses the connection otherwise, or answers with another site."""
    authority = self_signed(tmp_path / "server.pem")
    with website({"/version": (200, "3.17.2")}, certificate=authority) as mlflow:
        address = mlflow.address.replace("127.0.0.1", "localhost")
        with nginx.read_only(address, tmp_path / "door", MLFLOW_TRACKING_SERVER_CERT_PATH=str(authority)) as door:
            assert requests.get(f"{door}/version", timeout=10).text == "3.17.2"
        assert mlflow.names == ["localhost"]
        with nginx.read_only(address, tmp_path / "wary") as door:
            assert requests.get(f"{door}/version", timeout=10).status_code == 502
        assert "certificate verify error" in (tmp_path / "wary" / "log").read_text()
        with nginx.read_only(address, tmp_path / "careless", MLFLOW_TRACKING_INSECURE_TLS="true") as door:
            assert requests.get(f"{door}/version", timeout=10).text == "3.17.2"


@pytest.mark.parametrize("path", ["", "/", "/mlflow", "/mlflow/", "/hive/mlflow"])
def test_a_path_of_the_server_comes_before_that_of_the_question(tmp_path: Path, path: str):
    asked = f"{path.rstrip('/')}/api/2.0/mlflow/experiments/search"
    with website({asked: (200, "{}")}) as mlflow, nginx.read_only(mlflow.address + path, tmp_path / "door") as door:
        search = requests.post(f"{door}/api/2.0/mlflow/experiments/search?max_results=1", timeout=10)
        assert (search.status_code, [one for one, _ in mlflow.asked]) == (200, [asked])
        assert requests.post(f"{door}/api/2.0/mlflow/registered-models/create", timeout=10).status_code == 403
