"""The specialists of this process, and what goes by their names: five, unless SPECIALISTS_FILE names others."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self


class Specialist(str):
    """One of the services that give opinions on cognitive plans: its name, and what belongs to it.

    It is the name itself wherever a name is written: in keys, tags, queries and paths. Two of the same name are equal.

    Attributes:
        registered_model: name of its model in the MLflow registry.
        experiment: name of the MLflow experiment with its training runs.
        deployment: name of its Deployment; None for that of SPECIALIST_DEPLOYMENT.
        namespace: namespace of that Deployment; None for that of SPECIALIST_NAMESPACE.
        family: how its models learn; None for MODEL_FAMILY.
        thresholds: those of precision, recall and f1 that are its own. For the others, the settings apply.
    """

    registered_model: str
    experiment: str
    deployment: str | None
    namespace: str | None
    family: str | None
    thresholds: Mapping[str, float]

    def __new__(
        cls,
        name: str,
        *,
        model: str | None = None,
        experiment: str | None = None,
        deployment: str | None = None,
        namespace: str | None = None,
        family: str | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> Self:
        """A specialist; what is not given follows from its name or from the settings."""
        self = super().__new__(cls, name)
        self.registered_model = model or f"{name}-evaluator"
        self.experiment = experiment or f"{name}-specialist"
        self.deployment, self.namespace, self.family = deployment, namespace, family
        # A plain map, so that it can be handed to other processes.
        self.thresholds = dict(thresholds or {})
        return self


FIVE: Final = tuple(map(Specialist, ("technical", "business", "behavior", "evolution", "architecture")))
"""The specialists where SPECIALISTS_FILE names no others."""

_configured: Mapping[str, Specialist] = MappingProxyType({})


def configure(specialists: Sequence[Specialist]) -> None:
    """Say which specialists there are in this process. `Settings.load` does so; nobody else needs to."""
    global _configured  # noqa: PLW0603 - one process has one configuration, as it has one environment
    _configured = MappingProxyType({str(specialist): specialist for specialist in specialists})


configure(FIVE)


def all_specialists() -> tuple[Specialist, ...]:
    """The specialists of this process, in the order of their configuration."""
    return tuple(_configured.values())


def configured_specialist(name: str) -> Specialist | None:
    """The specialist with this name; None if the configuration has none, or no longer."""
    return _configured.get(name)


def recorded_specialist(name: str) -> Specialist:
    """The specialist that a record names. One that was taken out of the configuration keeps its history."""
    return _configured.get(name) or Specialist(name)


def specialist_of(model: str) -> str:
    """The specialist whose registered model this is; for a model of none, its name without the usual ending."""
    owners = (specialist for specialist in _configured.values() if specialist.registered_model == model)
    return next(owners, None) or model.removesuffix("-evaluator")
