"""Joins feedback with opinions, plans and features: batch by batch, while the next batches are read."""

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.text import is_string, is_unreadable
from nhm_assets.feedback.features import COMPUTED_FEATURES, InvalidPlan, compute_features, has_unreadable_text
from nhm_assets.feedback.mongo_batches import batches
from nhm_assets.feedback.opinion_scores import scores_of
from nhm_assets.feedback.packed_texts import packed
from nhm_assets.feedback.plan_columns import features_of_plans
from nhm_assets.feedback.raw_plans import RawPlan
from nhm_assets.feedback.read_ahead import Read, ReadAhead
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.rules import Feedback, Reason, Rejection
from nhm_assets.feedback.stored_features import needs_ours, parse_stored

if TYPE_CHECKING:
    import pyarrow as pa

_SCORES = 3


class ComputedFeatures(Mapping[str, dict[str, float]]):
    """Plan id -> the features computed here. A column of an array takes a tenth of the memory of a dict.

    Args:
        plan_ids: the plans of these opinions.
        numbers: of the opinions whose plans count; of several opinions on one plan the first.
        values: the features of each opinion's plan; 26 x opinions.
    """

    def __init__(self, plan_ids: "pa.LargeStringArray", numbers: np.ndarray, values: np.ndarray) -> None:
        self._plan_ids = plan_ids
        self._numbers = numbers
        self._values = values

    @cached_property
    def _row_of(self) -> dict[str, int]:
        row_of: dict[str, int] = {}
        for plan_id, number in zip(self._plan_ids.to_pylist(), self._numbers.tolist(), strict=True):
            row_of.setdefault(plan_id, number)
        return row_of

    def __getitem__(self, plan_id: str) -> dict[str, float]:
        values = self._values[: len(COMPUTED_FEATURES), self._row_of[plan_id]]
        return dict(zip(COMPUTED_FEATURES, values.tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self._row_of)

    def __len__(self) -> int:
        return len(self._row_of)


class Join:
    """The opinions of some feedback, numbered in the order of the feedback, with plan and features of each.

    Attributes:
        number: opinion id -> its place in all that follows.
        plan_ids: the plan of each opinion; empty for one with a fault.
        scores: what each opinion says of its plan; opinions x 3.
        values: the features of each opinion's plan; 26 x opinions, as a frame and a file hold them.
        from_stored: whether the features of each opinion's plan were stored.
        faults: why an opinion can have no row, by its number.
    """

    def __init__(self, reader: Reader, accepted: Sequence[Feedback]) -> None:
        self._reader = reader
        self._accepted = accepted
        count = len({one.opinion_id for one in accepted})
        self.number: dict[str, int] = {}
        self.plan_ids = [""] * count
        self.scores = np.full((count, _SCORES), math.nan)
        self.values = np.full((len(FEATURE_NAMES), count), math.nan)
        self.from_stored = np.zeros(count, "bool")
        self.faults: dict[int, Reason] = {}
        self._added: list[list[int]] = []

    def run(self, ahead: ReadAhead) -> None:
        """Read and join everything."""
        ahead.run(self._batches())

    def outcomes(self) -> tuple[list[Feedback], list[Rejection]]:
        """The feedback that can become a row, and the rest."""
        joined, rejected = [], []
        for one in self._accepted:
            if reason := self.faults.get(self.number[one.opinion_id]):
                rejected.append(Rejection(one.document_id, reason))
            else:
                joined.append(one)
        return joined, rejected

    def computed(self) -> ComputedFeatures:
        """The features computed here, for plans that have no stored ones."""
        numbers = np.array(list(chain.from_iterable(self._added)), dtype="int64")
        return ComputedFeatures(packed(self.plan_ids[number] for number in numbers), numbers, self.values)

    def _batches(self) -> Iterator[Generator[Read, Any, None]]:
        for batch in batches(self._accepted):
            plan_of_feedback = {one.opinion_id: one.plan_id for one in batch if one.opinion_id not in self.number}
            for opinion_id in plan_of_feedback:
                self.number[opinion_id] = len(self.number)
            # Batches end in any order, but count in this one.
            added: list[int] = []
            self._added.append(added)
            yield self._look_up(plan_of_feedback, added)

    def _look_up(self, plan_of_feedback: Mapping[str, str | None], added: list[int]) -> Generator[Read, Any, None]:
        """Fill in the opinions of one batch.

        Features are asked for first, by the plan that the feedback names, so that each opinion is fetched once: with
        its plan only if that has no features. Where an opinion names another plan, its features are asked for next.
        """
        stored = yield from self._stored(filter(None, plan_of_feedback.values()))
        others = [name for name, plan_id in plan_of_feedback.items() if not (plan_id and stored[plan_id].values)]
        plain = list(plan_of_feedback.keys() - set(others))
        opinions = yield partial(self._reader.opinions, sorted(plain), others)
        self._take_opinions(plan_of_feedback, opinions)
        usable = [name for name in opinions if self.number[name] not in self.faults]
        if unknown := [plan_id for name in usable if (plan_id := self._plan_id(name)) not in stored]:
            stored |= yield from self._stored(unknown)
        missing = self._take_stored(usable, stored)
        if missing:
            yield from self._compute_missing(missing, opinions, set(others))
            computed = (self.number[name] for name in sorted(missing) if stored[self._plan_id(name)].needs_ours)
            added += (number for number in computed if number not in self.faults)

    def _stored(self, plan_ids: Iterable[str]) -> Generator[Read, Any, dict[str, "_Stored"]]:
        """What is stored of each of these plans."""
        asked = dict.fromkeys(plan_ids)
        found = yield partial(self._reader.stored_features, asked)
        documents = ((plan_id, found.get(plan_id)) for plan_id in asked)
        return {plan_id: _Stored(needs_ours(one), parse_stored(one)) for plan_id, one in documents}

    def _take_stored(self, names: Iterable[str], stored: Mapping[str, "_Stored"]) -> list[str]:
        """Take the stored features of these opinions' plans, and return the opinions whose plan has none."""
        numbers, rows, missing = [], [], []
        for name in names:
            values = stored[self._plan_id(name)].values
            if values is None:
                missing.append(name)
            else:
                numbers.append(self.number[name])
                rows.append(values)
        if rows:
            self.values[:, numbers] = np.array(rows, dtype="float64").T
            self.from_stored[numbers] = True
        return missing

    def _plan_id(self, opinion_id: str) -> str:
        return self.plan_ids[self.number[opinion_id]]

    def _take_opinions(
        self, plan_of_feedback: Mapping[str, str | None], opinions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        numbers, scores = [], []
        for name, plan_of_its_feedback in plan_of_feedback.items():
            number = self.number[name]
            opinion = opinions.get(name)
            if opinion is None:
                self.faults[number] = Reason.UNKNOWN_OPINION
                continue
            numbers.append(number)
            scores.append(scores_of(opinion))
            plan_id = opinion.get("plan_id")
            if plan_id == plan_of_its_feedback or not is_string(plan_id):
                plan_id = plan_of_its_feedback
            if is_unreadable(plan_id):
                self.faults[number] = Reason.UNREADABLE_DOCUMENT
            else:
                # If neither opinion nor feedback names a plan, the opinion has a plan of its own.
                self.plan_ids[number] = plan_id or name
        if numbers:
            self.scores[numbers] = scores

    def _compute_missing(
        self, names: Sequence[str], opinions: Mapping[str, Mapping[str, Any]], with_plan: Set[str]
    ) -> Generator[Read, Any, None]:
        """Compute the features of these opinions' plans: each one's own, else the ledger's.

        Only a map with a list of tasks counts as a plan.
        """
        own = {name: opinions[name].get("cognitive_plan") for name in names}
        if unread := [name for name in names if name not in with_plan]:
            own |= yield partial(self._reader.opinion_plans, unread)
        if without := self._compute(own):
            ledger = yield partial(self._reader.ledger_plans, dict.fromkeys(map(self._plan_id, without)))
            for name in self._compute({name: ledger.get(self._plan_id(name)) for name in without}):
                self.faults[self.number[name]] = Reason.MISSING_PLAN

    def _compute(self, plans: Mapping[str, Any]) -> list[str]:
        """Compute the features of these opinions' plans, and return the opinions that have none here."""
        raw = {name: plan for name, plan in plans.items() if isinstance(plan, RawPlan)}
        plans = {**plans, **self._compute_together(raw)}
        without = []
        for name, plan in plans.items():
            if isinstance(plan, RawPlan):
                continue
            if not isinstance(plan, Mapping) or not isinstance(plan.get("tasks"), list):
                without.append(name)
            elif has_unreadable_text(plan):
                self.faults[self.number[name]] = Reason.UNREADABLE_DOCUMENT
            else:
                try:
                    features = compute_features(plan)
                except InvalidPlan:
                    self.faults[self.number[name]] = Reason.INVALID_PLAN
                    continue
                self.values[: len(features), self.number[name]] = tuple(features.values())
        return without

    def _compute_together(self, raw: Mapping[str, RawPlan]) -> dict[str, Any]:
        """Compute the features of these plans of one answer, and return those that need a closer look, decoded."""
        if not raw:
            return {}
        answers = next(iter(raw.values())).answers
        values, odd = features_of_plans(answers, np.array([plan.start for plan in raw.values()]))
        numbers = np.array([self.number[name] for name in raw])
        self.values[: len(COMPUTED_FEATURES), numbers[~odd]] = values[~odd].T
        return {name: plan.decoded() for (name, plan), is_odd in zip(raw.items(), odd, strict=True) if is_odd}


class _Stored(NamedTuple):
    """The stored features of a plan: whether to write ours, and the 26 values if they are complete."""

    needs_ours: bool
    values: tuple[float, ...] | None
