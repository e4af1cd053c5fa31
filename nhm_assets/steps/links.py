"""Links from Dagster's UI to what its ids stand for: MLflow, the code, the runbook, the audit log."""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote

from dagster import MetadataValue

from nhm_assets.settings import Settings
from resources.addresses import split_credentials

# MLflow 3 opens in another view otherwise.
_VIEW: Final = "?workflowType=machine_learning"
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|])")
"""What Markdown would take for markup."""
_RUNBOOK: Final = "docs/runbook.md"


@dataclass(frozen=True)
class Links:
    """Addresses that a browser can open; None where there is none.

    Attributes:
        mlflow: of MLflow's UI.
        code: of the repository's files.
        dagster: of Dagster's UI.
        plans: of a plan, with `{plan_id}` in it.
    """

    mlflow: str | None
    code: str | None
    dagster: str
    plans: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Links by MLFLOW_UI_URL, else MLFLOW_TRACKING_URI if it is a server; by CODE_URL, DAGSTER_URL and PLAN_URL."""
        mlflow, tracking = settings.mlflow_ui_url, settings.mlflow_tracking_uri
        if mlflow is None and tracking and tracking.get_secret_value().startswith(("http://", "https://")):
            mlflow = split_credentials(tracking.get_secret_value())[0]
        dagster = settings.dagster_url.rstrip("/")
        return cls(_bare(mlflow), _bare(settings.code_url), dagster, settings.plan_url or None)

    def plan(self, plan_id: str) -> str:
        """A plan as Markdown: a link if there is an address, else its id."""
        return _link(as_text(plan_id), self.plans and self.plans.replace("{plan_id}", quote(plan_id, safe="")))

    def mlflow_run(self, run_id: str) -> str | None:
        """A run in MLflow."""
        return self.mlflow and f"{self.mlflow}/#/runs/{quote(run_id)}{_VIEW}"

    def model(self, name: str) -> str | None:
        """A registered model in MLflow."""
        return self.mlflow and f"{self.mlflow}/#/models/{quote(name)}{_VIEW}"

    def version(self, model: str, number: str) -> str | None:
        """A version of a registered model in MLflow."""
        return self.mlflow and f"{self.mlflow}/#/models/{quote(model)}/versions/{quote(number)}{_VIEW}"

    def file(self, path: str) -> str | None:
        """A file of the repository."""
        return self.code and f"{self.code}/{quote(path)}"

    @property
    def runbook(self) -> str | None:
        """What to do if a run broke."""
        return self.file(_RUNBOOK)

    def dagster_run(self, run_id: str) -> str:
        """A run in Dagster."""
        return f"{self.dagster}/runs/{quote(run_id)}"

    def about_version(
        self, specialist: str, model: str, number: str, mlflow_run: str | None, *, audit_id: str | None = None
    ) -> MetadataValue:
        """One line with everything about a version: model, version, run, the audit log and the runbook.

        With `audit_id` it names that entry of the audit log, else all entries about the version.
        """
        parts = [
            _link(model, self.model(model)),
            _link(f"version {number}", self.version(model, number)),
            *([_link("MLflow run", self.mlflow_run(mlflow_run))] if mlflow_run and self.mlflow else []),
            f"`nhm audit {audit_id}`" if audit_id else f"`nhm audit {specialist} --version {number}`",
            f"`nhm lineage {specialist} --version {number}`",
            *([_link("runbook", self.runbook)] if self.runbook else []),
        ]
        return MetadataValue.md(" · ".join(parts))


def as_text(words: str) -> str:
    """Foreign text for Markdown, of which nothing becomes markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))


def _link(words: str, address: str | None) -> str:
    return f"[{words}]({address})" if address else words


def _bare(address: str | None) -> str | None:
    return address.rstrip("/") if address else None
