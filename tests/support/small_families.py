"""Families of models with few trees."""

from copy import copy
from typing import Any

import pytest

from nhm_assets.estimators.families import FAMILIES, named, own_parameters

ENSEMBLES = ["voting", "stacking"]


def small(name: str) -> dict[str, Any]:
    """The parameters of a family, with fewer trees where it has any of its own."""
    parameters = named(FAMILIES[name], FAMILIES[name].defaults)
    return parameters | {key: 10 for key in ("n_estimators", "max_iter") if key in parameters and name != "logistic"}


def make_members_small(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone, the members of ensembles have few trees, too."""
    for name in ENSEMBLES:
        members = {one.name: copy(one) for one in vars(FAMILIES[name])["_members"].values()}
        for one in members.values():
            one.defaults = own_parameters(small(one.name))
        patch.setattr(FAMILIES[name], "_members", members)
