"""Any object of a Kubernetes cluster by kind and name, and what the user of the connection may do there. Only reads."""

from dataclasses import dataclass

from resources.kubernetes import Cluster, Object


@dataclass(frozen=True)
class Kind:
    """A kind of object as the API server serves it.

    Attributes:
        group: "" for the core group.
        plural: its name in addresses and in Roles.
    """

    api_version: str
    group: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The address of one object, or of all of them."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{place}/{self.plural}" + (f"/{name}" if name else "")


class Objects:
    """The objects of a cluster. Every method can raise KubernetesRefused and KubernetesUnavailable."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._kinds: dict[str, dict[str, Kind]] = {}

    def server_version(self) -> tuple[int, int]:
        """The API server's version, such as (1, 31)."""
        version = self._cluster.call("GET", "/version") or {}
        # Some providers write `31+`.
        return int(version.get("major", 0)), int(str(version.get("minor", 0)).rstrip("+"))

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """How the server serves a kind; None if it does not serve it in this version."""
        if api_version not in self._kinds:
            self._kinds[api_version] = self._served(api_version)
        return self._kinds[api_version].get(kind)

    def _served(self, api_version: str) -> dict[str, Kind]:
        group = api_version.rpartition("/")[0]
        listed = self._cluster.call("GET", f"/apis/{api_version}" if group else f"/api/{api_version}") or {}
        return {
            # A name with a slash is that of a subresource, whose kind may be that of another object.
            one["kind"]: Kind(api_version, group, one["name"], bool(one["namespaced"]))
            for one in listed.get("resources", ())
            if "/" not in one["name"]
        }

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """One object; None if there is none."""
        return self._cluster.call("GET", kind.path(namespace, name))

    def all(self, kind: Kind, namespace: str | None, selector: str = "") -> list[Object]:
        """All objects of a kind, in one namespace or the cluster; `selector` is one of labels, URL-encoded."""
        query = f"?labelSelector={selector}" if selector else ""
        return list((self._cluster.call("GET", kind.path(namespace) + query) or {}).get("items", ()))

    def may(self, verb: str, group: str, resource: str, namespace: str | None, name: str = "") -> bool:
        """Whether the user of this connection may do this; a subresource follows its resource after a slash."""
        plural, _, subresource = resource.partition("/")
        asked = {
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": subresource,
            "namespace": namespace or "",
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self._cluster.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review) or {}
        return bool(answer.get("status", {}).get("allowed"))
