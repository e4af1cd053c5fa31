"""Verdicts on pods as a Markdown table, for the UI."""

from nhm_assets.rollout.serving import PodVerdict, Serving


def pods_table(serving: Serving) -> str:
    """A row a pod: what it says, and what that is worth."""
    lines = [
        "| pod | Model Loaded | MLflow Connected | Status | version | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for one in serving.pods:
        said = [one.pod, shown(one.model_loaded), shown(one.mlflow_connected), one.status or "?"]
        lines.append(f"| {' | '.join(map(_cell, [*said, one.version or 'not said', verdict_of(one)]))} |")
    return "\n".join(lines)


def verdict_of(one: PodVerdict) -> str:
    """One pod's verdict in words."""
    if one.faults:
        return f"not loaded: {', '.join(one.faults)}"
    return "loaded" if one.proven else "loaded, unproven"


def shown(flag: bool | None) -> str:  # noqa: FBT001 - a value to be shown, not a switch
    """A boolean as the specialists' guide writes it."""
    return "?" if flag is None else str(flag)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
