"""A specialist's Deployment: the cluster it runs in, and the time limits for restarting and asking it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from nhm_assets.domain.specialists import all_specialists, recorded_specialist
from nhm_assets.rollout.pods import Object, own_replica_sets, pods_of, selector_of
from nhm_assets.settings import Settings
from resources.kubernetes import Cluster

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A specialist's Deployment. The time limits are in seconds.

    Attributes:
        others: the other specialists' Deployments: namespace and name.
        parallel: how many specialists may restart at once.
        restarts_ahead: how many restarts of others may come first. Each of them may restart twice: for its new
            version, and back if that fails.
        rollout_timeout_s: for a restart to complete.
        answer_timeout_s: for a pod to answer.
        load_timeout_s: for a ready pod to load its model.
        status_url: the address at which pods are asked directly; None to ask through the API server's proxy.
        log: called with each line of progress.
    """

    cluster: Cluster
    specialist: str
    namespace: str
    deployment: str
    others: tuple[tuple[str, str], ...]
    parallel: int
    restarts_ahead: int
    rollout_timeout_s: float
    answer_timeout_s: float
    load_timeout_s: float
    status_url: str | None
    log: Callable[[str], None]

    @classmethod
    def of(
        cls,
        settings: Settings,
        specialist: str,
        cluster: Cluster,
        log: Callable[[str], None] = _log.info,
    ) -> Self:
        """The target that the settings describe."""
        own = settings.deployment_of(recorded_specialist(specialist))
        every = (settings.deployment_of(one) for one in all_specialists())
        return cls(
            cluster=cluster,
            specialist=specialist,
            namespace=own[0],
            deployment=own[1],
            others=tuple(other for other in every if other != own),
            parallel=settings.rollout_slots,
            restarts_ahead=2 * (settings.rollouts_in_a_row - 1),
            rollout_timeout_s=settings.rollout_timeout_s,
            answer_timeout_s=settings.kubernetes_timeout_s,
            load_timeout_s=settings.model_load_timeout_s,
            status_url=settings.specialist_status_url,
            log=log,
        )

    def __str__(self) -> str:
        return f"Deployment {self.deployment} in namespace {self.namespace}"

    @property
    def most(self) -> str:
        """How many may restart at once, in words."""
        return "one specialist restarts" if self.parallel == 1 else f"{self.parallel} specialists restart"

    def read(self) -> Object:
        """The Deployment as it is now."""
        return self.cluster.deployment(self.namespace, self.deployment)

    def newest_replica_set(self, deployment: Object) -> Object | None:
        """The Deployment's newest ReplicaSet; None if it has none yet."""
        replica_sets = self.cluster.replica_sets(self.namespace, selector_of(deployment))
        return next(iter(own_replica_sets(deployment, replica_sets)), None)

    def newest_pods(self, deployment: Object) -> tuple[Object | None, list[Object]]:
        """The newest ReplicaSet, and its pods by name."""
        newest = self.newest_replica_set(deployment)
        return newest, pods_of(newest, self.cluster.pods(self.namespace, selector_of(deployment)))
