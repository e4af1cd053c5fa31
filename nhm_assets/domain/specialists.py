"""The five specialists and what each is called outside."""

from enum import StrEnum


class Specialist(StrEnum):
    """One of the services that judge cognitive plans."""

    TECHNICAL = "technical"
    BUSINESS = "business"
    BEHAVIOR = "behavior"
    EVOLUTION = "evolution"
    ARCHITECTURE = "architecture"

    @property
    def registered_model(self) -> str:
        """Name of its model in the MLflow registry."""
        return f"{self}-evaluator"

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment that its training runs stand in."""
        return f"{self}-specialist"


SPECIALISTS = tuple(str(specialist) for specialist in Specialist)
