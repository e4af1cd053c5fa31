"""Reads SPECIALISTS_FILE: a YAML list of specialists, each with a name and optionally with names of its own."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import Specialist

_Limit = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]


class _Thresholds(BaseModel):
    """The thresholds of one specialist, as fractions; those that are left out are those of the settings."""

    model_config = ConfigDict(extra="forbid")

    precision: _Limit | None = None
    recall: _Limit | None = None
    f1: _Limit | None = None


_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"


class _Entry(BaseModel):
    """One specialist as the file has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,38}$")
    model: str | None = Field(None, pattern=r"^[^\s/:'\"][^/:'\"\r\n]*$", max_length=250)
    experiment: str | None = Field(None, pattern=r"^\S[^\r\n]*$", max_length=250)
    deployment: str | None = Field(None, pattern=rf"^{_LABEL}(\.{_LABEL})*$", max_length=253)
    namespace: str | None = Field(None, pattern=rf"^{_LABEL}$")
    family: str | None = Field(None, pattern=r"^[a-z][a-z_]*$")
    thresholds: _Thresholds = _Thresholds()

    @property
    def specialist(self) -> Specialist:
        """The specialist that it describes."""
        return Specialist(
            self.name,
            model=self.model,
            experiment=self.experiment,
            deployment=self.deployment,
            namespace=self.namespace,
            family=self.family,
            thresholds=self.thresholds.model_dump(exclude_none=True),
        )


_WORDS: Final = {
    "name": "1 to 39 characters: a lower-case letter, then lower-case letters, digits and hyphens",
    "model": "a name without slashes, colons and quotes",
    "experiment": "a name in one line",
    "deployment": "the name of a Deployment",
    "namespace": "the name of a namespace",
    "family": "a value that MODEL_FAMILY takes",
    "thresholds": "a map of precision, recall and f1",
    "thresholds.precision": "a number from 0 to 1",
    "thresholds.recall": "a number from 0 to 1",
    "thresholds.f1": "a number from 0 to 1",
}
"""Key -> what its value must be."""


def read_specialists(path: Path) -> tuple[Specialist, ...]:
    """The specialists of a file.

    Raises:
        UsageError: the file cannot be read, or an entry cannot be used. The message names file and entry.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unusable(path, f"it cannot be read ({error.strerror}). Check the path, and who may read it") from None
    except UnicodeDecodeError:
        raise _unusable(path, "it is not UTF-8. Save it as UTF-8") from None
    return specialists_in(text, path)


def specialists_in(text: str, path: Path) -> tuple[Specialist, ...]:
    """The specialists of a file with this text.

    Raises:
        UsageError: an entry cannot be used. The message names file and entry.
    """
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise _unusable(path, f"it is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, list) or not content:
        raise _unusable(path, "it must be a YAML list with at least one entry, such as `- name: technical`")
    faults = []
    found = []
    for number, entry in enumerate(content, start=1):
        try:
            found.append(_Entry.model_validate(entry).specialist)
        except ValidationError as error:
            faults.append(f"entry {number}{_named(entry)}: {'; '.join(_reasons(error))}")
    faults += _twice(found)
    if faults:
        more = f". There are {len(faults) - 5} more faults" if len(faults) > 5 else ""
        raise _unusable(path, f"{'. '.join(faults[:5])}{more}")
    return tuple(found)


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError(f"SPECIALISTS_FILE {path}: {why}")


def _named(entry: object) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return f" ({str(name)[:60]})" if name is not None else ""


def _reasons(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        key = ".".join(map(str, fault["loc"]))
        if not key:
            yield "it must be a map with a name, such as `name: technical`"
        elif fault["type"] == "missing":
            yield f"{key} is missing: give {_WORDS[key]}"
        elif fault["type"] == "extra_forbidden":
            yield _unknown(key)
        else:
            yield f"{key} is {repr(fault['input'])[:60]}, but must be {_WORDS[key]}"


def _unknown(key: str) -> str:
    within, _, name = key.rpartition(".")
    known = list(_Thresholds.model_fields if within else _Entry.model_fields)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Known keys: {', '.join(known)}"
    return f"unknown key {key}. {hint}"


_UNIQUE: Final[dict[str, Callable[[Specialist], str | None]]] = {
    "name": str,
    "model": lambda specialist: specialist.registered_model,
    "experiment": lambda specialist: specialist.experiment,
    "deployment": lambda specialist: (
        f"{specialist.deployment}{f' in {specialist.namespace}' if specialist.namespace else ''}"
        if specialist.deployment
        else None
    ),
}


def _twice(found: Sequence[Specialist]) -> Iterator[str]:
    """What belongs to two specialists, of which one would overwrite what is the other's."""
    for key, value_of in _UNIQUE.items():
        owners: dict[str, str] = {}
        for specialist in found:
            value = value_of(specialist)
            if value is None:
                continue
            if value in owners and key == "name":
                yield f"two specialists have the name {value}: give each its own"
            elif value in owners and owners[value] != specialist:
                yield f"{owners[value]} and {specialist} have the same {key}, {value}: give each its own"
            owners[value] = specialist


# The one in C takes a quarter of the time, where PyYAML has it.
_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_FastLoader):
    """Refuses a key that is given twice, of which YAML would take the last."""


def _map_of_unique_keys(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key, (key_node, _) in zip(keys, node.value, strict=True):
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key} is given twice", key_node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _map_of_unique_keys)
