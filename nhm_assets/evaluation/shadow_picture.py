"""The picture of a shadow, for the UI."""

from typing import Final

from nhm_assets.domain.served_records import UNATTENDED
from nhm_assets.evaluation.shadow import Comparison
from nhm_assets.steps.pictures import CANDIDATE, MUTED, REQUIRED, RULE, TEXT_SIZE, new_axes, new_figure, png, say

SHADOW_PICTURE: Final = "shadow.png"
"""Name of the artifact in MLflow."""
_WIDTH, _HEIGHT = 760, 370
_SIDE = 270


def draw(comparison: Comparison) -> bytes:
    """Confidence and risk of both versions, one point per plan, as PNG."""
    figure = new_figure(_WIDTH, _HEIGHT)
    champion, candidate = comparison.champion, comparison.candidate
    for left, name, before, after in (
        (70, "Confidence", champion.confidence, candidate.confidence),
        (440, "Risk", champion.risk, candidate.risk),
    ):
        axes = new_axes(figure, (left, 40, _SIDE, _SIDE), f"{name}, one dot per plan")
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1)
        axes.plot(before, after, linestyle="", marker=".", markersize=3, alpha=0.4, color=CANDIDATE)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("champion", fontsize=TEXT_SIZE, color=MUTED)
        axes.set_ylabel("candidate", fontsize=TEXT_SIZE, color=MUTED)
        if name == "Confidence":
            for line in (axes.axhline, axes.axvline):
                line(UNATTENDED, color=REQUIRED, linewidth=0.8, linestyle="--")
            say(axes, 0.02, 0.93, f"dashed: {UNATTENDED}, unattended above")
    return png(figure)
