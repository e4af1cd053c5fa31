"""The settings of a process, from its environment, and what follows from them.

No other module reads the environment. A value that cannot be used stops the program at start; the error names the
variable. Secrets are `SecretStr`: wherever they are printed, they show as asterisks.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings.exceptions import SettingsError

from nhm_assets.configuration.fields import SettingFields
from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.foreign_settings import warnings_about, warnings_about_mistyped
from nhm_assets.domain.idle_checks import Remark, Thresholds, remarks_on, remarks_on_own
from nhm_assets.domain.outcomes import outcomes_named
from nhm_assets.domain.selection import LlmRules, Selection
from nhm_assets.domain.setting_faults import but_is, faults_in
from nhm_assets.domain.specialists import FIVE, Specialist, all_specialists, configure, recorded_specialist
from nhm_assets.estimators.families import AUTO, FAMILIES
from resources.addresses import ARTIFACTS, artifacts_address

_OF_MLFLOWS_LIBRARY = re.compile(
    r"MLFLOW_(TRACKING_(USERNAME|PASSWORD|TOKEN|AUTH|AWS_SIGV4|INSECURE_TLS|\w+_CERT_PATH)|WORKSPACE|ENABLE_WORKSPACES)"
)
"""Variables by which MLflow's own library logs in to a server, trusts it, or chooses a workspace there."""
_LOGIN_OF_MLFLOWS_LIBRARY = Path(".mlflow", "credentials")
"""Its file in the user's folder."""

_RUNS_BY_HAND = 5
"""`nhm retrain` and the Kubernetes Job run beside the queue, and the Job's specialists come one after another."""

_MANY_SPECIALISTS = 10
"""From so many on, two may restart at once: the same share as one of five."""


class Settings(SettingFields):
    """The settings of one process."""

    @classmethod
    def load(cls, **aliases: str) -> Self:
        """The settings from the environment of this process, which also say which specialists it knows.

        Args:
            aliases: setting -> another variable that gives its value where its own is not set.

        Raises:
            UsageError: a value or SPECIALISTS_FILE is invalid, or values contradict each other. The message names
                variables and reasons.
        """
        _warn_of_foreign_settings()
        given: dict[str, Any] = {
            setting: os.environ[other]
            for setting, other in aliases.items()
            if not os.environ.get(setting.upper()) and os.environ.get(other)
        }
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise cls.unusable(error) from None
        except SettingsError as error:
            # The message contains the field's name in quotation marks, and nothing else of use.
            field = str(error).partition('"')[2].partition('"')[0]
            value = but_is(os.environ.get(field.upper(), ""))
            raise UsageError(f"invalid setting: {field.upper()}: must be valid JSON{value}") from None
        configure(_specialists_in(settings.specialists_file))
        if contradictions := list(settings._contradictions()):
            raise UsageError(f"settings contradict each other: {'; '.join(contradictions)}")
        for remark in settings.remarks:
            # Nobody chose the defaults, so what they leave idle alarms nobody. `nhm settings` and `nhm status` name it.
            _say_once(logging.WARNING if settings._chosen(remark) else logging.INFO, remark.sentence)
        return settings

    @classmethod
    def unusable(cls, error: ValidationError) -> UsageError:
        """The error that names the variables and what their values must be. It shows no secret."""
        types = {name: field.annotation for name, field in cls.model_fields.items()}
        secret = [name for name, kind in types.items() if SecretStr in (kind, *get_args(kind))]
        return UsageError(f"invalid setting: {faults_in(error, secret)}")

    @property
    def remarks(self) -> list[Remark]:
        """Settings under which a check can never fail or never pass."""
        limits = Thresholds(**{one.name: getattr(self, one.name) for one in fields(Thresholds)})
        return [*remarks_on(limits), *remarks_on_own(limits, all_specialists())]

    def _chosen(self, remark: Remark) -> bool:
        """Whether any of its settings differs from the default."""
        return any(getattr(self, name) != type(self).model_fields[name].default for name in remark.settings)

    def _contradictions(self) -> Iterator[str]:
        if self.in_production and self.nhm_now:
            yield "NHM_NOW replaces the clock, which ENVIRONMENT=production does not allow: remove NHM_NOW"
        if self.in_production and self.llm_dataset_dir and not self.allow_llm_data:
            yield (
                "LLM_DATASET_DIR adds rows that a language model made, which ENVIRONMENT=production does not allow:"
                " unset it, or set ALLOW_LLM_DATA=true"
            )
        try:
            self.storage  # noqa: B018 - raises if there is no such place
        except ValueError as error:
            yield f"NHM_STORAGE {self.nhm_storage}: {error}"
        for specialist in all_specialists():
            if specialist.family and specialist.family not in (*FAMILIES, AUTO):
                yield f"SPECIALISTS_FILE gives {specialist} {_unknown_family(specialist.family)}"
        yield from self._shared_deployments()
        longest_s = self.rollout_timeout_s * self.rollouts_in_a_row
        if longest_s > self.max_run_seconds:
            yield (
                f"{self.rollouts_in_a_row} rollouts, one after another, may take ROLLOUT_TIMEOUT_S"
                f" ({self.rollout_timeout_s:g}) each, so {longest_s:g} s, and MAX_RUN_SECONDS ({self.max_run_seconds})"
                " ends the run before: raise it or lower ROLLOUT_TIMEOUT_S"
            )

    def _shared_deployments(self) -> Iterator[str]:
        """What SPECIALISTS_FILE gives to two specialists, one of them perhaps by default: each would restart both."""
        owners: dict[tuple[str, str], Specialist] = {}
        for specialist in all_specialists():
            namespace, name = self.deployment_of(specialist)
            owner = owners.setdefault((namespace, name), specialist)
            if owner != specialist and (owner.deployment or specialist.deployment):
                yield (
                    f"{owner} and {specialist} have the same Deployment, {name} in namespace {namespace}: give each its"
                    " own in SPECIALISTS_FILE"
                )

    def deployment_of(self, specialist: Specialist) -> tuple[str, str]:
        """Namespace and name of a specialist's Deployment: its own, or those of the settings."""
        by_name = self.specialist_deployment.replace("{specialist}", specialist)
        return specialist.namespace or self.specialist_namespace, specialist.deployment or by_name

    def family_of(self, specialist: str) -> str:
        """How the models of a specialist learn: its own family, or the settings'."""
        return recorded_specialist(specialist).family or self.model_family

    def thresholds_of(self, specialist: str) -> dict[str, float]:
        """What precision, recall and F1 of its candidates must reach: its own thresholds, or the settings'."""
        common = {"precision": self.precision_threshold, "recall": self.recall_threshold, "f1": self.f1_threshold}
        return common | dict(recorded_specialist(specialist).thresholds)

    @property
    def volume_threshold(self) -> int:
        """The amount of new feedback on a specialist that starts a run before the week ends."""
        return self.increment_threshold if self.increment else self.retraining_feedback_threshold

    @property
    def rollouts_at_once(self) -> int:
        """How many runs can wait for each other's rollout: those of the queue, and some that people started."""
        return min(len(all_specialists()), self.max_concurrent_runs + _RUNS_BY_HAND)

    @property
    def rollout_slots(self) -> int:
        """How many specialists may restart at once: ROLLOUT_PARALLEL; if it is unset, one, and of ten or more two.

        Two are enough: a slow rollout keeps one slot, and all others pass through the second.
        """
        return self.rollout_parallel or (2 if len(all_specialists()) >= _MANY_SPECIALISTS else 1)

    @property
    def rollouts_in_a_row(self) -> int:
        """How many of them come one after another, if all slots are used."""
        return -(-self.rollouts_at_once // self.rollout_slots)

    @property
    def storage(self) -> str:
        """Folder or fsspec address of datasets and records."""
        if self.nhm_storage and self.nhm_storage.startswith(ARTIFACTS):
            server = self.mlflow_tracking_uri
            return artifacts_address(self.nhm_storage, server.get_secret_value() if server else None)
        return self.nhm_storage or str(self.nhm_home / "storage")

    @property
    def mlflow_library_is_configured(self) -> bool:
        """Whether MLflow's own library is told how to enter a server, by more than its address."""
        is_told = any(value and _OF_MLFLOWS_LIBRARY.fullmatch(name) for name, value in os.environ.items())
        return is_told or (Path.home() / _LOGIN_OF_MLFLOWS_LIBRARY).exists()

    @property
    def dagster_folder(self) -> Path:
        """Dagster's instance folder."""
        return self.dagster_home or self.nhm_home / "dagster"

    @property
    def in_production(self) -> bool:
        """Whether this is the production deployment."""
        return self.environment == "production"

    @property
    def synthetic_fallback(self) -> bool:
        """Whether synthetic rows may be added to a dataset that is too small."""
        if self.allow_synthetic_fallback == "auto":
            return not self.in_production
        return self.allow_synthetic_fallback == "true"

    @property
    def scripted_prefixes(self) -> tuple[str, ...]:
        """Beginnings of ids of feedback that scripts made."""
        return tuple(filter(None, (prefix.strip() for prefix in self.scripted_feedback_prefixes.split(","))))

    @property
    def selection(self) -> Selection:
        """Which valid feedback is left out of datasets and does not count as new."""
        return Selection(self.min_feedback_rating, self.scripted_prefixes, self.include_scripted_feedback)

    @property
    def llm_rules(self) -> LlmRules | None:
        """Which rows that a language model made are added to datasets; None for none."""
        if self.llm_dataset_dir is None:
            return None
        return LlmRules(self.llm_dataset_dir, self.llm_max_share, self.llm_conditional)

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners of the assets."""
        return tuple(filter(None, (owner.strip() for owner in self.asset_owners.split(","))))

    @property
    def notified_outcomes(self) -> frozenset[str]:
        """The outcomes that are handed to the notifiers."""
        return outcomes_named(self.notify_outcomes)

    def now(self) -> datetime:
        """The current time in UTC, or `NHM_NOW` if it is set."""
        return self.nhm_now or datetime.now(UTC)


def _unknown_family(name: str) -> str:
    return f"the unknown family {name}; choose from {', '.join((*FAMILIES, AUTO))}"


def _specialists_in(path: Path | None) -> tuple[Specialist, ...]:
    if path is None:
        return FIVE
    # Needs a YAML parser, and most installations have no such file.
    from nhm_assets.domain.specialists_file import read_specialists

    return read_specialists(path)


@cache
def _warn_of_foreign_settings() -> None:
    """Warn once per process: nobody would notice that a setting has no effect."""
    own = [name.upper() for name in Settings.model_fields]
    for warning in (*warnings_about(os.environ), *warnings_about_mistyped(os.environ, own)):
        logging.getLogger(__name__).warning("%s", warning)


@cache
def _say_once(level: int, sentence: str) -> None:
    """Log a sentence once per process."""
    logging.getLogger(__name__).log(level, "%s", sentence)


def set_library_environment(settings: Settings, *, dagster_home: Path | None = None) -> None:
    """Set the variables that Dagster reads from the environment only.

    Args:
        settings: of this process.
        dagster_home: another name of the folder of its instance.
    """
    os.environ["DAGSTER_HOME"] = str(dagster_home or settings.dagster_folder)
    os.environ["MAX_CONCURRENT_RUNS"] = str(settings.max_concurrent_runs)


def image_of_this_pod() -> str | None:
    """The image of this process's pod; None outside of Kubernetes, or where an older copy of an overlay names none."""
    return os.environ.get("DAGSTER_CURRENT_IMAGE") or None


def inherited_environment() -> dict[str, str]:
    """The environment for programs that we start."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
