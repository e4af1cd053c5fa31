"""Tokens and what they cost: counted, and never more than allowed."""

from dataclasses import dataclass
from typing import Final

from resources.language_models import Answer, Question

_MILLION: Final = 1_000_000
_OVERHEAD: Final = 1_000
"""Tokens of a question that are not in its texts: roles, and how the server words the schema."""


@dataclass(frozen=True)
class Prices:
    """US dollars per million tokens."""

    input: float
    output: float

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """In US dollars."""
        return (input_tokens * self.input + output_tokens * self.output) / _MILLION


@dataclass(frozen=True)
class Spent:
    """Tokens, and their cost in US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
        )


def most_of(question: Question, prices: Prices) -> Spent:
    """The most that a question can cost: a token is at least one byte."""
    asked = len(f"{question.system}{question.text}{question.schema}".encode()) + _OVERHEAD
    return Spent(asked, question.max_tokens, prices.cost(asked, question.max_tokens))


def spent_on(question: Question, answer: Answer, prices: Prices) -> Spent:
    """What an answer cost; the most that is possible, where the server does not count."""
    most = most_of(question, prices)
    asked = most.input_tokens if answer.input_tokens is None else answer.input_tokens
    answered = most.output_tokens if answer.output_tokens is None else answer.output_tokens
    return Spent(asked, answered, prices.cost(asked, answered))
