"""The reader of an MLflow server: by its REST API, which is the same from 2.9 to 3.x."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from resources.mlflow_errors import AWAY, DENIED, MlflowAnswer
from resources.mlflow_reader import (
    Page,
    ReadData,
    ReadExperiment,
    ReadInfo,
    ReadModel,
    ReadRun,
    ReadVersion,
    T,
    require_all,
)
from resources.mlflow_server import MlflowServer

if TYPE_CHECKING:
    from requests import Response, Session

HTTP_RETRIES: Final = 2
_PAUSE_S: Final = 0.5
"""Before the second retry; the first follows at once."""
_ALL: Final = "ALL"
"""The name of the view `ALL` in requests."""
_QUESTIONS: Final = ("GET", "POST")
"""Methods of what is asked again: nothing that is posted here changes anything."""


class RestReader:
    """Asks the server, on one connection.

    Its methods raise MlflowUnavailable or MlflowRefused if the server is away or refuses us, and MlflowAnswer if it
    has no such thing.
    """

    def __init__(self, server: MlflowServer) -> None:
        self._server = server

    def get_registered_model(self, name: str) -> ReadModel:
        """The model with this name."""
        return _model(self._ask("registered-models/get", name=name)["registered_model"])

    def search_registered_models(
        self, filter_string: str | None = None, max_results: int = 100, *, page_token: str | None = None
    ) -> Page[ReadModel]:
        """The models that a filter of MLflow lets through, by name."""
        how = {"filter": filter_string, "max_results": max_results, "page_token": page_token}
        answer = self._ask("registered-models/search", **how)
        return _page(answer, [_model(one) for one in answer.get("registered_models", ())])

    def get_model_version(self, name: str, version: str) -> ReadVersion:
        """The version of a model with this number."""
        return _version(self._ask("model-versions/get", name=name, version=version)["model_version"])

    def get_model_version_by_alias(self, name: str, alias: str) -> ReadVersion:
        """The version of a model that this alias names."""
        return _version(self._ask("registered-models/alias", name=name, alias=alias)["model_version"])

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = 1000,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Page[ReadVersion]:
        """The versions that a filter of MLflow lets through."""
        how = {"filter": filter_string, "max_results": max_results, "order_by": order_by, "page_token": page_token}
        answer = self._ask("model-versions/search", **how)
        return _page(answer, [_version(one) for one in answer.get("model_versions", ())])

    def get_run(self, run_id: str) -> ReadRun:
        """The run with this id, also a deleted one."""
        return _run(self._ask("runs/get", run_id=run_id)["run"])

    def search_experiments(
        self, view_type: int, max_results: int = 1000, *, page_token: str | None = None
    ) -> Page[ReadExperiment]:
        """The experiments."""
        require_all(view_type)
        how = {"view_type": _ALL, "max_results": max_results, "page_token": page_token}
        answer = self._ask("experiments/search", **how)
        return _page(answer, [ReadExperiment(one["experiment_id"]) for one in answer.get("experiments", ())])

    def search_runs(
        self, experiment_ids: list[str], filter_string: str, run_view_type: int, max_results: int = 1000
    ) -> Page[ReadRun]:
        """The runs of these experiments that a filter of MLflow lets through."""
        require_all(run_view_type)
        how = {"filter": filter_string, "run_view_type": _ALL, "max_results": max_results}
        answer = self._answer("POST", "runs/search", json={"experiment_ids": experiment_ids, **how})
        return _page(answer, [_run(one) for one in answer.get("runs", ())])

    def _ask(self, question: str, **parameters: Any) -> dict[str, Any]:
        return self._answer("GET", question, params=parameters)

    def _answer(self, method: str, question: str, **how: Any) -> dict[str, Any]:
        address = f"{self._server.address.rstrip('/')}/api/2.0/mlflow/{question}"
        timeout_s = self._server.timeout_s
        response = self._session.request(method, address, timeout=timeout_s, allow_redirects=False, **how)
        if response.ok and not response.is_redirect:
            answer: dict[str, Any] = response.json()
            return answer
        raise self._error(response)

    def _error(self, response: "Response") -> Exception:
        try:
            said = response.json()
        except ValueError:
            said = {}
        if response.status_code in (*AWAY, *DENIED) or not isinstance(said, dict) or "error_code" not in said:
            return self._server.answered(response.status_code, response.headers.get("Location"))
        return MlflowAnswer(said["error_code"], said.get("message", ""))

    @cached_property
    def _session(self) -> "Session":
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        session = requests.Session()
        retry = Retry(
            HTTP_RETRIES,
            backoff_factor=_PAUSE_S / 2,
            status_forcelist=AWAY,
            raise_on_status=False,
            allowed_methods=_QUESTIONS,
        )
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        for name, value in self._server.access().items():
            setattr(session, name, value)
        return session


def _page(answer: dict[str, Any], found: list[T]) -> Page[T]:
    page = Page(found)
    page.token = answer.get("next_page_token") or None
    return page


def _model(said: dict[str, Any]) -> ReadModel:
    aliases = {one["alias"]: str(one["version"]) for one in said.get("aliases", ())}
    versions = [_version(one) for one in said.get("latest_versions", ())]
    return ReadModel(said["name"], int(said.get("last_updated_timestamp") or 0), versions, aliases)


def _run(said: dict[str, Any]) -> ReadRun:
    metrics = {one["key"]: float(one["value"]) for one in said.get("data", {}).get("metrics", ())}
    return ReadRun(ReadInfo(said["info"]["run_id"]), ReadData(metrics))


def _version(said: dict[str, Any]) -> ReadVersion:
    return ReadVersion(
        said["name"],
        str(said["version"]),
        said.get("current_stage") or "None",
        said.get("run_id") or None,
        int(said.get("last_updated_timestamp") or 0),
        {one["key"]: one.get("value", "") for one in said.get("tags", ())},
    )
