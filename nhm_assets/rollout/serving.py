"""What a pod's answer to `/status` proves: that a model is loaded, and that it is the promoted one.

There are three answers: a pod serves, it denies that it serves, or it says nothing about the version. Only a denial
is a reason to go back: a pod may be unreachable, still starting, or cut off from MLflow or its ledger, and then the
version before would not serve either.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

NOT_READY: Final = "it is not ready"
"""First words of the fault of a pod that was not asked, because it does not accept requests yet."""
_TRUE: Final = ("true", "1", "yes")
_FALSE: Final = ("false", "0", "no")
SERVING: Final = "SERVING"
_STARTING: Final = ("STARTING", "INITIALIZING", "LOADING", "UNKNOWN")
"""Values of `status` of a pod that has not finished loading, so that it has no model *yet*."""
_OK: Final = 200
_MAX_REASONS: Final = 5
_MAX_CHARACTERS: Final = 100


@dataclass(frozen=True)
class Expected:
    """What the pods should have loaded.

    Attributes:
        version: number of the version in Production; None if unknown, and then nothing is compared.
        run_id: the MLflow run that made it; None if the registry does not record one.
    """

    specialist: str
    version: str | None
    run_id: str | None


@dataclass(frozen=True)
class Answer:
    """What asking one pod returned.

    Attributes:
        status: the HTTP status; None if no answer came.
        fault: why no answer came; None if one did.
    """

    status: int | None = None
    body: bytes = b""
    fault: str | None = None


@dataclass(frozen=True)
class PodVerdict:
    """What one pod has loaded, as far as it reports that.

    Attributes:
        model_loaded, mlflow_connected, status, version: as the pod reports; None if it does not, or not clearly.
        proven: whether it named the expected version or its run.
        faults: why the pod does not count as serving; empty if it serves.
        answered: whether it sent a report, whatever the report says.
        lacks_version: whether it reports that it has no model or another one loaded, for whatever reason.
        denied: whether that speaks against the version: the pod has started, and reaches MLflow.
    """

    pod: str
    model_loaded: bool | None = None
    mlflow_connected: bool | None = None
    status: str | None = None
    version: str | None = None
    proven: bool = False
    faults: tuple[str, ...] = ()
    answered: bool = False
    lacks_version: bool = False
    denied: bool = False

    @property
    def loaded(self) -> bool:
        """Whether it has no faults."""
        return not self.faults

    @property
    def summary(self) -> str:
        """The verdict in words."""
        if self.faults:
            verdict = "not loaded" if self.denied else "not clear" if self.answered else "cannot be asked"
            return f"{verdict}: {', '.join(self.faults)}"
        return "loaded" if self.proven else "loaded, unproven"


def parse_boolean(value: object) -> bool | None:
    """A boolean in any of its spellings; None for any other value."""
    text = str(value).strip().lower()
    if isinstance(value, str | int) and text in _TRUE + _FALSE:
        return text in _TRUE
    return None


def judge_answer(pod: str, answer: Answer, expected: Expected) -> PodVerdict:
    """The verdict on one pod."""
    if answer.fault is not None:
        return PodVerdict(pod, faults=(answer.fault,))
    if answer.status != _OK:
        return PodVerdict(pod, faults=(f"it answered HTTP {answer.status}: {_excerpt(answer.body)}",))
    try:
        report = json.loads(answer.body)
    except (ValueError, RecursionError):
        return PodVerdict(pod, faults=(f"it answered something that is not JSON: {_excerpt(answer.body)}",))
    if not isinstance(report, dict) or not isinstance(report.get("details"), dict):
        return PodVerdict(pod, faults=(f"its answer has no `details`: {_excerpt(answer.body)}",))
    return _judge_report(pod, report, report["details"], expected)


def _judge_report(pod: str, report: dict[str, Any], details: dict[str, Any], expected: Expected) -> PodVerdict:
    faults = []
    status, specialist = report.get("status"), report.get("specialist_type")
    if specialist is not None and specialist != expected.specialist:
        faults.append(f"it answers as {_short(specialist)}, not as {expected.specialist}")
    if status != SERVING:
        faults.append(f"status is {_short(status)}, not {SERVING}")
    flags = {name: parse_boolean(details.get(name)) for name in ("model_loaded", "mlflow_connected")}
    faults += [f"{name} is {_short(details.get(name))}" for name, flag in flags.items() if not flag]
    version, run_id = _known(details.get("model_version")), _known(details.get("model_run_id"))
    other = _other_version(version, run_id, expected)
    faults += other
    compared = bool((version and expected.version) or (run_id and expected.run_id))
    reasons = details.get("degraded_reasons")
    if faults and reasons and isinstance(reasons, list):
        faults.append(f"degraded: {'; '.join(map(_short, reasons[:_MAX_REASONS]))}")
    lacks_version = flags["model_loaded"] is False or bool(other)
    return PodVerdict(
        pod,
        model_loaded=flags["model_loaded"],
        mlflow_connected=flags["mlflow_connected"],
        status=status if isinstance(status, str) else None,
        version=version,
        proven=compared and not faults,
        faults=tuple(faults),
        answered=True,
        lacks_version=lacks_version,
        denied=lacks_version and _could_have_loaded(expected, status, specialist, flags["mlflow_connected"]),
    )


def _other_version(version: str | None, run_id: str | None, expected: Expected) -> list[str]:
    faults = []
    if version and expected.version and version != expected.version:
        faults.append(f"it has version {_short(version)} loaded, not {expected.version}")
    if run_id and expected.run_id and run_id != expected.run_id:
        faults.append(f"it has the model of run {_short(run_id)} loaded, not of {expected.run_id}")
    return faults


def _could_have_loaded(expected: Expected, status: object, specialist: object, mlflow_connected: bool | None) -> bool:  # noqa: FBT001
    """Whether the pod had what it takes to load any version, so that not having this one says something about it."""
    is_starting = isinstance(status, str) and status.strip().upper() in _STARTING
    return specialist in (None, expected.specialist) and not is_starting and mlflow_connected is not False


def _known(value: object) -> str | None:
    """A version or run as text; None for values that pods send when they do not know it."""
    text = "" if value is None else str(value).strip()
    return text if text.lower() not in ("", "unknown", "none", "null") else None


def _short(value: object) -> str:
    text = " ".join(("missing" if value is None else str(value)).split())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."


def _excerpt(body: bytes) -> str:
    return _short(body[:400].decode(errors="replace")) or "nothing"


@dataclass(frozen=True)
class Serving:
    """The verdicts on all pods of a specialist."""

    expected: Expected
    pods: tuple[PodVerdict, ...]

    @property
    def loaded(self) -> bool:
        """Whether there are pods, and all of them serve."""
        return bool(self.pods) and all(pod.loaded for pod in self.pods)

    @property
    def proven(self) -> bool:
        """Whether, in addition, every pod named the version."""
        return self.loaded and all(pod.proven for pod in self.pods)

    @property
    def denied(self) -> bool:
        """Whether what a pod reports speaks against the version."""
        return any(pod.denied for pod in self.pods)

    @property
    def lacks_version(self) -> bool:
        """Whether a pod reports that it does not have the version loaded: another restart may help."""
        return any(pod.lacks_version for pod in self.pods)

    @property
    def pods_by_answer(self) -> dict[str, int]:
        """Number of pods that serve, deny that they serve, and cannot be asked."""
        serves, denies = sum(pod.loaded for pod in self.pods), sum(pod.denied for pod in self.pods)
        return {"serves": serves, "denies": denies, "unreachable": len(self.pods) - serves - denies}

    @property
    def reason(self) -> str:
        """One sentence that names every pod that does not serve, and why."""
        version = f"version {self.expected.version}" if self.expected.version else "the version in Production"
        count = len(self.pods)
        if not self.pods:
            return f"there is no pod that could have loaded {version}"
        if self.proven:
            return f"{count} of {count} pods serve {version}"
        if not self.loaded:
            unclear = [pod for pod in self.pods if not pod.loaded and not pod.denied]
            answers = {
                "do not serve": [pod for pod in self.pods if pod.denied],
                "do not make clear whether they serve": [pod for pod in unclear if pod.answered],
                "cannot be asked whether they serve": [pod for pod in unclear if not pod.answered],
            }
            return ". ".join(
                f"{len(pods)} of {count} pods {answer} {version}: {_faults_of(pods)}"
                for answer, pods in answers.items()
                if pods
            )
        return f"{count} of {count} pods have a model loaded, but unproven: they do not report whether it is {version}"


def _faults_of(pods: Iterable[PodVerdict]) -> str:
    return "; ".join(f"{pod.pod}: {', '.join(pod.faults)}" for pod in pods)


def pods_table(serving: Serving) -> str:
    """A Markdown table for the UI: one row per pod, with what it reports and the verdict on it."""
    lines = [
        "| pod | Model Loaded | MLflow Connected | Status | version | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for pod in serving.pods:
        flags = [show_flag(pod.model_loaded), show_flag(pod.mlflow_connected)]
        cells = [pod.pod, *flags, pod.status or "?", pod.version or "not reported", pod.summary]
        lines.append(f"| {' | '.join(map(_escaped, cells))} |")
    return "\n".join(lines)


def show_flag(flag: bool | None) -> str:  # noqa: FBT001 - a value to show, not a switch
    """A boolean as the specialists' guide writes it; `?` if unknown."""
    return "?" if flag is None else str(flag)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
