"""Makes rows until there are enough, the money is spent, or nothing usable comes any more."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from nhm_assets.feedback.features import InvalidPlan, compute_features
from nhm_assets.feedback.llm_rows import key_of
from nhm_assets.generation.journal import Journal, Kept
from nhm_assets.generation.made_plans import (
    RECOMMENDATIONS,
    LeftOut,
    MadeRow,
    NotUsable,
    items_of,
    plan_document,
    row_of,
    verdict_of,
)
from nhm_assets.generation.prompts import PLANS_AT_ONCE, judge_question, maker_question
from nhm_assets.generation.real_rows import Ranges, is_plausible
from nhm_assets.generation.spending import Prices, most_of, spent_on
from resources.errors import AnswerOfAnotherShape
from resources.language_models import Answer, LanguageModel, Question

FRUITLESS: Final = 5
"""So many answers in a row without a row end the work: something is wrong, and each costs money."""


class Ended(Enum):
    """Why the work ended."""

    ENOUGH = "enough"
    COST = "cost"
    FRUITLESS = "fruitless"


class _NoMoney(Exception):
    """The next question could cost more than is left."""


@dataclass(frozen=True)
class Work:
    """What is made, from what, and how much it may cost.

    Attributes:
        specialist: its name.
        count: number of rows that are wanted.
        seed: decides what plans are asked for.
        ranges: of the features of real rows.
        real_keys: of the features of all real rows; see `feature_keys`.
        max_cost: US dollars for everything in the journal.
        now_ms: written into plans as the time at which they were made.
    """

    specialist: str
    count: int
    seed: int
    ranges: Ranges
    real_keys: frozenset[str]
    prices: Prices
    max_cost: float
    now_ms: int


def make_rows(
    work: Work, maker: LanguageModel, judge: LanguageModel | None, journal: Journal, tell: Callable[[], None]
) -> Ended:
    """Ask until the work is done; every answer and every row is in the journal before the next question.

    Args:
        work: what is wanted.
        maker: makes plans and verdicts.
        judge: must come to the same verdicts; None: nobody judges them.
        journal: of this work, perhaps with rows already.
        tell: called after each request.

    Raises:
        ServiceError: a model cannot be asked.
    """
    fruitless = 0
    while len(journal.progress.rows) < work.count:
        if fruitless == FRUITLESS:
            return Ended.FRUITLESS
        before = len(journal.progress.rows)
        try:
            _Request(work, maker, judge, journal).run()
        except _NoMoney:
            return Ended.COST
        fruitless = 0 if len(journal.progress.rows) > before else fruitless + 1
        tell()
    return Ended.ENOUGH


@dataclass(frozen=True)
class _Request:
    work: Work
    maker: LanguageModel
    judge: LanguageModel | None
    journal: Journal

    def run(self) -> None:
        """One answer of the maker, and one of the judge on what is usable of it."""
        work, done = self.work, self.journal.progress
        left_out: Counter[str] = Counter()
        plans = min(PLANS_AT_ONCE, work.count - len(done.rows))
        asked = maker_question(work.specialist, work.ranges, seed=work.seed, number=done.requests, plans=plans)
        kept = self._usable(self._items(self.maker, asked, "rows", left_out), left_out)
        try:
            if self.judge and kept:
                kept = self._agreed(self.judge, kept, left_out)
        except _NoMoney:
            self.journal.done([], left_out + Counter({str(LeftOut.UNJUDGED): len(kept)}))
            raise
        self.journal.done(kept[: work.count - len(done.rows)], left_out)

    def _items(self, model: LanguageModel, question: Question, name: str, left_out: Counter[str]) -> list[object]:
        """The items of an answer; none, with the reason, if it has none."""
        work = self.work
        if self.journal.progress.spent.cost + most_of(question, work.prices).cost > work.max_cost:
            raise _NoMoney
        try:
            answer = model.ask(question)
        except AnswerOfAnotherShape as unknown:
            self.journal.spent(spent_on(question, Answer("", "", *unknown.counted), work.prices))
            raise
        self.journal.spent(spent_on(question, answer, work.prices))
        try:
            if answer.fault:
                raise NotUsable(LeftOut(answer.fault))
            return items_of(answer.text, name)
        except NotUsable as unusable:
            left_out[unusable.why] += 1
            return []

    def _usable(self, items: Sequence[object], left_out: Counter[str]) -> list[Kept]:
        known = {key_of(row.features) for row in self.journal.progress.rows}
        kept: list[Kept] = []
        for item in items:
            try:
                row = self._checked(row_of(item), known, place=len(kept) + 1)
            except NotUsable as unusable:
                left_out[unusable.why] += 1
            else:
                known.add(key_of(row.features))
                kept.append(row)
        return kept

    def _checked(self, row: MadeRow, known: set[str], *, place: int) -> Kept:
        work = self.work
        # A judge may leave out rows of this request. The next one has another number, so no id comes twice.
        plan_id = f"llm-{work.specialist}-{work.seed}-{self.journal.progress.requests:05d}-{place}"
        plan = plan_document(row, plan_id, work.now_ms)
        try:
            features = compute_features(plan)
        except InvalidPlan:
            raise NotUsable(LeftOut.INVALID) from None
        if not is_plausible(features, work.ranges):
            raise NotUsable(LeftOut.IMPLAUSIBLE)
        key = key_of(features)
        if key in known:
            raise NotUsable(LeftOut.DUPLICATE)
        if key in work.real_keys:
            raise NotUsable(LeftOut.LIKE_FEEDBACK)
        return Kept(plan, features, RECOMMENDATIONS[row.recommendation])

    def _agreed(self, judge: LanguageModel, rows: Sequence[Kept], left_out: Counter[str]) -> list[Kept]:
        """The rows whose verdict the judge shares."""
        shown = [_shown(row.plan) for row in rows]
        number = self.journal.progress.requests
        asked = judge_question(self.work.specialist, shown, seed=self.work.seed, number=number)
        verdicts = [verdict_of(item) for item in self._items(judge, asked, "verdicts", left_out)]
        kept = []
        for place, row in enumerate(rows, 1):
            found = [verdict for verdict in verdicts if verdict and verdict.number == place]
            if len(found) != 1:
                left_out[LeftOut.UNJUDGED] += 1
            elif found[0].suspicious:
                left_out[LeftOut.SUSPICIOUS] += 1
            elif RECOMMENDATIONS[found[0].recommendation] != row.label:
                left_out[LeftOut.DISAGREED] += 1
            else:
                kept.append(row)
        return kept


def _shown(plan: dict[str, object]) -> dict[str, object]:
    """What the judge sees of a plan: not the reason that the maker gives for its verdict."""
    names = ("tasks", "risk_score", "complexity_score", "original_domain", "original_priority")
    return {name: plan[name] for name in names}
