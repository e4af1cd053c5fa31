"""`nhm cluster check --manifests`: whether a cluster has what rendered manifests need. It only reads."""

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from nhm_assets.commands import cluster_needs as needs
from nhm_assets.commands.cluster_lines import Line, fault, ok, unknown
from nhm_assets.commands.cluster_needs import Manifest
from resources.errors import KubernetesRefused
from resources.kubernetes_objects import Kind, Objects

OLDEST: Final = (1, 27)
"""The first version that serves every kind and every field without which a pod would not start."""
_DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_STUCK: Final = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CrashLoopBackOff",
)
_HIVE_DEPLOYMENTS: Final = ("apps/v1", "Deployment")


class Before:
    """The checks, in the order in which an operator meets what they find."""

    def __init__(self, objects: Objects, manifests: Sequence[Manifest], deployments: Sequence[tuple[str, str]]) -> None:
        self._objects = objects
        self._manifests = needs.applied(manifests)
        self._deployments = deployments
        self._platform = needs.platform_namespace(manifests)

    def lines(self) -> Iterator[Line]:
        """Every finding. A check that the API server forbids becomes a line that says so."""
        checks: list[tuple[str, Callable[[], Iterator[Line]]]] = [
            ("Kubernetes", self._version),
            ("kinds", self._kinds),
            ("namespaces", self._namespaces),
            ("names", self._names),
            ("rights", self._rights),
            ("Secrets", self._secrets),
            ("storage", self._storage),
            ("priority", self._priority),
            ("images", self._images),
            ("API server", self._api_server),
            ("servers", self._servers),
            ("specialists", self._specialists),
            ("pods", self._pods),
        ]
        for subject, check in checks:
            try:
                yield from check()
            except KubernetesRefused as error:
                yield unknown(subject, str(error), "Run this again as somebody who may read that")

    def _kind(self, manifest: Manifest) -> Kind | None:
        return self._objects.kind(manifest["apiVersion"], manifest["kind"])

    def _version(self) -> Iterator[Line]:
        version = self._objects.server_version()
        name, oldest = ".".join(map(str, version)), ".".join(map(str, OLDEST))
        if version >= OLDEST:
            yield ok("Kubernetes", f"version {name}")
        else:
            yield fault("Kubernetes", f"version {name} is older than {oldest}", f"Update the cluster to {oldest}")

    def _kinds(self) -> Iterator[Line]:
        missing = {(one["apiVersion"], one["kind"]) for one in self._manifests if not self._kind(one)}
        for version, kind in sorted(missing):
            yield fault(
                "kinds",
                f"the server does not serve {kind} as {version}",
                "Install what defines it, or take the component that uses it out of the overlay"
                if "." in version.partition("/")[0]
                else "Update the cluster",
            )
        if not missing:
            yield ok("kinds", "the server serves every kind of the manifests")

    def _namespaces(self) -> Iterator[Line]:
        kind = self._objects.kind("v1", "Namespace")
        for name in needs.namespaces(self._manifests):
            if kind and self._objects.get(kind, None, name):
                yield ok("namespaces", f"{name} exists")
            else:
                yield fault("namespaces", f"{name} does not exist", f"kubectl create namespace {name}")

    def _names(self) -> Iterator[Line]:
        """Objects that `kubectl apply` would overwrite although they are not the platform's."""
        foreign, present, served = 0, 0, [(one, kind) for one in self._manifests if (kind := self._kind(one))]
        for manifest, kind in served:
            namespace, name = manifest["metadata"].get("namespace"), manifest["metadata"]["name"]
            found = self._objects.get(kind, namespace, name)
            present += found is not None
            if found and not needs.is_ours(found):
                foreign += 1
                yield fault(
                    "names",
                    f"{needs.name_of(manifest)} in {namespace} exists and is not the platform's. Do not apply: it would"
                    " be overwritten",
                    "Another overlay or another `namespace:` avoids the name. If it is of an older installation:"
                    f" kubectl label -n {namespace} {kind.plural}/{name} {'='.join(needs.OUR_LABEL)}",
                )
        if not foreign:
            yield ok("names", f"no object of others has a name of the {len(served)}; {present} are there already")

    def _rights(self) -> Iterator[Line]:
        missing = [*self._missing_rights()]
        for right in missing:
            yield fault("rights", f"you may not {right}", "Apply as somebody who may, or ask for that right")
        if not missing:
            yield ok("rights", "you may apply every object and grant every right of the Roles")

    def _missing_rights(self) -> Iterator[str]:
        places = {(kind, one["metadata"].get("namespace")) for one in self._manifests if (kind := self._kind(one))}
        for kind, namespace in sorted(places, key=str):
            for verb in ("get", "create", "patch"):
                if not self._objects.may(verb, kind.group, kind.plural, namespace):
                    yield f"{verb} {kind.plural} in {namespace}"
        escalates: dict[str, bool] = {}
        for verb, group, resource, namespace, name in needs.grants(self._manifests):
            if namespace not in escalates:
                roles = ("rbac.authorization.k8s.io", "roles", namespace)
                escalates[namespace] = self._objects.may("escalate", *roles)
            if not escalates[namespace] and not self._objects.may(verb, group, resource, namespace, name):
                yield f"grant a Role: you do not hold {verb} {resource} {name}".rstrip() + f" in {namespace}"

    def _secrets(self) -> Iterator[Line]:
        for secret in needs.secret_keys(self._manifests):
            yield self._secret(secret, f"kubectl create secret generic -n {secret.namespace} {secret.name}")

    def _secret(self, secret: needs.SecretKey, command: str) -> Line:
        kind = self._objects.kind("v1", "Secret")
        try:
            found = self._objects.get(kind, secret.namespace, secret.name) if kind else None
        except KubernetesRefused:
            return unknown(
                "Secrets",
                f"you may not read {secret.name} in {secret.namespace}",
                f"kubectl describe secret -n {secret.namespace} {secret.name}, as somebody who may",
            )
        option = f" --from-literal={secret.key}=..." if secret.key else ""
        if found is None:
            return fault("Secrets", f"{secret.name} does not exist in {secret.namespace}", f"{command}{option}")
        if secret.key and secret.key not in (found.get("data") or {}):
            return fault("Secrets", f"{secret.name} has no key {secret.key}", f"Delete it, then {command}{option}")
        return ok("Secrets", f"{secret.name} has {secret.key or 'keys'}")

    def _storage(self) -> Iterator[Line]:
        claims = self._objects.kind("v1", "PersistentVolumeClaim")
        for namespace, name in needs.mounted_claims(self._manifests):
            if claims and self._objects.get(claims, namespace, name):
                yield ok("storage", f"the volume {name} exists")
            else:
                remedy = f"kubectl apply -n {namespace} -f k8s/volumes/{name}.yaml"
                yield fault("storage", f"the volume {name} does not exist in {namespace}", remedy)
        kind = self._objects.kind("storage.k8s.io/v1", "StorageClass")
        classes = self._objects.all(kind, None) if kind else []
        for claim in needs.claims(self._manifests):
            found = self._objects.get(claims, claim.namespace, claim.name) if claims else None
            if found and (found.get("status") or {}).get("phase") == "Bound":
                yield ok("storage", f"the volume {claim.name} exists")
            else:
                yield _class_for(claim, classes)

    def _priority(self) -> Iterator[Line]:
        name = needs.settings(self._manifests).get("RUN_PRIORITY_CLASS")
        kind = self._objects.kind("scheduling.k8s.io/v1", "PriorityClass")
        if not name or not kind:
            return
        if self._objects.get(kind, None, name):
            yield ok("priority", f"the PriorityClass {name} exists")
        else:
            remedy = "kubectl apply -f k8s/cluster/run-priority.yaml, or correct RUN_PRIORITY_CLASS"
            yield fault("priority", f"there is no PriorityClass {name}, so no run's pod could be created", remedy)

    def _images(self) -> Iterator[Line]:
        pulls = needs.pull_secrets(self._manifests)
        for secret in pulls:
            yield self._secret(secret, f"kubectl create secret docker-registry -n {secret.namespace} {secret.name}")
        for image in needs.images(self._manifests):
            how = f"with {pulls[0].name}" if pulls else "without credentials: the manifests name no pull secret"
            yield unknown(
                "images",
                f"nodes pull {image} from {needs.registry_of(image)} {how}",
                "After the apply, this check names every pod whose image did not come",
            )

    def _api_server(self) -> Iterator[Line]:
        """Some networks compare the address of the Service with a policy, others that of the server behind it."""
        blocks = needs.api_server_blocks(self._manifests)
        service, endpoints = (self._objects.kind("v1", kind) for kind in ("Service", "Endpoints"))
        if blocks is None or not service or not endpoints:
            return
        found = self._objects.get(service, "default", "kubernetes")
        behind = self._objects.get(endpoints, "default", "kubernetes")
        addresses = needs.api_server_addresses(found or {}, behind or {})
        if closed := needs.outside(addresses, blocks):
            yield fault(
                "API server",
                f"it is at {', '.join(closed)}, which the policy nhm-api-server does not open: no run would start",
                "Add the address to the patch of nhm-api-server in your overlay, as ADDRESS/32 (IPv6: ADDRESS/128)",
            )
        elif addresses:
            yield ok("API server", f"the policy nhm-api-server opens {', '.join(addresses)}")

    def _servers(self) -> Iterator[Line]:
        name = "MLFLOW_TRACKING_URI"
        # In the pods, the Secret overrides the ConfigMap.
        if uri := self._secret_value("nhm-secrets", name) or needs.settings(self._manifests).get(name):
            yield self._server("MLflow", needs.server_at(uri, 5000, self._platform))
        if uri := self._secret_value("mongodb-secret", "uri"):
            yield self._server("MongoDB", needs.server_at(uri, 27017, self._platform))

    def _secret_value(self, name: str, key: str) -> str | None:
        kind = self._objects.kind("v1", "Secret")
        found = self._objects.get(kind, self._platform, name) if kind else None
        encoded = ((found or {}).get("data") or {}).get(key)
        return base64.b64decode(encoded).decode(errors="replace") if encoded else None

    def _server(self, subject: str, server: needs.Server) -> Line:
        brought = {name for one in self._manifests if (name := needs.name_of(one)).startswith("Service/")}
        if server.service is None:
            return unknown(
                subject,
                f"{server.address} is outside the cluster or has another kind of name",
                "After the apply, run `nhm cluster check` in a pod",
            )
        if server.namespace == self._platform and f"Service/{server.service}" in brought:
            return ok(subject, f"{server.address} comes with the manifests")
        place = f"Service {server.service} in {server.namespace}"
        endpoints, services = self._objects.kind("v1", "Endpoints"), self._objects.kind("v1", "Service")
        if not services or not self._objects.get(services, server.namespace, server.service):
            return fault(subject, f"there is no {place}", f"Correct the address {server.address}, or start the server")
        found = self._objects.get(endpoints, server.namespace, server.service) if endpoints else None
        if not any(subset.get("addresses") for subset in (found or {}).get("subsets") or ()):
            return fault(
                subject,
                f"no pod of {place} is ready",
                f"kubectl describe -n {server.namespace} service/{server.service}",
            )
        return ok(subject, f"{place} has ready pods")

    def _specialists(self) -> Iterator[Line]:
        kind = self._objects.kind(*_HIVE_DEPLOYMENTS)
        missing = [
            (namespace, name)
            for namespace, name in self._deployments
            if not kind or not self._objects.get(kind, namespace, name)
        ]
        for namespace, name in missing:
            yield fault(
                "specialists",
                f"there is no Deployment {name} in {namespace}",
                "Correct SPECIALIST_NAMESPACE and SPECIALIST_DEPLOYMENT in your overlay, or install the specialist",
            )
        closed = needs.without_rights(self._manifests, self._deployments)
        for namespace, name in closed:
            found = f"no Role lets runs restart {name} in {namespace}"
            yield fault("specialists", found, "Add it to the Role nhm-rollout, or to one like it in that namespace")
        if self._deployments and not missing and not closed:
            yield ok("specialists", f"all {len(self._deployments)} Deployments exist")

    def _pods(self) -> Iterator[Line]:
        """After an apply: pods of the platform that do not start."""
        kind = self._objects.kind("v1", "Pod")
        selector = "%3D".join(needs.OUR_LABEL).replace("/", "%2F")
        for pod in self._objects.all(kind, self._platform, selector) if kind else ():
            statuses = (pod.get("status") or {}).get("containerStatuses") or ()
            for waiting in (one.get("state", {}).get("waiting") or {} for one in statuses):
                if waiting.get("reason") in _STUCK:
                    name = pod["metadata"]["name"]
                    yield fault(
                        "pods",
                        f"{name} does not start: {waiting['reason']} {waiting.get('message', '')}".rstrip(),
                        f"kubectl describe -n {self._platform} pod/{name}",
                    )


def _class_for(claim: needs.Claim, classes: Sequence[Manifest]) -> Line:
    names = [one["metadata"]["name"] for one in classes]
    defaults = [one["metadata"]["name"] for one in classes if _is_default(one)]
    if claim.storage_class in names or (claim.storage_class is None and defaults):
        return ok("storage", f"the volume {claim.name} will be of class {claim.storage_class or defaults[0]}")
    wanted = f"class {claim.storage_class}" if claim.storage_class else "default class"
    return fault(
        "storage",
        f"the volume {claim.name} needs a {wanted}, and there is none (there are: {', '.join(names) or 'no classes'})",
        "Set storageClassName in your overlay, or mark a class as the default",
    )


def _is_default(storage_class: Manifest) -> bool:
    notes = storage_class["metadata"].get("annotations") or {}
    return any(notes.get(key) == "true" for key in _DEFAULT_CLASS)
