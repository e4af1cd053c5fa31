"""What `promoted_version` does with a candidate, in whole runs of the job."""

from nhm_assets.registry import version_by_alias, version_in_production
from tests.support.documents import put, reviewed_opinions
from tests.support.platform import Platform, verdicts

MODEL = "technical-evaluator"


def learnable(platform: Platform, **fields) -> None:
    opinions, reviews = reviewed_opinions(400, **fields)
    put(platform.database, opinions=opinions, feedback=reviews)


def stages(platform: Platform) -> dict[str, str]:
    with platform.mlflow.client() as client:
        return {str(one.version): one.current_stage for one in client.search_model_versions(f"name='{MODEL}'")}


def test_a_candidate_that_passes_every_gate_check_is_promoted(platform: Platform):
    learnable(platform)
    result = platform.retrain()
    assert result.success
    assert [name for name, passed in verdicts(result).items() if not passed] == []
    assert platform.tags(result)["nhm/outcome"] == "promoted"
    with platform.mlflow.client() as client:
        assert str(version_in_production(client, MODEL).version) == version_by_alias(client, MODEL, "production")
        assert version_by_alias(client, MODEL, "candidate") is None
