"""Types of settings: what a value must be, and how it is kept. An error says what it must be."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from nhm_assets.domain.first_week import checked_week
from nhm_assets.domain.outcomes import Outcome, outcomes_named
from nhm_assets.domain.setting_faults import TIME
from nhm_assets.estimators.families import AUTO, FAMILIES
from resources.addresses import ARTIFACTS
from resources.notifiers import notifiers_at

_OWNER: Final = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s:]+@[^@\s:]+\.[^@\s:]+")

_MISTYPED_ADDRESS: Final = re.compile(r"([A-Za-z][\w+.-]*)(:(?!//)|//)")
"""Begins an address that lacks a slash or the colon. A folder may be called so too, behind ./"""

_NUMBER: Final = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _storage_address(storage: str) -> str:
    """A relative folder must mean the same place in every process, whatever its working directory."""
    if storage.startswith(ARTIFACTS):
        return storage
    if mistyped := _MISTYPED_ADDRESS.match(storage):
        example = f"{mistyped[1]}://bucket/prefix"
        if example.startswith(ARTIFACTS):
            example = f"{ARTIFACTS}nhm"
        raise ValueError(f"must be a folder or an address such as {example}")
    if "://" not in storage:
        return str(_absolute(Path(storage)))
    # Addresses of files are shown, for example in Dagster's events.
    if "@" in storage:
        raise ValueError("must not contain a user and password: set them in the variables of the storage library")
    return storage


def _no_number(moment: Any) -> Any:
    """Pydantic reads a number, such as 20261122, as seconds since 1970."""
    if isinstance(moment, str) and _NUMBER.fullmatch(moment.strip()):
        raise ValueError(TIME)
    return moment


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _known_family(name: str) -> str:
    if name not in (*FAMILIES, AUTO):
        raise ValueError(f"must be one of {', '.join((*FAMILIES, AUTO))}")
    return name


def _owners_that_dagster_takes(named: str) -> str:
    owners = filter(None, (owner.strip() for owner in named.split(",")))
    if unusable := [owner for owner in owners if not _OWNER.fullmatch(owner)]:
        raise ValueError(f"{', '.join(unusable)} is neither a mail address nor team:NAME")
    return named


def _that_names_the_plan(address: str) -> str:
    if "{plan_id}" not in address:
        raise ValueError("must contain {plan_id}, where the id of the plan is put in")
    return address


def _for_browsers(address: str) -> str:
    """Links are shown to everybody."""
    if not address.startswith(("http://", "https://")) or "@" in address:
        raise ValueError("must begin with http:// or https://, and must not contain a user and password")
    return address


def _of_a_header(key: SecretStr | None) -> SecretStr | None:
    """A key from a file often ends with a line break."""
    plain = key.get_secret_value().strip() if key else ""
    if any(not "!" <= letter <= "~" for letter in plain):
        raise ValueError("must consist of printable ASCII characters without blanks")
    return SecretStr(plain) if plain else None


def _known_outcomes(named: str) -> str:
    unknown = outcomes_named(named) - set(Outcome)
    if unknown:
        raise ValueError(f"unknown outcome {', '.join(sorted(unknown))}; choose from {', '.join(Outcome)}")
    return named


def _known_receivers(urls: SecretStr | None) -> SecretStr | None:
    if urls is not None:
        notifiers_at(urls.get_secret_value(), timeout_s=1)
    return urls


Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Hours = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]

LocalPath = Annotated[Path, AfterValidator(_absolute)]
StorageAddress = Annotated[str, AfterValidator(_storage_address)]
Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_utc)]
Week = Annotated[str, AfterValidator(checked_week)]
FamilyName = Annotated[str, AfterValidator(_known_family)]
Owners = Annotated[str, AfterValidator(_owners_that_dagster_takes)]
BrowserAddress = Annotated[str, AfterValidator(_for_browsers)]
PlanAddress = Annotated[str, AfterValidator(_that_names_the_plan), AfterValidator(_for_browsers)]
OutcomeNames = Annotated[str, AfterValidator(_known_outcomes)]
# With None inside: the type of the field must be seen to be a secret.
HeaderKey = Annotated[SecretStr | None, AfterValidator(_of_a_header)]
Receivers = Annotated[SecretStr | None, AfterValidator(_known_receivers)]
