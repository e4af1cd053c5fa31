"""How far a Deployment has come, by its own status."""

from typing import Any

import pytest

from nhm_assets.rollout.progress import Phase, desired_replicas, in_motion, progress_of


def deployment(
    *,
    generation: int = 2,
    observed: int = 2,
    replicas: int | None = 3,
    condition: dict[str, str] | None = None,
    paused: bool = False,
    **status: int,
) -> dict[str, Any]:
    """One that has come to its end; name a field of its status to change it."""
    counts = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, **status}
    told = condition or {"reason": "NewReplicaSetAvailable"}
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas, "paused": paused} if replicas is not None else {"paused": paused},
        "status": {"observedGeneration": observed, **counts, "conditions": [{"type": "Progressing", **told}]},
    }


LATE = {"reason": "ProgressDeadlineExceeded", "message": 'ReplicaSet "x" has timed out progressing.'}
UPDATED = {"reason": "ReplicaSetUpdated"}


@pytest.mark.parametrize(
    ("changes", "phase", "reason"),
    [
        ({}, Phase.COMPLETE, "3 of 3 pods are new and available"),
        ({"observed": 1}, Phase.WAITING, "not seen the change"),
        ({"observed": 1, "condition": LATE}, Phase.WAITING, "not seen the change"),
        ({"updatedReplicas": 1}, Phase.WAITING, "1 of 3 pods are new"),
        ({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}, Phase.WAITING, "2 of 3 new pods are available"),
        ({"condition": LATE, "updatedReplicas": 1}, Phase.FAILED, "has timed out progressing"),
        ({"paused": True, "updatedReplicas": 1}, Phase.PAUSED, "paused"),
    ],
)
def test_a_deployment_is_where_its_status_says(changes: dict[str, Any], phase: Phase, reason: str):
    found = progress_of(deployment(**changes))
    assert found.phase is phase
    assert reason in found.reason


def test_old_pods_that_have_not_ended_are_waited_for():
    status = {"replicas": 4, "updatedReplicas": 3, "availableReplicas": 4}
    told = deployment() | {"status": {"observedGeneration": 2, **status}}
    found = progress_of(told)
    assert (found.phase, found.reason) == (Phase.WAITING, "1 old pods have not ended yet")


def test_a_deployment_without_any_status_is_waited_for():
    bare = {"metadata": {"generation": 1}, "spec": {}}
    assert progress_of(bare).phase is Phase.WAITING
    assert in_motion(bare)


def test_a_deployment_that_names_no_number_of_replicas_has_one():
    assert desired_replicas(deployment(replicas=None)) == 1
    assert desired_replicas(deployment(replicas=0)) == 0


@pytest.mark.parametrize(
    ("changes", "moving"),
    [
        ({"updatedReplicas": 1, "condition": UPDATED}, True),
        ({"observed": 1}, True),
        ({}, False),
        ({"updatedReplicas": 1, "condition": LATE}, False),
        ({"updatedReplicas": 1, "condition": UPDATED, "paused": True}, False),
        # It lost a pod long after its rollout.
        ({"availableReplicas": 2}, False),
    ],
)
def test_pods_are_being_replaced_only_where_a_rollout_makes_progress(changes: dict[str, Any], *, moving: bool):
    assert in_motion(deployment(**changes)) is moving
