"""The five specialists, and the names of their models and experiments."""

from enum import StrEnum


class Specialist(StrEnum):
    """One of the services that give opinions on cognitive plans."""

    TECHNICAL = "technical"
    BUSINESS = "business"
    BEHAVIOR = "behavior"
    EVOLUTION = "evolution"
    ARCHITECTURE = "architecture"

    @property
    def registered_model(self) -> str:
        """Name of the specialist's model in the MLflow registry."""
        return f"{self}-evaluator"

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment with the specialist's training runs."""
        return f"{self}-specialist"


SPECIALISTS = tuple(str(specialist) for specialist in Specialist)
