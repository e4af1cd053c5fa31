"""What all records share. Stored ones carry the version of their schema, and are upgraded when they are read."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from nhm_assets.domain.errors import DataError

SchemaVersion = Annotated[int, Field(ge=1, strict=True)]


class Record(BaseModel):
    """A frozen record. An unknown field is an error and is never dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def digest(self) -> str:
        """32 hex digits; two records have the same digest exactly when they are equal."""
        # Sorted, because a stored record may come back with its maps in another order.
        content = json.dumps(self._digested(), sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def _digested(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class StoredRecord(Record):
    """A record that later releases read.

    Whoever adds a field raises the default of `schema_version`, lists the field in `ADDED`, and stores a sample in
    `tests/data/records/`. If the field has no default, `upgraded` says what older records get.

    Attributes:
        ADDED: field -> the version that added it; the other fields are in every version.
        schema_version: the version that the record was made in; its default is the current one. An upgraded record
            keeps its version, and its digest leaves out the fields that were added later. So the digest stays the one
            under which its verdicts were recorded.
    """

    ADDED: ClassVar[Mapping[str, int]] = {}

    schema_version: SchemaVersion = 1

    @classmethod
    def current_version(cls) -> int:
        """The version of the records that this release makes."""
        return int(cls.model_fields["schema_version"].default)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """The record with this stored content, upgraded to the current schema.

        Raises:
            DataError: a newer release wrote it.
            ValidationError: it is no such record.
        """
        return super().model_validate(cls._current(obj) if isinstance(obj, dict) else obj, **options)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """As `model_validate`, for the content of a file."""
        content = from_json(json_data)
        return super().model_validate(cls._current(content) if isinstance(content, dict) else content, **options)

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG003 - for subclasses
        """The values of fields that some version added, for a record that lacks them."""
        return {}

    @classmethod
    def _current(cls, content: dict[str, Any]) -> dict[str, Any]:
        version = content.get("schema_version", cls._version_by_fields(content))
        if isinstance(version, int) and version > cls.current_version():
            raise DataError(
                f"a stored {cls.__name__} has schema version {version}, but this release reads versions up to"
                f" {cls.current_version()}: a newer release wrote it. Install that release, or materialize the asset"
                " again"
            )
        missing = {name: value for name, value in cls.upgraded(content).items() if _is_later(cls, name, version)}
        return missing | content | {"schema_version": version}

    @classmethod
    def _version_by_fields(cls, content: dict[str, Any]) -> int:
        """The version of a record from before versions were stored: that of its newest field."""
        return max((version for name, version in cls.ADDED.items() if name in content), default=1)

    def _digested(self) -> dict[str, Any]:
        later = {name for name in self.ADDED if _is_later(type(self), name, self.schema_version)}
        return self.model_dump(mode="json", exclude={"schema_version", *later})


def _is_later(kind: type[StoredRecord], field: str, version: object) -> bool:
    return isinstance(version, int) and kind.ADDED[field] > version
