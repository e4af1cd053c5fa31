"""What an A/B test says: which version is better, if either is."""

from nhm_assets.domain.ab_records import LIVE, AbTest, AbVerdict, Difference, Word
from nhm_assets.domain.served_records import UNATTENDED
from nhm_assets.served.ab_interval import FEWEST


def verdict_of(
    test: AbTest, *, answered: int, reviewed: int, auc: Difference | None, precision: Difference | None, over: bool
) -> AbVerdict:
    """The verdict. It promotes nothing: a better version still has to pass the gate.

    Args:
        test: what was asked for.
        answered: plans that both versions answered, or opinions of either in a live test.
        reviewed: those that people reviewed; in a live test, of the version that has fewer.
        auc: difference of the areas under the ROC curve; None if there is too little to compare.
        precision: difference of the precisions from 0.8 on; likewise.
        over: whether the test is over.
    """
    if not answered:
        return AbVerdict(word="no answers", sentence=_no_answers(test))
    if reviewed < test.min_samples or (auc is None and precision is None):
        each = " of each version" if test.mode == LIVE else ""
        return AbVerdict(
            word="too few",
            sentence=f"Too few reviewed plans{each} to say anything: {reviewed}. Needed are {test.min_samples}, and"
            f" among them {FEWEST} that people approved and {FEWEST} that they did not, or {FEWEST} with a confidence"
            f" of {UNATTENDED} or more from each version.",
        )
    signs = {one.sign for one in (auc, precision) if one is not None and one.sign}
    word: Word = "mixed" if len(signs) == 2 else "no difference"
    if len(signs) == 1:
        word = "better" if 1 in signs else "worse"
    said = {
        "better": f"Version {test.challenger} is better than version {test.champion}",
        "worse": f"Version {test.challenger} is worse than version {test.champion}",
        "mixed": f"Version {test.challenger} is better than version {test.champion} in one figure and worse in another",
        "no difference": f"No difference between version {test.challenger} and version {test.champion}"
        f"{' was found' if over else ' so far'}",
    }[word]
    plans = f"at least {reviewed} reviewed plans of each" if test.mode == LIVE else f"{reviewed} reviewed plans"
    return AbVerdict(word=word, sentence=f"{said}: {_figures(auc, precision)}, on {plans}.")


def _no_answers(test: AbTest) -> str:
    if test.mode == LIVE:
        return (
            "No opinion carries the marks of ABTestingSpecialist, so nothing was compared live: stop the test, and"
            " start it again with --mode replay."
        )
    return f"No plan with stored features was answered by version {test.champion} since the test began."


def _figures(auc: Difference | None, precision: Difference | None) -> str:
    named = (("AUC", auc), ("precision from 0.8 on", precision))
    return "; ".join(f"{name} {figure(one)}" for name, one in named if one is not None)


def figure(one: Difference | None) -> str:
    """A difference with its interval, for people."""
    if one is None:
        return "not compared, too few plans"
    interval = f"between {one.low:+.3f} and {one.high:+.3f}"
    return f"{one.challenger:.3f} against {one.champion:.3f} ({one.value:+.3f}, {interval})"
