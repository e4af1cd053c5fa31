"""The picture of a shadow, for the UI."""

import base64
import io

from nhm_assets.evaluation.shadow import UNATTENDED, Comparison

_INCHES = (8.0, 3.4)
_DPI = 80


def draw(comparison: Comparison) -> str:
    """Confidence and risk of both versions, one point per plan, as the data address of a PNG."""
    # Without pyplot, which keeps figures and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    champion, candidate = comparison.champion, comparison.candidate
    for axes, name, before, after in (
        (left, "confidence", champion.confidence, candidate.confidence),
        (right, "risk", champion.risk, candidate.risk),
    ):
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        axes.plot(before, after, linestyle="", marker=".", markersize=3, alpha=0.4, color="#1f6f8b")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=name, xlabel="champion", ylabel="candidate")
    for line in (left.axhline, left.axvline):
        line(UNATTENDED, color="#c0562f", linewidth=0.8, linestyle="--")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
