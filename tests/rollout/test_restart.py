"""How far a Deployment's rollout is, according to its status."""

from typing import Any

import pytest

from nhm_assets.rollout.restart import Phase, desired_replicas, is_in_motion, progress_of


def deployment(
    *,
    generation: int = 2,
    observed: int = 2,
    replicas: int | None = 3,
    condition: dict[str, str] | None = None,
    paused: bool = False,
    **status: int,
) -> dict[str, Any]:
    """A Deployment whose rollout is complete; name a field of its status to change it."""
    counts = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, **status}
    progressing = condition or {"reason": "NewReplicaSetAvailable"}
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas, "paused": paused} if replicas is not None else {"paused": paused},
        "status": {"observedGeneration": observed, **counts, "conditions": [{"type": "Progressing", **progressing}]},
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
def test_the_phase_follows_from_the_status(changes: dict[str, Any], phase: Phase, reason: str):
    progress = progress_of(deployment(**changes))
    assert progress.phase is phase
    assert reason in progress.reason


def test_a_rollout_waits_for_old_pods_that_are_still_terminating():
    status = {"replicas": 4, "updatedReplicas": 3, "availableReplicas": 4}
    progress = progress_of(deployment() | {"status": {"observedGeneration": 2, **status}})
    assert (progress.phase, progress.reason) == (Phase.WAITING, "1 old pods are still terminating")


def test_a_rollout_waits_for_a_deployment_that_has_no_status_yet():
    bare = {"metadata": {"generation": 1}, "spec": {}}
    assert progress_of(bare).phase is Phase.WAITING
    assert is_in_motion(bare)


def test_the_default_number_of_replicas_is_one():
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
def test_a_deployment_is_in_motion_only_while_its_rollout_makes_progress(changes: dict[str, Any], *, moving: bool):
    assert is_in_motion(deployment(**changes)) is moving
