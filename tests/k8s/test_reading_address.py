"""The component mlflow-read-only before servers that are not the platform's own."""

from pathlib import Path

import pytest
import requests

from tests.support import nginx
from tests.support.notified import self_signed
from tests.support.web import website


@pytest.mark.skipif(not nginx.is_installed(), reason="nginx is not installed: apt-get install nginx")
def test_a_server_behind_https_is_asked_by_its_name(tmp_path: Path):
    """An ingress with many names refuses the connection otherwise, or answers with another site."""
    with website({"/version": (200, "3.17.2")}, certificate=self_signed(tmp_path / "server.pem")) as mlflow:
        address = mlflow.address.replace("127.0.0.1", "localhost")
        with nginx.read_only(address, tmp_path / "door") as door:
            assert requests.get(f"{door}/version", timeout=10).text == "3.17.2"
    assert mlflow.names == ["localhost"]
