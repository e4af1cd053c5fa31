"""The checks on `served_quality`. All of them only warn: they judge what serves, not the candidate of a run."""

from collections.abc import Sequence
from math import sqrt
from typing import Final

from nhm_assets.domain.asset_keys import SERVED_QUALITY
from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.drift_records import Shift
from nhm_assets.domain.served_records import Answered, ServedQuality
from nhm_assets.served.measure import AGREEMENT, ANSWERS, DRIFT
from nhm_assets.served.reviews import RECENT
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_specs

AGREES_WITH_PEOPLE: Final = "agrees_with_people"
MODEL_ANSWERS: Final = "model_answers"
FEATURES_STABLE: Final = "features_stable"
ANSWERS_STABLE: Final = "answers_stable"
LABELS_STABLE: Final = "labels_stable"
ESTIMATE_HOLDS: Final = "estimate_holds"
DESCRIPTIONS: Final = {
    FEATURES_STABLE: "The plans of the week look like those that the served version learned: no feature has a PSI of"
    " 0.1 or more that chance in samples of these sizes does not explain.",
    ANSWERS_STABLE: "Confidence and risk of the served version are distributed as on rows that it had not learned.",
    LABELS_STABLE: "People approve, reject and ask for a review as often as in the rows that the served version"
    " learned.",
    ESTIMATE_HOLDS: "In the newest two weeks, F1 of the served version came true as its confidence had promised. If"
    " not, people judge otherwise than they did, or the confidence is not calibrated.",
    AGREES_WITH_PEOPLE: "In the newest two weeks, the served version agrees with people as well as on the rows that it"
    " was evaluated on and in the seven weeks before: F1 of approve is not significantly lower.",
    MODEL_ANSWERS: "A model answers, not its fallbacks (SERVED_FALLBACK_SHARE), and no version answers that was"
    " replaced: that is a pod that was not restarted.",
}
served_quality_checks = check_specs(SERVED_QUALITY, DESCRIPTIONS)

_SURE: Final = 1.96
"""Standard errors: by chance a drop is that large in 2.5 % of comparisons."""
_SMALL_DROP: Final = 0.01
NOT_MEASURED: Final = "Not measured"
_FEW: Final = 20
"""Opinions that people approved, and that they did not, without which agreement is not judged."""
_FEW_STALE: Final = 3
_TAIL: Final = 0.05
_SMALL_ERROR: Final = 0.03
_NAMED: Final = 5


def judge_week(quality: ServedQuality, settings: Settings) -> list[Verdict]:
    """The verdict of every check."""
    return [
        *drift_verdicts(quality),
        agrees_with_people(quality),
        estimate_holds(quality),
        model_answers(quality, share=settings.served_fallback_share),
    ]


def not_measured(check: str, reason: str, *, passed: bool) -> Verdict:
    """A verdict without a measurement. If a service was down or slow, it warns."""
    return Verdict(check, passed, f"{NOT_MEASURED}: {reason}.", warns_only=True)


def drift_verdicts(quality: ServedQuality) -> list[Verdict]:
    """Whether features, answers and labels are as the served version learned them."""
    drift = quality.drift
    if drift is None:
        fault = quality.faults.get(DRIFT)
        why = fault or quality.absent.get(DRIFT, "nothing tells which version was in Production")
        checks = (FEATURES_STABLE, ANSWERS_STABLE, LABELS_STABLE)
        return [not_measured(check, why, passed=fault is None) for check in checks]
    parts = (
        (FEATURES_STABLE, ANSWERS, f"{drift.plans} plans", drift.of_features, drift.important),
        (ANSWERS_STABLE, ANSWERS, f"{drift.answers} answers", drift.of_answers, ()),
        (LABELS_STABLE, AGREEMENT, f"{drift.labels} labels", drift.of_labels, ()),
    )
    return [
        not_measured(check, reason, passed=False)
        if (reason := quality.faults.get(source))
        else _stable(check, sample, found, quality.version, important)
        for check, source, sample, found, important in parts
    ]


def _stable(check: str, sample: str, found: Sequence[Shift], version: str | None, important: Sequence[str]) -> Verdict:
    """Whether none of these has moved."""
    if not found:
        return not_measured(check, f"{sample} are too few to compare with what version {version} learned", passed=True)
    moved = [shift for shift in found if shift.band != "none"]
    figures = {"largest_psi": found[0].psi, "moved": len(moved)}
    if not moved:
        largest = f"the largest PSI is {found[0].psi:.3f} ({found[0].name})"
        reason = f"{sample.capitalize()} look as learned: {largest}."
    else:
        reason = _differ(sample, moved, version, important)
    return Verdict(check, not moved, reason, figures, warns_only=True)


def _differ(sample: str, moved: Sequence[Shift], version: str | None, important: Sequence[str]) -> str:
    named = ", ".join(f"{_shift(shift)}{' (important)' if shift.name in important else ''}" for shift in moved[:_NAMED])
    more = f", and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return f"{sample.capitalize()} differ from what version {version} learned: {named}{more}."


def _shift(shift: Shift) -> str:
    return f"{shift.name} has moved {'much' if shift.band == 'much' else 'somewhat'} (PSI {shift.psi:.3f})"


def estimate_holds(quality: ServedQuality) -> Verdict:
    """Whether what the confidence had promised came true."""
    check = ESTIMATE_HOLDS
    if reason := quality.faults.get(AGREEMENT):
        return not_measured(check, reason, passed=False)
    if quality.version is None:
        return not_measured(check, _too_little(quality), passed=True)
    recent = [one for one in quality.checked if one.weeks_before < RECENT]
    plans = sum(one.estimate.plans for one in recent)
    if plans < 2 * _FEW:
        few = f"people reviewed {plans} opinions of version {quality.version} in two weeks"
        return not_measured(check, f"{few}, and {2 * _FEW} are needed", passed=True)
    weights = [one.estimate.plans / plans for one in recent]
    pairs = list(zip(weights, recent, strict=True))
    realized = sum(weight * one.realized for weight, one in pairs)
    error = realized - sum(weight * (one.estimate.f1 or 0.0) for weight, one in pairs)
    limit = max(_SURE * sqrt(sum((weight * one.estimate.error) ** 2 for weight, one in pairs)), _SMALL_ERROR)
    usual = sum(abs(one.realized - (one.estimate.f1 or 0.0)) for one in quality.checked) / len(quality.checked)
    passed = abs(error) <= limit
    verdict = "The estimate holds" if passed else "The estimate does not hold"
    figures = {"error": error, "limit": limit, "mean_error": usual}
    reason = (
        f"{verdict}: F1 came out as {realized:.3f} on {plans} reviewed opinions, {error:+.3f} from what the confidence"
        f" had promised (at most {limit:.3f}; mean error of {len(quality.checked)} weeks {usual:.3f})."
    )
    return Verdict(check, passed, reason, figures, warns_only=True)


def agrees_with_people(quality: ServedQuality) -> Verdict:
    """Whether the served version's F1 has dropped."""
    check = AGREES_WITH_PEOPLE
    if reason := quality.faults.get(AGREEMENT):
        return not_measured(check, reason, passed=False)
    decline = quality.decline
    if quality.version is None or decline is None:
        return not_measured(check, _too_little(quality), passed=True)
    said = decline.recent.tp + decline.recent.fn
    if min(said, decline.recent.rows - said) < _FEW:
        few = f"people approved {said} of {decline.recent.rows} reviewed opinions of version {quality.version} in two"
        return not_measured(check, f"{few} weeks, and {_FEW} of each kind are needed", passed=True)
    recent, expected = decline.recent.f1 or 0.0, decline.expected.f1 or 0.0
    limit = max(_SURE * decline.standard_error, _SMALL_DROP)
    passed = decline.drop <= limit
    compared = f"F1 {recent:.3f} on {decline.recent.rows} reviewed opinions against {expected:.3f} on"
    before = f"{decline.expected.rows} before ({decline.evaluated} of its evaluation)"
    verdict = "agrees with people as before" if passed else "agrees with people less than before"
    change = f"{-decline.drop:+.3f}, and {-limit:+.3f} may be chance"
    reason = f"Version {quality.version} {verdict}: {compared} {before}: {change}."
    figures = {"f1": recent, "expected_f1": expected, "drop": decline.drop, "limit": limit}
    return Verdict(check, passed, reason, figures, warns_only=True)


def _too_little(quality: ServedQuality) -> str:
    if quality.version is None:
        return "nothing tells which version was in Production"
    if quality.decline is None and quality.agreement(quality.version) is None:
        return f"no opinion of version {quality.version} got feedback in this week"
    return f"there is nothing to compare version {quality.version} with yet"


def model_answers(quality: ServedQuality, *, share: float) -> Verdict:
    """Whether the served version answers, and nothing else does."""
    from scipy.special import betaincinv

    check, answered = MODEL_ANSWERS, quality.answered
    if answered is None:
        return not_measured(check, quality.faults.get(ANSWERS, "it was not read"), passed=False)
    told = answered.by_model + answered.fallbacks
    if not told:
        return not_measured(check, f"none of {answered.opinions} opinions says who gave it", passed=True)
    fraction = answered.fallbacks / told
    figures = {"fallback_share": fraction, "opinions": answered.opinions, "unexpected": answered.unexpected}
    # By chance, a few of few opinions prove nothing: the 5th percentile of the share (Jeffreys) must be above.
    low = float(betaincinv(answered.fallbacks + 0.5, told - answered.fallbacks + 0.5, _TAIL))
    faults = []
    if low > share:
        faults.append(f"fallbacks gave {answered.fallbacks} of {told} opinions ({fraction:.1%}, at most {share:.0%})")
    if answered.unexpected >= _FEW_STALE:
        faults.append(_stale(quality, answered))
    reason = f"A model gave {answered.by_model} of {told} opinions, fallbacks {answered.fallbacks} ({fraction:.1%})."
    if faults:
        reason = f"Not only the served model answers: {'; '.join(faults)}."
    return Verdict(check, not faults, reason, figures, warns_only=True)


def _stale(quality: ServedQuality, answered: Answered) -> str:
    named = ", ".join(f"version {version}: {count}" for version, count in answered.by_version.items())
    return (
        f"{answered.unexpected} opinions are by a version that was replaced ({named}; in Production: version"
        f" {quality.version}), so a pod was not restarted"
    )
