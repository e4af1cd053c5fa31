"""Which pods count, and why some of them are not ready."""

from typing import Any

import pytest

from nhm_assets.rollout.pods import (
    is_ready,
    name_of,
    not_ready_reasons,
    own_replica_sets,
    pods_of,
    port_of,
    selector_of,
    warnings_about,
)

Object = dict[str, Any]


def owned(name: str, owner: str, **metadata: Any) -> Object:
    references = [{"uid": owner, "controller": True}]
    return {"metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": references, **metadata}}


def pod(name: str = "pod", *, status: Object | None = None, ports: list[Object] | None = None) -> Object:
    return owned(name, "set") | {"spec": {"containers": [{"ports": ports}]}, "status": status or {}}


def replica_set(name: str, revision: int, owner: str = "deployment") -> Object:
    return owned(name, owner, annotations={"deployment.kubernetes.io/revision": str(revision)})


def test_a_selector_keeps_all_forms_of_labels_and_expressions():
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "zone", "operator": "NotIn", "values": ["c"]},
        {"key": "hive", "operator": "Exists"},
        {"key": "canary", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "x", "kind": "y"}, "matchExpressions": expressions}
    found = selector_of({"spec": {"selector": selector}})
    assert found == "app=x,kind=y,tier in (a,b),zone notin (c),hive,!canary"


def test_the_newest_replica_set_has_the_highest_revision_as_a_number():
    sets = [replica_set("b", 9), replica_set("a", 10), replica_set("other", 11, owner="somebody")]
    assert [name_of(one) for one in own_replica_sets({"metadata": {"uid": "deployment"}}, sets)] == ["a", "b"]


def test_pods_that_have_another_owner_or_are_being_deleted_do_not_count():
    ending = owned("ending", "uid-new", deletionTimestamp="2026-03-01T00:00:00Z")
    pods = [owned("second", "uid-new"), owned("first", "uid-new"), ending, owned("old", "uid-old")]
    assert [name_of(one) for one in pods_of(replica_set("new", 2), pods)] == ["first", "second"]
    assert pods_of(None, pods) == []


@pytest.mark.parametrize(
    ("ports", "port"),
    [
        ([{"name": "grpc", "containerPort": 50051}, {"name": "http", "containerPort": 8080}], 8080),
        ([{"name": "grpc", "containerPort": 50051}], 8000),
        ([{"containerPort": 9000}], 8000),
        (None, 8000),
    ],
)
def test_the_port_is_the_one_named_http_else_8000(ports: list[Object] | None, port: int):
    assert port_of(pod(ports=ports)) == port


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no  such\nimage"}}}]},
            "ErrImagePull (no such image)",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                    }
                ]
            },
            "CrashLoopBackOff, OOMKilled with exit code 137",
        ),
        (
            {"initContainerStatuses": [{"state": {"terminated": {"reason": "Error", "exitCode": 3}}}]},
            "Error with exit code 3",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]},
            "Unschedulable (full)",
        ),
        ({"reason": "Evicted", "message": "disk"}, "Evicted (disk)"),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, "running, but not ready"),
        ({}, "running, but not ready"),
    ],
)
def test_the_reason_says_why_a_pod_is_not_ready(status: Object, reason: str):
    assert reason in not_ready_reasons([pod("mine", status=status)])["mine"]


def test_a_ready_pod_needs_no_reason():
    ready = pod(status={"conditions": [{"type": "Ready", "status": "True"}]})
    assert is_ready(ready)
    assert not_ready_reasons([ready]) == {}
    assert not is_ready(pod(status={"conditions": [{"type": "Ready", "status": "False"}]}))


def test_each_warning_about_the_objects_is_listed_once_newest_first():
    def event(uid: str, time: str, message: str) -> Object:
        return {"involvedObject": {"uid": uid}, "lastTimestamp": time, "reason": "Failed", "message": message}

    events = [
        event("uid-pod", "1", "first"),
        event("uid-pod", "3", "third"),
        event("uid-pod", "2", "third"),
        event("other", "4", "of somebody else"),
    ]
    assert warnings_about([pod()], events) == ["Failed: third", "Failed: first"]
    assert warnings_about([pod()], events, limit=1) == ["Failed: third"]
