"""The rule on the shadow: it warns of a candidate that would answer very differently, and holds none."""

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.shadow_records import Shadow

CHECK = "agrees_in_shadow"


def agrees_in_shadow(shadow: Shadow | None, required: float) -> Verdict:
    """Whether candidate and champion agree on enough of the plans."""
    if shadow is None:
        reason = "No plans were compared: no other version was in Production, or SHADOW_PLANS was 0."
        return Verdict(CHECK, passed=True, reason=reason, figures={"plans": 0}, warns_only=True)
    champion = f"the champion (version {shadow.champion})"
    if shadow.fault:
        reason = f"Candidate and {champion} could not be compared on stored plans: {shadow.fault}."
        return Verdict(CHECK, passed=False, reason=reason, figures={"plans": 0}, warns_only=True)
    if shadow.agreement is None:
        reason = f"No plan with usable features has come in since {champion} was promoted{_on(shadow)}."
        return Verdict(CHECK, passed=True, reason=reason, figures={"plans": 0}, warns_only=True)
    passed = shadow.agreement >= required
    reached = f"{'reaches' if passed else 'is below'} the required {required:.3f}"
    reason = (
        f"Agreement {shadow.agreement:.3f} with {champion} on {shadow.plans} plans since its promotion{_on(shadow)}"
        f" {reached}."
    )
    figures = {
        "agreement": shadow.agreement,
        "same_class": shadow.same_class,
        "same_side": shadow.same_side,
        "plans": shadow.plans,
        "SHADOW_AGREEMENT": required,
    }
    return Verdict(CHECK, passed, reason, figures, warns_only=True)


def _on(shadow: Shadow) -> str:
    return f" ({shadow.since:%Y-%m-%d})" if shadow.since else ""
