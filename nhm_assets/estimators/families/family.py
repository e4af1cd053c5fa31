"""What a family of models is: an estimator of scikit-learn, its parameters, and how it learns."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

if TYPE_CHECKING:
    from nhm_assets.estimators.families.examples import Examples

FAMILY: Final = "family"
"""Among a model's parameters: the name of its family."""
LLM_WEIGHT: Final = "llm_weight"
"""Among a model's parameters, if it learned rows of a language model: how much such a row counted, against 1."""
SEED: Final = 42


class Trial(Protocol):
    """What a search asks for the next value of a parameter: a trial of Optuna."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """An integer, both ends included."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number, both ends included."""


class Family(ABC):
    """One way to learn. Its models hold classes of scikit-learn and numpy alone: pods have nothing else.

    Attributes:
        name: as settings and parameters name it.
        complexity: how much there is to understand in a model of it, as a rank: of two equally good ones, the search
            takes the lower.
        defaults: the parameters of a model without a search.
        ensemble: whether its models have members of other families.
    """

    name: ClassVar[str]
    complexity: ClassVar[int]
    defaults: Mapping[str, Any]
    ensemble: ClassVar[bool] = False

    @abstractmethod
    def search_space(self, trial: Trial) -> dict[str, Any]:
        """The next values of the parameters that can be searched for; the others keep their defaults."""

    @abstractmethod
    def build(self, parameters: Mapping[str, Any], threads: int) -> Any:
        """An estimator that has learned nothing yet; it fits with so many threads, if it can.

        It accepts missing values. Where the classes of scikit-learn do not, the family is an `Imputed`.
        Their number never changes the model.
        """

    def fit(self, estimator: Any, examples: "Examples") -> Any:
        """The estimator after it has learned the examples, made for serving: it asks for one thread alone."""
        estimator.fit(examples.features, examples.class_numbers, sample_weight=examples.weights)
        estimator.classes_ = examples.served_classes
        # Serving pods have small CPU limits and predict one row at a time.
        return estimator.set_params(n_jobs=1)

    def members(self, estimator: Any) -> dict[str, Any]:  # noqa: ARG002 - most families have none
        """The fitted members of an ensemble, by the name of their family; empty for a single model."""
        return {}

    def weights(self, parameters: Mapping[str, Any]) -> dict[str, float]:  # noqa: ARG002 - most have none
        """The share of each member in the answer, in all 1; empty where there are no such shares."""
        return {}
