"""What the stages hand to each other beside frames: frozen records, kept as JSON."""

import hashlib
import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from nhm_assets.domain.partitions import Partition, Window


class Record(BaseModel):
    """A frozen record; what it does not know is an error, never dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def digest(self) -> str:
        """32 hex digits that are equal exactly when the records are."""
        # Sorted, since a record that has been stored may come back with its maps in another order.
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


class TrainedModel(Record):
    """A version of a registered model, and what it was made from.

    Attributes:
        window_start, window_end: the half-open window, in UTC, of the feedback it learned from.
        run_id: the MLflow run that it was logged in.
        sha256: of the model file.
        rows: number of rows by split; the model learned from train and validation.
        reused: whether the version existed before, made from the same data, code and parameters.
    """

    specialist: str
    week: str
    window_start: datetime
    window_end: datetime
    model: str
    version: str
    run_id: str
    sha256: str
    data_version: str
    code_version: str
    data_source: str
    parameters: dict[str, Any]
    rows: dict[str, int]
    reused: bool = False

    @property
    def partition(self) -> Partition:
        """The partition that it was trained for."""
        return Partition.parse(self.week, self.specialist)

    @property
    def window(self) -> Window:
        """The window that it learned from."""
        return Window(self.window_start, self.window_end)


class Metrics(Record):
    """How well one model does on the test rows. The positive class is approve.

    Attributes:
        precision, recall, f1: of the class approve.
        accuracy, macro_f1: over the three classes.
        brier: sum over the classes of squared probability errors, mean over rows; 0 is best, 2 worst.
        log_loss: natural logarithm, mean over rows.
        support: test rows by class.
        confusion: rows are true classes, columns predicted ones, in the order reject, approve, review.
    """

    precision: float
    recall: float
    f1: float
    accuracy: float
    macro_f1: float
    brier: float
    log_loss: float
    support: dict[str, int]
    confusion: list[list[int]]


class Interval(Record):
    """A 95 % interval."""

    low: float
    high: float


class Comparison(Record):
    """Candidate against champion on the same rows.

    Attributes:
        only_candidate_right, only_champion_right: rows that just one of the two decides rightly.
        mcnemar_p: two-sided p-value of McNemar's test on these two counts.
        differences: 95 % intervals of candidate minus champion, for precision, recall and F1.
    """

    only_candidate_right: int
    only_champion_right: int
    mcnemar_p: float
    differences: dict[str, Interval]


class Champion(Record):
    """The version in Production at the time of the evaluation, scored on the candidate's test rows."""

    version: str
    metrics: Metrics
    comparison: Comparison


class EvaluationReport(Record):
    """All that the gate judges by, and what explains it.

    Attributes:
        test_rows: rows of the split test.
        test_approvals: those of them that are labelled approve.
        synthetic_test: whether the test rows are synthetic.
        intervals: 95 % intervals of the candidate's precision, recall and F1.
        baseline_f1: F1 of two dummies on the same rows, `most_frequent` and `stratified`.
        prior_brier: Brier score of always predicting the class shares of the rows learned from.
        importances: how much F1 falls when a feature's test values are shuffled, mean over repeats.
    """

    specialist: str
    week: str
    window_start: datetime
    window_end: datetime
    model: str
    version: str
    run_id: str
    data_version: str
    code_version: str
    data_source: str
    test_rows: int
    test_approvals: int
    synthetic_test: bool
    candidate: Metrics
    intervals: dict[str, Interval]
    champion: Champion | None
    baseline_f1: dict[str, float]
    prior_brier: float
    importances: dict[str, float]


class Promotion(Record):
    """A finished promotion: the version is in Production and carries the alias `production`.

    Attributes:
        previous_version: the one in Production before; None where there was none, or it was this one.
        audit_id: `_id` of the document in the audit log; None where the version was there already.
    """

    specialist: str
    week: str
    window_end: datetime
    model: str
    version: str
    previous_version: str | None
    report_digest: str
    audit_id: str | None


class Rollout(Record):
    """What became of restarting a specialist for the version that was promoted.

    Attributes:
        status: `not configured` where there is no cluster, `no replicas` where the Deployment is to have no pods,
            `superseded` where another version is in Production by now: then nothing was restarted.
        old_replica_set, new_replica_set: names; None where nothing was replaced, or nothing is there.
        pods: names of the pods of the new one.
        seconds: from the beginning, another specialist's turn included, to the end.
        loaded: whether every pod says that a model is loaded; None where none was asked.
        proven: whether every pod names the promoted version, or its run; None where none was asked.
        reason: all that in a sentence.
    """

    specialist: str
    week: str
    model: str
    version: str
    namespace: str | None
    deployment: str | None
    status: Literal["rolled out", "already running", "not configured", "no replicas", "superseded"]
    old_replica_set: str | None
    new_replica_set: str | None
    pods: list[str]
    seconds: float
    loaded: bool | None
    proven: bool | None
    reason: str
