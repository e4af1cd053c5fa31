"""The records that stages pass to each other besides frames: frozen, and stored as JSON."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from nhm_assets.domain.curve_records import Curves
from nhm_assets.domain.fold_records import Fold, NewRows, Pooled, Reference
from nhm_assets.domain.increment_records import Increment
from nhm_assets.domain.partitions import Partition, Window, end_of_week
from nhm_assets.domain.shadow_records import Shadow
from nhm_assets.domain.specialists import recorded_specialist
from nhm_assets.domain.stored_record import Record, SchemaVersion, StoredRecord


class VersionRecord(StoredRecord):
    """A record about one version of a registered model.

    Attributes:
        window_start, window_end: half-open window, in UTC, of the feedback that the version learned from.
        run_id: the MLflow run that logged it.
    """

    specialist: str
    week: str
    window_start: datetime
    window_end: datetime
    model: str
    version: str
    run_id: str


CalibrationMethod = Literal["none", "sigmoid", "isotonic"]


class Calibration(Record):
    """How the probabilities of a version are calibrated.

    Attributes:
        method: `none` if the model's probabilities are served as they are.
        brier: Brier score by method, on rows that neither model nor calibrators had learned; empty if not compared.
        learned_rows: number of rows that the calibrators learned from; 0 if the method is `none`.
        compared_rows: number of rows that the scores are of.
        reason: why this method, in one sentence.
    """

    method: CalibrationMethod
    brier: dict[str, float] = Field(default_factory=dict)
    learned_rows: int = 0
    compared_rows: int = 0
    reason: str


class TrainedModel(VersionRecord):
    """A registered version, and what it was trained from.

    Attributes:
        sha256: of the model file.
        parameters: of the model; they name its family unless it is the default one.
        rows: number of rows by split; the model learned from train and validation.
        calibration: None if the version was registered before there was a calibration.
        increment: None if the version learned in full; else its parameters are those of the frozen version.
        reused: whether the version already existed, trained from the same data, code and parameters.
    """

    ADDED: ClassVar = {"calibration": 2, "increment": 3}

    schema_version: SchemaVersion = 3
    sha256: str
    data_version: str
    code_version: str
    data_source: str
    parameters: dict[str, Any]
    rows: dict[str, int]
    calibration: Calibration | None = None
    increment: Increment | None = None
    reused: bool = False

    @property
    def partition(self) -> Partition:
        """The partition that the model was trained for."""
        return Partition(self.week, recorded_specialist(self.specialist))

    @property
    def window(self) -> Window:
        """The window that the model learned from."""
        return Window(self.window_start, self.window_end)


class Metrics(Record):
    """How good one model is on the test rows. The positive class is approve.

    Attributes:
        precision, recall, f1: of the class approve.
        accuracy, macro_f1: over the three classes.
        brier: squared probability errors, summed over the classes, mean over the rows; 0 is best, 2 is worst.
        log_loss: natural logarithm, mean over the rows.
        support: test rows by class.
        confusion: 3 x 3 counts; rows are true classes, columns are predicted classes, in the order reject,
            approve, review_required.
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
    """Candidate and champion on the same rows.

    Attributes:
        only_candidate_right, only_champion_right: number of rows where only this one tells approve from not approve.
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


class ForeignChampion(Record):
    """A version in Production that is not of this platform; see FOREIGN_CHAMPION.

    Attributes:
        reason: what makes it foreign, in plain words.
    """

    version: str
    reason: str


class Settling(Record):
    """How many further reviewed plans would settle whether an uncertain candidate passes or is below the line.

    Attributes:
        plans: their number; None if no reasonable number settles it, because the candidate is on the line.
        approve, not_approve: the opinions on them that people would label approve, and not approve.
        passes, below: probability of either decision after so many plans; together at least 0.8.
    """

    plans: int | None
    approve: int | None
    not_approve: int | None
    passes: float | None
    below: float | None


class EvaluationReport(VersionRecord):
    """Everything that the gate judges, and what explains it.

    Attributes:
        test_rows: number of rows in the split test.
        test_approvals: number of them that are labelled approve.
        synthetic_test: whether the test rows are synthetic.
        scripted_rows: number of rows, in all splits, whose feedback a script made; None in reports from before that
            was counted.
        llm_rows: number of rows that a language model made; all of them are train rows. None in reports from before
            there were any.
        compared_with: number of the version in Production at the time of the evaluation; None if there was none. The
            candidate may only replace this version.
        intervals: 95 % intervals of the candidate's precision, recall and F1.
        champion: None if there is none, or if a foreign one cannot be scored.
        foreign_champion: None if there is no champion, or if it is a version of this platform.
        baseline_f1: F1 of two dummies on the same rows, `most_frequent` and `stratified`.
        prior_brier: Brier score of always predicting the class frequencies of the training rows.
        importances: loss of F1 when the test values of a feature are shuffled, mean over repeats.
        new_rows: the rows that are new to the champion; None if there is no champion that can be scored.
        folds: None if no folds were fitted: GATE_FOLDS=0, or the first checks had already failed.
        pooled: the candidate's calls on the test rows and on the rows of the folds that count; None without folds.
        fair_rows: number of rows that `difference` is of; None if there is nothing to compare.
        difference, standard_error: F1 of the candidate minus that of the champion on these rows.
        compared_on: `new` for the rows that are new to the champion, `test` for the test rows alone, because too few
            are new.
        reference: None without folds.
        shadow: candidate and champion on plans without labels; None if none were compared.
        flip_rate: share of 200 bootstrap samples of the plans on which the gate, with the settings at that time,
            decides otherwise; None in reports from before it was computed.
        settling: what would settle it, with the settings at that time; None if the candidate was not uncertain.
        curves: what pictures are drawn from; None in reports from before they were drawn.
    """

    ADDED: ClassVar = {
        "scripted_rows": 2,
        "compared_with": 3,
        "foreign_champion": 4,
        "new_rows": 5,
        "folds": 5,
        "pooled": 5,
        "fair_rows": 5,
        "difference": 5,
        "standard_error": 5,
        "compared_on": 5,
        "reference": 5,
        "shadow": 6,
        "flip_rate": 7,
        "settling": 7,
        "curves": 8,
        "llm_rows": 9,
    }

    schema_version: SchemaVersion = 9
    data_version: str
    code_version: str
    data_source: str
    test_rows: int
    test_approvals: int
    synthetic_test: bool
    scripted_rows: int | None
    llm_rows: int | None = None
    candidate: Metrics
    intervals: dict[str, Interval]
    champion: Champion | None
    compared_with: str | None = None
    foreign_champion: ForeignChampion | None = None
    baseline_f1: dict[str, float]
    prior_brier: float
    importances: dict[str, float]
    new_rows: NewRows | None = None
    folds: list[Fold] | None = None
    pooled: Pooled | None = None
    fair_rows: int | None = None
    difference: float | None = None
    standard_error: float | None = None
    compared_on: Literal["new", "test"] | None = None
    reference: Reference | None = None
    shadow: Shadow | None = None
    flip_rate: float | None = None
    settling: Settling | None = None
    curves: Curves | None = None

    @property
    def in_mid_week(self) -> bool:
        """Whether the window ends before the week does, so that this week will be evaluated again."""
        return self.window_end < end_of_week(self.week)

    @property
    def precedes_folds(self) -> bool:
        """Whether an earlier release made the report, which knew no folds."""
        return self.schema_version < self.ADDED["folds"]

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any]:
        """An earlier report was compared with its champion, or there was none."""
        champion = content.get("champion")
        return {
            "scripted_rows": None,
            "compared_with": champion.get("version") if isinstance(champion, dict) else None,
            "foreign_champion": None,
        }


class Promotion(StoredRecord):
    """A finished promotion: the version is in Production and carries the alias `production`.

    Attributes:
        previous_version: the version in Production before; None if there was none, or it was this version.
        audit_id: `_id` of the document in the audit log; None if the version was already in Production.
    """

    specialist: str
    week: str
    window_end: datetime
    model: str
    version: str
    previous_version: str | None
    report_digest: str
    audit_id: str | None


class Rollout(StoredRecord):
    """The result of restarting a specialist for the promoted version.

    Attributes:
        status: `not configured` without a cluster, `no replicas` if the Deployment is scaled to zero,
            `superseded` if another version is in Production by now. In these cases nothing was restarted.
        old_replica_set, new_replica_set: names; None if nothing was replaced, or nothing exists.
        pods: names of the pods of the new ReplicaSet.
        seconds: total duration, including the wait for another specialist's rollout.
        loaded: whether every pod reports a loaded model; None if no pod was asked.
        proven: whether every pod reports the promoted version or its run; None if no pod was asked.
        reason: the result in one sentence.
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
