"""A question of docs/runbook.md: the trouble is made, and its section's commands are followed."""

import pytest

from tests.rollout.test_going_back import denying, in_production
from tests.support.kube import Namespace
from tests.support.platform import Platform
from tests.support.rollouts import Registry, cluster_settings, roll_out
from tests.support.runbook import commands_of, follow
from tests.support.specialists import Answers


@pytest.mark.kubernetes
@pytest.mark.servers
@pytest.mark.slow
def test_a_model_does_not_load(hive: Platform, specialists: Namespace, registry: Registry, answers: Answers):
    old = registry.promote()
    roll_out(hive)
    new = registry.promote()
    answers.otherwise = denying(specialists, new)
    roll_out(hive)
    settings = {
        "nhm_home": hive.settings.nhm_home,
        "mongodb_uri": hive.settings.mongodb_uri.get_secret_value(),
        "mongodb_database": hive.settings.mongodb_database,
        **cluster_settings(specialists, specialist_status_url=answers.status_url),
    }
    first, remedy, proof = commands_of("A model does not load")
    shown = follow(first, **settings)
    assert shown.returncode == 1
    assert "Model Loaded: False" in shown.stdout
    done = follow(remedy, **settings)
    assert done.returncode == 0, done.stderr
    assert in_production(hive) == old
    shown = follow(proof, **settings).stdout
    assert "Model Loaded: True" in shown
    assert "Model Loaded: False" not in shown
