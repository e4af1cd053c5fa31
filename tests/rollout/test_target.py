"""Which Deployment is a specialist's, and which are those of the others."""

from typing import Any

from nhm_assets.domain.specialists import Specialist
from nhm_assets.rollout.target import Target
from nhm_assets.settings import Settings
from tests.support.configured import configured

OWN = Specialist("data-quality", deployment="opinions", namespace="hive-two")
NEAR = Specialist("near", deployment="near-opinions")
ASKED_NOT_HERE: Any = None


def target(name: str) -> Target:
    return Target.of(Settings(specialist_namespace="hive"), name, ASKED_NOT_HERE)


def test_a_specialist_has_its_own_deployment_and_namespace_or_those_of_the_settings():
    with configured(OWN, NEAR, Specialist("technical")):
        assert str(target("data-quality")) == "Deployment opinions in namespace hive-two"
        assert str(target("near")) == "Deployment near-opinions in namespace hive"
        assert str(target("technical")) == "Deployment specialist-technical in namespace hive"


def test_the_others_are_those_of_every_namespace():
    with configured(OWN, NEAR, Specialist("technical")):
        assert target("technical").others == (("hive-two", "opinions"), ("hive", "near-opinions"))
        assert target("technical").restarts_ahead == 4


def test_a_specialist_that_was_taken_out_still_has_a_deployment_to_ask():
    assert target("data-quality").deployment == "specialist-data-quality"
