"""What a pod's answer to `/status` is worth: whether the model is loaded, and whether it is the promoted one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_TRUE: Final = ("true", "1", "yes")
_FALSE: Final = ("false", "0", "no")
_SERVING: Final = "SERVING"
_OK: Final = 200


@dataclass(frozen=True)
class Expected:
    """What the pods are to have loaded.

    Attributes:
        version: number of the version in Production; None where it is not known, so that nothing is compared.
        run_id: the MLflow run that made it; None where the registry does not say.
    """

    specialist: str
    version: str | None
    run_id: str | None


@dataclass(frozen=True)
class Answer:
    """What came of asking one pod.

    Attributes:
        status: of HTTP; None where nothing came.
        fault: why nothing came; None where something did.
    """

    status: int | None = None
    body: bytes = b""
    fault: str | None = None


@dataclass(frozen=True)
class PodVerdict:
    """What one pod has loaded, as far as it says so.

    Attributes:
        model_loaded, mlflow_connected, status, version: as the pod says; None where it does not, or not clearly.
        proven: whether it named the very version, or the run, that was to be loaded.
        faults: what speaks against it; none where the pod serves.
        denied: whether the pod itself says that it does not serve the version, rather than saying nothing clear.
    """

    pod: str
    model_loaded: bool | None = None
    mlflow_connected: bool | None = None
    status: str | None = None
    version: str | None = None
    proven: bool = False
    faults: tuple[str, ...] = ()
    denied: bool = False

    @property
    def loaded(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.faults


def truth(value: object) -> bool | None:
    """A boolean in any of its spellings; None for what is not one."""
    if isinstance(value, bool):
        return value
    said = str(value).strip().lower()
    if isinstance(value, str | int) and said in _TRUE + _FALSE:
        return said in _TRUE
    return None


def judge_answer(pod: str, answer: Answer, expected: Expected) -> PodVerdict:
    """The verdict on one pod."""
    if answer.fault is not None:
        return PodVerdict(pod, faults=(answer.fault,))
    if answer.status != _OK:
        return PodVerdict(pod, faults=(f"it answered HTTP {answer.status}: {_excerpt(answer.body)}",))
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return PodVerdict(pod, faults=(f"it answered something that is not JSON: {_excerpt(answer.body)}",))
    if not isinstance(said, dict) or not isinstance(said.get("details"), dict):
        return PodVerdict(pod, faults=(f"its answer has no `details`: {_excerpt(answer.body)}",))
    return _judge_status(pod, said, said["details"], expected)


def _judge_status(pod: str, said: dict[str, Any], details: dict[str, Any], expected: Expected) -> PodVerdict:
    faults = []
    status, served_by = said.get("status"), said.get("specialist_type")
    if served_by is not None and served_by != expected.specialist:
        faults.append(f"it answers as {_short(served_by)}, not as {expected.specialist}")
    if status != _SERVING:
        faults.append(f"status is {_short(status)}, not {_SERVING}")
    flags = {name: truth(details.get(name)) for name in ("model_loaded", "mlflow_connected")}
    faults += [f"{name} is {_short(details.get(name))}" for name, flag in flags.items() if not flag]
    version, run_id = _text(details.get("model_version")), _text(details.get("model_run_id"))
    if version is not None and expected.version is not None and version != expected.version:
        faults.append(f"it has version {_short(version)} loaded, not {expected.version}")
    if run_id is not None and expected.run_id is not None and run_id != expected.run_id:
        faults.append(f"it has the model of run {_short(run_id)} loaded, not of {expected.run_id}")
    compared = [(version, expected.version), (run_id, expected.run_id)]
    named = any(said is not None and wanted is not None for said, wanted in compared)
    denied = bool(faults)
    if faults and (reasons := _reasons(details.get("degraded_reasons"))):
        faults.append(f"degraded: {reasons}")
    return PodVerdict(
        pod,
        model_loaded=flags["model_loaded"],
        mlflow_connected=flags["mlflow_connected"],
        status=status if isinstance(status, str) else None,
        version=version,
        proven=named and not faults,
        faults=tuple(faults),
        denied=denied,
    )


def _reasons(value: object) -> str:
    return "; ".join(_short(one) for one in value[:5]) if isinstance(value, list) else ""


def _text(value: object) -> str | None:
    """A version or run as text; what says nothing is as good as not given."""
    said = "" if value is None else str(value).strip()
    return said if said and said.lower() not in ("unknown", "none", "null") else None


def _short(value: object) -> str:
    said = " ".join(("missing" if value is None else str(value)).split())
    return said if len(said) <= 100 else f"{said[:100]}..."


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
        return bool(self.pods) and all(one.loaded for one in self.pods)

    @property
    def proven(self) -> bool:
        """Whether, besides, every one named the version."""
        return self.loaded and all(one.proven for one in self.pods)

    @property
    def denied(self) -> bool:
        """Whether a pod says outright that it does not serve the version."""
        return any(one.denied for one in self.pods)

    @property
    def reason(self) -> str:
        """One sentence that names every pod that speaks against it, and why."""
        version, count = self.expected.version or "in Production", len(self.pods)
        if not self.pods:
            return f"no pod is there that could have loaded version {version}"
        if self.proven:
            return f"{count} of {count} pods serve version {version}"
        if self.loaded:
            return (
                f"{count} of {count} pods have a model loaded, but unproven: they do not say which version it is"
                f" (in Production is {self.expected.version or 'an unknown one'})"
            )
        bad = [one for one in self.pods if not one.loaded]
        return f"{len(bad)} of {count} pods do not serve version {version}: {_named(bad)}"


def _named(pods: Sequence[PodVerdict]) -> str:
    return "; ".join(f"{one.pod}: {', '.join(one.faults)}" for one in pods)
