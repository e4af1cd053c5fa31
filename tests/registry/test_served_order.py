"""A rollback to a version whose classes are in another order than the specialists read is never silent."""

import pytest

from nhm_assets.estimators.fitting import fit_model
from nhm_assets.registry.served_order import order_warning
from nhm_assets.registry.vocabulary import CLASSES_TAG
from tests.support.learnable import learnable
from tests.support.versions import FEW_TREES, MODEL, Versions, small_forest, versions

__all__ = ["versions"]

pytestmark = pytest.mark.servers

NAMES, CODES = "approve,reject,review_required", "reject,approve,review_required"


def warned(versions: Versions, version: str, served: str = "names") -> str | None:
    return order_warning(versions.client, versions.log, MODEL, version, served)


@pytest.mark.parametrize(
    ("tag", "served", "says"),
    [
        (NAMES, "names", None),
        (CODES, "codes", None),
        (CODES, "names", "answers reject, approve, review_required, but the specialists read approve, reject, review"),
        (NAMES, "codes", "answers approve, reject, review_required, but the specialists read reject, approve, review"),
        ("good,bad", "names", "does not say in which order it answers its classes"),
    ],
)
def test_the_tag_of_the_version_is_compared_with_what_the_specialists_read(
    versions: Versions, tag: str, served: str, says: str | None
):
    version = versions.add(small_forest(), tags={CLASSES_TAG: tag})
    warning = warned(versions, version, served)
    assert (warning is None) if says is None else (says in warning and f"SERVED_CLASSES={served}" in warning)


def test_without_the_tag_the_model_itself_says_it(versions: Versions):
    """A version of an earlier release: it was fitted on 0, 1 and 2, and has no tag."""
    version = versions.add(fit_model(learnable(), FEW_TREES, threads=1, served="codes"))
    assert f"{MODEL} version {version} answers reject, approve, review_required" in warned(versions, version)
    assert warned(versions, version, "codes") is None


def test_a_version_that_nobody_can_load_does_not_say_it(versions: Versions):
    version = versions.add(small_forest(), verified=False)
    assert "does not say in which order" in warned(versions, version)
