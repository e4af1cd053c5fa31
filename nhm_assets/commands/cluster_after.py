"""`nhm cluster check` without manifests: what a run needs, asked with the settings and rights of this process."""

from collections.abc import Iterator

from nhm_assets.commands.cluster_lines import Line, fault, ok, unknown
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.kubernetes import Cluster
from resources.kubernetes_objects import Objects


def lines_of_services(settings: Settings) -> Iterator[Line]:
    """Whether MongoDB, MLflow, storage and Dagster's database answer here."""
    from nhm_assets.commands.clients import Clients
    from nhm_assets.commands.health import check_services, opened_instance, service_of_dagster
    from nhm_assets.instance.home import prepare_home

    prepare_home(settings)
    with Clients(settings) as clients:
        services = check_services(clients)
    instance, problem = opened_instance(settings)
    if instance is not None:
        instance.dispose()
    for service in [*services, service_of_dagster(settings, problem)]:
        if service.fault:
            yield fault(service.name, f"{service.address}: {service.fault}", "See docs/runbook.md")
        else:
            yield ok(service.name, f"{service.address} answers")


def lines_of_cluster(settings: Settings, cluster: Cluster) -> Iterator[Line]:
    """Whether a rollout may do its work, and whether the specialists' pods can be asked."""
    try:
        yield from _rights(settings, Objects(cluster))
        yield from _statuses(settings, cluster)
    except ServiceError as error:
        yield fault("Kubernetes", str(error), "Check the access to the cluster, then run this again")


def _rights(settings: Settings, objects: Objects) -> Iterator[Line]:

    places = [settings.deployment_of(one) for one in all_specialists()]
    needed = [(verb, "apps", "deployments", *place) for place in places for verb in ("get", "patch")]
    for namespace in sorted({namespace for namespace, _ in places}):
        needed += [("list", "apps", "replicasets", namespace, ""), ("list", "", "pods", namespace, "")]
        needed += [("list", "", "events", namespace, "")]
        if settings.specialist_status_url is None:
            needed.append(("get", "", "pods/proxy", namespace, ""))
    missing = [one for one in needed if not objects.may(*one)]
    for verb, _, resource, namespace, name in missing:
        thing = f"{verb} {resource} {name}".rstrip()
        yield fault("rights", f"this account may not {thing} in {namespace}", remedy_for(resource))
    if not missing:
        yield ok("rights", f"this account may restart all {len(places)} specialists and watch their pods")


def remedy_for(resource: str) -> str:
    """What to do where a run lacks a right on this resource."""
    if resource == "pods/proxy":
        return "Set SPECIALIST_STATUS_URL, or add the component status-by-api-server to your overlay"
    return "Add it to the Role nhm-rollout in k8s/base/specialists-access.yaml"


def _statuses(settings: Settings, cluster: Cluster) -> Iterator[Line]:
    """Whether pods can be asked; what they have loaded is the subject of `nhm validate`."""
    from nhm_assets.rollout.serving import Expected
    from nhm_assets.rollout.target import Target
    from nhm_assets.rollout.validation import validate

    names = [str(one) for one in all_specialists()]
    targets = [Target.of(settings, name, cluster) for name in names]
    for one in validate(targets, {name: Expected(name, None, None) for name in names}):
        subject = f"{one.target.specialist} /status"
        if one.serving is None:
            yield fault(
                subject, str(one.fault), "Correct SPECIALIST_NAMESPACE and SPECIALIST_DEPLOYMENT, or install it"
            )
        elif not one.pods:
            yield unknown(subject, "it has no pods", f"kubectl get -n {one.target.namespace} pods")
        elif silent := [pod for pod in one.pods if not pod.answered]:
            first = silent[0]
            reason = f"{len(silent)} of {len(one.pods)} pods cannot be asked: {first.pod}: {', '.join(first.faults)}"
            causes = one.likely_causes()
            shown = next(iter(causes.values()), "")
            yield fault(
                subject,
                reason,
                f"Check SPECIALIST_STATUS_URL and the network policies of {one.target.namespace}. To see more: {shown}",
            )
        else:
            yield ok(subject, f"{len(one.pods)} of {len(one.pods)} pods answer")
