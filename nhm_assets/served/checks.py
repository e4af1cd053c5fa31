"""The checks on `served_quality`. All of them only warn: they judge what serves, not the candidate of a run."""

from typing import Final

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dagster_names import SERVED_QUALITY
from nhm_assets.domain.served_records import Answered, ServedQuality
from nhm_assets.served.measure import AGREEMENT, ANSWERS
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_specs

AGREES_WITH_PEOPLE: Final = "agrees_with_people"
MODEL_ANSWERS: Final = "model_answers"
DESCRIPTIONS: Final = {
    AGREES_WITH_PEOPLE: "In the newest two weeks, the served version agrees with people as well as on the rows that it"
    " was evaluated on and in the seven weeks before: F1 of approve is not significantly lower.",
    MODEL_ANSWERS: "A model answers, not its fallbacks (SERVED_FALLBACK_SHARE), and no version answers that was"
    " replaced: that is a pod that was not restarted.",
}
served_quality_checks = check_specs(SERVED_QUALITY, DESCRIPTIONS)

_SURE: Final = 1.96
"""Standard errors: by chance a drop is that large in 2.5 % of comparisons."""
_SMALL_DROP: Final = 0.01
_FEW: Final = 20
"""Opinions that people approved, and that they did not, without which agreement is not judged."""
_FEW_STALE: Final = 3
_TAIL: Final = 0.05


def judge_week(quality: ServedQuality, settings: Settings) -> list[Verdict]:
    """The verdict of every check."""
    return [agrees_with_people(quality), model_answers(quality, share=settings.served_fallback_share)]


def not_measured(check: str, reason: str, *, passed: bool) -> Verdict:
    """A verdict without a measurement. If a service was down or slow, it warns."""
    return Verdict(check, passed, f"Not measured: {reason}.", warns_only=True)


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
