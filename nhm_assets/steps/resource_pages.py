"""Resources as Dagster's UI shows them: with the name of their class and a description, and without their values."""

from typing import Any

from dagster import InitResourceContext, IOManagerDefinition, ResourceDefinition


def shown(value: object, description: str, kind: type | None = None) -> ResourceDefinition:
    """A resource without Dagster configuration, which Dagster would show and store: addresses contain passwords.

    The UI shows the name of its class, or that of `kind`, and the description.
    """
    return ResourceDefinition(_named(value, kind or type(value)), description=description)


def shown_storage(manager: Any, description: str) -> IOManagerDefinition:
    """The same for an I/O manager."""
    return IOManagerDefinition(_named(manager, type(manager)), description=description)


def _named(value: object, kind: type) -> Any:
    """A function that returns the value, under the name of this class."""

    def resource(_: InitResourceContext) -> object:
        return value

    resource.__name__ = resource.__qualname__ = kind.__name__
    resource.__module__ = kind.__module__
    return resource
