"""Links lead to what an id stands for, and tell no secret."""

import pytest
from pydantic import SecretStr

from nhm_assets.definitions import build_definitions
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from nhm_assets.steps.tables import as_counts, pairs
from tests.support.dagster_internals import get_resource_type_name

EVERYWHERE = Settings(
    mlflow_ui_url="https://mlflow.example/",
    code_url="https://git.example/nhm-assets/blob/main",
    dagster_url="https://dagster.example/",
    asset_owners="team:models, ada@example.org",
)


def test_a_version_links_to_its_model_run_and_runbook_and_names_the_commands():
    (line,) = Links.of(EVERYWHERE).about_version("technical", "technical-evaluator", "7", "abc").value.splitlines()
    for part in (
        "[technical-evaluator](https://mlflow.example/#/models/technical-evaluator?workflowType=machine_learning)",
        "[version 7](https://mlflow.example/#/models/technical-evaluator/versions/7?workflowType=machine_learning)",
        "[MLflow run](https://mlflow.example/#/runs/abc?workflowType=machine_learning)",
        "`nhm audit technical --version 7`",
        "[runbook](https://git.example/nhm-assets/blob/main/docs/runbook.md)",
    ):
        assert part in line
    assert len(line) < 1000, "longer Markdown hides behind a button"
    about = ("technical", "technical-evaluator", "7", "abc")
    assert "`nhm audit promoted-7`" in Links.of(EVERYWHERE).about_version(*about, audit_id="promoted-7").value


def test_without_addresses_there_are_words_and_no_dead_links():
    line = Links.of(Settings()).about_version("technical", "technical-evaluator", "7", "abc").value
    assert "](" not in line
    assert "technical-evaluator · version 7" in line


@pytest.mark.parametrize(
    ("tracking", "shown"),
    [
        ("http://ada:s3cret@mlflow.example:5000", "http://mlflow.example:5000"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("sqlite:////var/lib/mlflow.db", None),
    ],
)
def test_the_tracking_server_stands_in_for_the_ui_without_its_password(tracking: str, shown: str | None):
    assert Links.of(Settings(mlflow_tracking_uri=SecretStr(tracking))).mlflow == shown


def test_every_asset_has_owners_a_kind_and_a_link_to_its_code_and_those_made_here_a_code_version():
    graph = build_definitions(EVERYWHERE).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners == ["team:models", "ada@example.org"]
        assert node.kinds, key
        (reference,) = node.metadata["dagster/code_references"].code_references
        assert reference.url.startswith("https://git.example/nhm-assets/blob/main/nhm_assets/"), key
        assert bool(node.code_version) != node.is_external, key


def test_every_resource_has_a_type_and_a_description():
    resources = build_definitions(Settings()).get_repository_def().get_top_level_resources()
    for name, resource in resources.items():
        assert "<lambda>" not in get_resource_type_name(resource), name
        assert resource.description, name
    assert get_resource_type_name(resources["mongo"]) == "resources.mongo.Mongo"


def test_a_table_gives_back_its_counts_and_rounds_fractions():
    assert as_counts(pairs("class", "rows", {"approve": 3, "reject": 1})) == {"approve": 3, "reject": 1}
    assert as_counts({"0": 2}) == {"0": 2}
    assert as_counts(None) == {}
    (row,) = pairs("method", "Brier score", {"sigmoid": 0.123456}).records
    assert row.data["Brier score"] == 0.123
