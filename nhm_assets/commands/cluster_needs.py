"""What rendered manifests need of a cluster: namespaces, Secrets, volumes, images. Pure functions of the manifests."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from resources.addresses import masked

Manifest = dict[str, Any]

OUR_LABEL: Final = ("app.kubernetes.io/part-of", "nhm-assets")
_RESTART: Final = ("get", "patch")
"""What a run does with a Deployment to restart it."""
_LOCAL: Final = "config.kubernetes.io/local-config"


class SecretKey(NamedTuple):
    """A Secret that a pod does not start without. Without a key, any will do."""

    namespace: str
    name: str
    key: str | None


class Claim(NamedTuple):
    """A volume that a pod does not start without. `storage_class` None: the cluster's default."""

    namespace: str
    name: str
    storage_class: str | None


class Block(NamedTuple):
    """A network that a policy opens, such as 10.0.0.0/8, but for the networks within it that stay closed."""

    cidr: str
    closed: tuple[str, ...] = ()

    def opens(self, address: str) -> bool:
        """Whether pods may connect to this address. As in a policy, a network may be named by any address in it."""
        found = ip_address(address)
        within, *closed = (found in ip_network(one, strict=False) for one in (self.cidr, *self.closed))
        return within and not any(closed)


class Server(NamedTuple):
    """An address of a server, and the Service in the cluster that it is; None if it is elsewhere."""

    address: str
    service: str | None
    namespace: str | None


def is_ours(found: Manifest) -> bool:
    """Whether an object in the cluster belongs to the platform."""
    label, value = OUR_LABEL
    return bool((found["metadata"].get("labels") or {}).get(label) == value)


def applied(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The objects that `kubectl apply` sends: all but empty documents."""
    return [one for one in manifests if one and _LOCAL not in (one["metadata"].get("annotations") or {})]


def name_of(manifest: Manifest) -> str:
    """Kind and name, as `kubectl` writes them."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def namespaces(manifests: Sequence[Manifest]) -> list[str]:
    """The namespaces that must exist already, the platform's first."""
    brought = {one["metadata"]["name"] for one in manifests if one["kind"] == "Namespace"}
    used = dict.fromkeys(one["metadata"].get("namespace") for one in manifests)
    return sorted({one for one in used if one} - brought, key=lambda one: (one != platform_namespace(manifests), one))


def platform_namespace(manifests: Sequence[Manifest]) -> str:
    """Where the settings are."""
    places = (one["metadata"]["namespace"] for one in manifests if name_of(one) == "ConfigMap/nhm-settings")
    return next(places, "mlflow")


def settings(manifests: Sequence[Manifest]) -> dict[str, str]:
    """The settings that are not secret."""
    return next((dict(one["data"]) for one in manifests if name_of(one) == "ConfigMap/nhm-settings"), {})


def mounted_file(manifests: Sequence[Manifest], path: PurePosixPath) -> str | None:
    """A file of the code location that a ConfigMap of the manifests holds; None if none does."""
    for deployment in (one for one in manifests if name_of(one) == "Deployment/nhm-code"):
        pod = deployment["spec"]["template"]["spec"]
        volumes = {one["name"]: one.get("configMap", {}).get("name") for one in pod.get("volumes", ())}
        mounts = (mount for container in pod["containers"] for mount in container.get("volumeMounts", ()))
        held_by = {volumes.get(one["name"]) for one in mounts if PurePosixPath(one["mountPath"]) == path.parent}
        for config in (one for one in manifests if one["kind"] == "ConfigMap" and one["metadata"]["name"] in held_by):
            return (config.get("data") or {}).get(path.name)
    return None


def pods(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Namespace and specification of every workload's pods."""
    for one in manifests:
        spec = one.get("spec") or {}
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield one["metadata"]["namespace"], spec["template"]["spec"]


def _containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def secret_keys(manifests: Sequence[Manifest]) -> list[SecretKey]:
    """The Secrets that pods name and need."""
    found: set[SecretKey] = set()
    for namespace, pod in pods(manifests):
        for container in _containers(pod):
            for variable in container.get("env", ()):
                ref = variable.get("valueFrom", {}).get("secretKeyRef")
                if ref and not ref.get("optional"):
                    found.add(SecretKey(namespace, ref["name"], ref["key"]))
            whole = (source.get("secretRef") for source in container.get("envFrom", ()))
            found |= {SecretKey(namespace, one["name"], None) for one in whole if one and not one.get("optional")}
        mounted = (volume.get("secret") for volume in pod.get("volumes", ()))
        found |= {SecretKey(namespace, one["secretName"], None) for one in mounted if one and not one.get("optional")}
    return sorted(found, key=lambda one: (one.namespace, one.name, one.key or ""))


def registry_of(image: str) -> str:
    """The host that nodes pull an image from: the first part of its name if that is a host, else Docker's own."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def images(manifests: Sequence[Manifest]) -> list[str]:
    """All images, sorted."""
    return sorted({container["image"] for _, pod in pods(manifests) for container in _containers(pod)})


def pull_secrets(manifests: Sequence[Manifest]) -> list[SecretKey]:
    """The Secrets that nodes pull images with."""
    accounts = [
        (one["metadata"]["namespace"], one.get("imagePullSecrets", ()))
        for one in manifests
        if one["kind"] == "ServiceAccount"
    ]
    named = [*accounts, *((namespace, pod.get("imagePullSecrets", ())) for namespace, pod in pods(manifests))]
    found = {SecretKey(namespace, one["name"], ".dockerconfigjson") for namespace, listed in named for one in listed}
    return sorted(found, key=lambda one: (one.namespace, one.name))


def claims(manifests: Sequence[Manifest]) -> list[Claim]:
    """The volumes: claims, and those that StatefulSets make for their first pod."""
    found = []
    for one in manifests:
        namespace, name = one["metadata"].get("namespace", ""), one["metadata"]["name"]
        if one["kind"] == "PersistentVolumeClaim":
            found.append(Claim(namespace, name, one["spec"].get("storageClassName")))
        for template in (one.get("spec") or {}).get("volumeClaimTemplates", ()):
            of_pod = f"{template['metadata']['name']}-{name}-0"
            found.append(Claim(namespace, of_pod, template["spec"].get("storageClassName")))
    return found


def mounted_claims(manifests: Sequence[Manifest]) -> list[tuple[str, str]]:
    """Namespace and name of the claims that pods mount and the manifests do not bring."""
    brought = {(claim.namespace, claim.name) for claim in claims(manifests)}
    volumes = ((namespace, volume) for namespace, pod in pods(manifests) for volume in pod.get("volumes", ()))
    mounted = {
        (place, one["persistentVolumeClaim"]["claimName"]) for place, one in volumes if "persistentVolumeClaim" in one
    }
    return sorted(mounted - brought)


def grants(manifests: Sequence[Manifest]) -> Iterator[tuple[str, str, str, str, str]]:
    """What the Roles grant: verb, group, resource, namespace and name ("" for all). Who applies them must hold it."""
    for role in manifests:
        if role["kind"] != "Role":
            continue
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", ("",)):
                        for verb in rule["verbs"]:
                            yield verb, group, resource, role["metadata"]["namespace"], name


def without_rights(manifests: Sequence[Manifest], places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The Deployments, by namespace and name, that no Role lets a run restart."""
    granted = {one for one in grants(manifests) if one[1:3] == ("apps", "deployments")}
    return [
        (namespace, name)
        for namespace, name in places
        if not all({(verb, "apps", "deployments", namespace, one) for one in (name, "")} & granted for verb in _RESTART)
    ]


def api_server_blocks(manifests: Sequence[Manifest]) -> list[Block] | None:
    """The networks in which pods may connect to the API server; None: no policy restricts that."""
    policies = [one["spec"] for one in manifests if name_of(one) == "NetworkPolicy/nhm-api-server"]
    rules = [rule for spec in policies for rule in spec.get("egress") or ()]
    # A rule that names nobody opens every address.
    if not policies or not all(rule.get("to") for rule in rules):
        return None
    blocks = (peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer)
    return [Block(one["cidr"], tuple(one.get("except") or ())) for one in blocks]


def api_server_addresses(service: Manifest, endpoints: Manifest) -> list[str]:
    """Those of the Service `kubernetes` and of the servers behind it."""
    spec = service.get("spec") or {}
    behind = [one["ip"] for subset in endpoints.get("subsets") or () for one in subset.get("addresses") or ()]
    return list(dict.fromkeys([*(spec.get("clusterIPs") or [spec["clusterIP"]] if spec else []), *behind]))


def outside(addresses: Iterable[str], blocks: Sequence[Block]) -> list[str]:
    """The addresses that none of these networks opens. Those of another kind of IP are outside."""
    return [one for one in addresses if not any(block.opens(one) for block in blocks)]


def server_at(address: str, usual_port: int, namespace: str) -> Server:
    """The server of an address, of the first one if it names several; `namespace` is that of who connects.

    A password in the wrong place of a malformed address is not shown.
    """
    scheme, _, rest = masked(address).partition("://")
    location = rest.rpartition("@")[2].partition("/")[0].partition(",")[0]
    host, _, port = location.partition(":")
    shown = f"{host}:{port or usual_port}"
    labels = host.split(".")
    if "svc" in labels[2:]:
        # A pod of a headless Service has a name of its own before that of the Service.
        service, place = labels[labels.index("svc") - 2 : labels.index("svc")]
        return Server(shown, service, place)
    if host.replace("-", "").isalnum() and host != "localhost" and not scheme.endswith("+srv"):
        return Server(shown, host, namespace)
    return Server(shown, None, None)
