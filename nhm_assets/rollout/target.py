"""Which Deployment a specialist is, and how long to be patient with it."""

from dataclasses import dataclass
from typing import Self

from nhm_assets.domain.specialists import SPECIALISTS
from nhm_assets.settings import Settings


@dataclass(frozen=True)
class Target:
    """A specialist's Deployment.

    Attributes:
        others: names of the other specialists' Deployments, in the same namespace.
        timeout_s: seconds for a restart to come to its end.
        answer_s: seconds for a pod to answer.
        load_s: seconds for a pod that is ready to have its model loaded.
        status_url: address to ask pods at directly; None for the API server's proxy.
    """

    specialist: str
    namespace: str
    deployment: str
    others: tuple[str, ...]
    timeout_s: float
    answer_s: float
    load_s: float
    status_url: str | None

    @classmethod
    def of(cls, settings: Settings, specialist: str) -> Self:
        """What the settings say of a specialist."""
        names = {one: settings.specialist_deployment.replace("{specialist}", one) for one in SPECIALISTS}
        return cls(
            specialist=specialist,
            namespace=settings.specialist_namespace,
            deployment=names[specialist],
            others=tuple(name for one, name in names.items() if name != names[specialist]),
            timeout_s=settings.rollout_timeout_s,
            answer_s=settings.kubernetes_timeout_s,
            load_s=settings.model_load_timeout_s,
            status_url=settings.specialist_status_url,
        )

    def __str__(self) -> str:
        return f"Deployment {self.deployment} in namespace {self.namespace}"
