"""The Grafana dashboards, as their files hold them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.manifests import K8S

FOLDER = K8S / "components" / "monitoring" / "dashboards"


@dataclass(frozen=True)
class Panel:
    """One panel of a dashboard."""

    dashboard: str
    title: str
    description: str
    expressions: tuple[str, ...]
    place: tuple[int, int, int, int]


def dashboards() -> dict[str, dict[str, Any]]:
    """File name -> dashboard."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels() -> Iterator[Panel]:
    """All panels of all dashboards."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            yield Panel(
                name,
                panel["title"],
                panel["description"],
                tuple(target["expr"] for target in panel["targets"]),
                (place["x"], place["y"], place["w"], place["h"]),
            )


def asked(expression: str) -> str:
    """The expression as Grafana sends it if all specialists are chosen."""
    return expression.replace("$specialist", ".*")
