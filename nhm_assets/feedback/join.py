"""Joins feedback with opinions, plans and features: batch by batch, while the next batches are read."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.text import is_unreadable
from nhm_assets.feedback.accepted import Accepted
from nhm_assets.feedback.batch_size import BatchSize
from nhm_assets.feedback.features import COMPUTED_FEATURES, InvalidPlan, compute_features, has_unreadable_text
from nhm_assets.feedback.opinion_columns import Opinions
from nhm_assets.feedback.packed_texts import packed
from nhm_assets.feedback.plan_columns import features_of_plans
from nhm_assets.feedback.raw_plans import RawPlan
from nhm_assets.feedback.read_ahead import ReadAhead, Steps
from nhm_assets.feedback.reader import Reader, Unread
from nhm_assets.feedback.rules import Reason, Rejection
from nhm_assets.feedback.stored_columns import StoredFeatures

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
_SCORES: Final = 3


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


@dataclass
class _Batch:
    """Opinions that are joined together.

    Attributes:
        place: among the batches.
        names: the ids of the opinions.
        number_of: opinion id -> its number.
        plan_of_feedback: the plan that the newest feedback on each names.
        received: bytes of the documents that were read for them.
    """

    place: int
    names: list[str]
    number_of: Mapping[str, int]
    plan_of_feedback: list[str | None]
    received: int = 0

    def read(self, unread: Unread[T]) -> T:
        """Read what MongoDB sent for these opinions, and count its bytes."""
        self.received += unread.size
        return unread.read()


class Join:
    """The opinions of some feedback, numbered in the order of the feedback, with plan and features of each.

    Attributes:
        scores: what each opinion says of its plan; opinions x 3.
        values: the features of each opinion's plan; 26 x opinions, as a frame and a file hold them.
        from_stored: whether the features of each opinion's plan were stored.
        faults: why an opinion can have no row, by its number.
    """

    def __init__(self, reader: Reader, accepted: Accepted) -> None:
        self._reader = reader
        self._accepted = accepted
        count = len(accepted.opinion_ids)
        self.scores = np.full((count, _SCORES), math.nan)
        self.values = np.full((len(FEATURE_NAMES), count), math.nan)
        self.from_stored = np.zeros(count, "bool")
        self.faults: dict[int, Reason] = {}
        self._plan_ids: list[pa.LargeStringArray] = []
        self._added: list[list[int]] = []
        self._size = BatchSize()

    def run(self, ahead: ReadAhead) -> None:
        """Read and join everything."""
        ahead.run(self._batches())

    @cached_property
    def plan_ids(self) -> "pa.LargeStringArray":
        """The plan of each opinion; empty for one with a fault."""
        import pyarrow as pa

        return pa.concat_arrays(self._plan_ids) if self._plan_ids else packed([])

    def is_usable(self) -> np.ndarray:
        """Which feedback can become a row."""
        is_faulty = np.zeros(len(self._accepted.opinion_ids), "bool")
        is_faulty[list(self.faults)] = True
        return ~is_faulty[self._accepted.opinions]

    def rejected(self) -> list[Rejection]:
        """The feedback that cannot."""
        opinions, feedback = self._accepted.opinions, self._accepted.feedback
        positions = np.flatnonzero(~self.is_usable()).tolist()
        return [Rejection(feedback.document_id(one), self.faults[int(opinions[one])]) for one in positions]

    def computed(self) -> ComputedFeatures:
        """The features computed here, for plans that have no stored ones."""
        numbers = np.array(list(chain.from_iterable(self._added)), dtype="int64")
        return ComputedFeatures(self.plan_ids.take(numbers), numbers, self.values)

    def _batches(self) -> Iterator[Steps]:
        accepted = self._accepted
        # Feedback is in the order of its times.
        newest = np.zeros(len(accepted.opinion_ids), "int64")
        np.maximum.at(newest, accepted.opinions, np.arange(len(accepted)))
        done = 0
        while done < len(newest):
            names = accepted.opinion_ids.slice(done, self._size.opinions).to_pylist()
            number_of = {name: done + place for place, name in enumerate(names)}
            plan_ids = accepted.feedback.plan_ids.take(newest[done : done + len(names)]).to_pylist()
            # Batches end in any order, but count in this one.
            batch = _Batch(len(self._added), names, number_of, plan_ids)
            self._added.append([])
            self._plan_ids.append(packed([]))
            done += len(names)
            yield self._look_up(batch)

    def _look_up(self, batch: _Batch) -> Steps:
        """Fill in the opinions of one batch.

        Features are asked for first, by the plan that the feedback names, so that each opinion is fetched once: with
        its plan only if that has no features. Where an opinion names another plan, its features are asked for next.
        """
        stored = StoredFeatures()
        yield from self._ask(batch, stored, [plan_id for plan_id in batch.plan_of_feedback if plan_id])
        named = [(name, plan_id) for name, plan_id in zip(batch.names, batch.plan_of_feedback, strict=True) if plan_id]
        is_complete = stored.is_complete[stored.rows(plan_id for _, plan_id in named)].tolist()
        plain = {name for (name, _), is_known in zip(named, is_complete, strict=True) if is_known}
        others = [name for name in batch.names if name not in plain]
        opinions = batch.read((yield partial(self._reader.scored_opinions, sorted(plain), others)))
        plan_of = self._take_opinions(batch, opinions)
        yield from self._ask(batch, stored, stored.unknown(plan_of.values()))
        missing = self._take_stored(batch, plan_of, stored)
        if missing:
            plans = {name: plan for one in opinions for name, plan in one.plans.items()}
            yield from self._compute_missing(batch, {name: plan_of[name] for name in missing}, plans)
            needs = stored.needs_ours[stored.rows(map(plan_of.__getitem__, missing))].tolist()
            numbers = [batch.number_of[name] for name, is_needed in zip(missing, needs, strict=True) if is_needed]
            self._added[batch.place] = [number for number in numbers if number not in self.faults]
        self._size.saw(len(batch.names), batch.received)

    def _ask(self, batch: _Batch, stored: StoredFeatures, plan_ids: Sequence[str]) -> Steps:
        """Add what is stored of these plans."""
        if asked := list(dict.fromkeys(plan_ids)):
            stored.add(asked, batch.read((yield partial(self._reader.stored_features, asked))))

    def _take_opinions(self, batch: _Batch, opinions: Sequence[Opinions]) -> dict[str, str]:
        """Take the scores of these opinions, and return the plan of each that can have a row."""
        named: dict[str, str | None] = {}
        for one in opinions:
            named |= one.plan_ids
            self.scores[[batch.number_of[name] for name in one.plan_ids]] = one.scores
        plan_of: dict[str, str] = {}
        for name, plan_of_its_feedback in zip(batch.names, batch.plan_of_feedback, strict=True):
            if name not in named:
                self.faults[batch.number_of[name]] = Reason.UNKNOWN_OPINION
                continue
            # If neither opinion nor feedback names a plan, the opinion has a plan of its own.
            plan_id = named[name] or plan_of_its_feedback or name
            if not plan_id.isascii() and is_unreadable(plan_id):
                self.faults[batch.number_of[name]] = Reason.UNREADABLE_DOCUMENT
            else:
                plan_of[name] = plan_id
        self._plan_ids[batch.place] = packed([plan_of.get(name, "") for name in batch.names])
        return plan_of

    def _take_stored(self, batch: _Batch, plan_of: Mapping[str, str], stored: StoredFeatures) -> list[str]:
        """Take the stored features of these opinions' plans, and return the opinions whose plan has none."""
        rows = stored.rows(plan_of.values())
        is_complete = stored.is_complete[rows]
        numbers = np.array([batch.number_of[name] for name in plan_of], "int64")[is_complete]
        self.values[:, numbers] = stored.values[rows[is_complete]].T
        self.from_stored[numbers] = True
        return [name for name, is_known in zip(plan_of, is_complete.tolist(), strict=True) if not is_known]

    def _compute_missing(self, batch: _Batch, plan_of: Mapping[str, str], plans: Mapping[str, Any]) -> Steps:
        """Compute the features of these opinions' plans: each one's own, else the ledger's.

        Only a map with a list of tasks counts as a plan.
        """
        without = self._compute(batch, {name: plans[name] for name in plan_of if name in plans})
        if unread := [name for name in plan_of if name not in plans]:
            read = batch.read((yield partial(self._reader.opinion_plans, unread)))
            without += self._compute(batch, {name: read.get(name) for name in unread})
        if without:
            named = dict.fromkeys(map(plan_of.__getitem__, without))
            ledger = batch.read((yield partial(self._reader.ledger_plans, named)))
            for name in self._compute(batch, {name: ledger.get(plan_of[name]) for name in without}):
                self.faults[batch.number_of[name]] = Reason.MISSING_PLAN

    def _compute(self, batch: _Batch, plans: Mapping[str, Any]) -> list[str]:
        """Compute the features of these opinions' plans, and return the opinions that have none here."""
        raw = {name: plan for name, plan in plans.items() if isinstance(plan, RawPlan)}
        plans = {**plans, **self._compute_together(batch, raw)}
        without = []
        for name, plan in plans.items():
            if isinstance(plan, RawPlan):
                continue
            if not isinstance(plan, Mapping) or not isinstance(plan.get("tasks"), list):
                without.append(name)
            elif has_unreadable_text(plan):
                self.faults[batch.number_of[name]] = Reason.UNREADABLE_DOCUMENT
            else:
                try:
                    features = compute_features(plan)
                except InvalidPlan:
                    self.faults[batch.number_of[name]] = Reason.INVALID_PLAN
                    continue
                self.values[: len(features), batch.number_of[name]] = tuple(features.values())
        return without

    def _compute_together(self, batch: _Batch, raw: Mapping[str, RawPlan]) -> dict[str, Any]:
        """Compute the features of these plans of one answer, and return those that need a closer look, decoded."""
        if not raw:
            return {}
        answers = next(iter(raw.values())).answers
        values, odd = features_of_plans(answers, np.array([plan.start for plan in raw.values()]))
        numbers = np.array([batch.number_of[name] for name in raw])
        self.values[: len(COMPUTED_FEATURES), numbers[~odd]] = values[~odd].T
        return {name: plan.decoded() for (name, plan), is_odd in zip(raw.items(), odd, strict=True) if is_odd}
