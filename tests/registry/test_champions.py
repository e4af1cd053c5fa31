"""What is in Production of many models, asked together: few requests, and the answers that each model would give."""

from collections.abc import Callable
from typing import Any

import pytest

from nhm_assets.registry import champions as module
from nhm_assets.registry.champions import Champions, champions
from nhm_assets.registry.versions import version_by_alias, versions_in_production
from resources.mlflow import Mlflow
from tests.registry.test_versions import Reads
from tests.support.registry import Registry

Move = Callable[[Any, str], Any]


def put(client: Any, model: str, version: str, stage: str = "Production", *, archive: bool = False) -> None:
    client.transition_model_version_stage(model, version, stage, archive_existing_versions=archive)


def name_it(client: Any, model: str, version: str) -> None:
    client.set_registered_model_alias(model, "production", version)


def promoted(client: Any, model: str, version: str) -> None:
    """What the platform does."""
    put(client, model, version, archive=True)
    name_it(client, model, version)


def filled(client: Any, model: str) -> str:
    """A model with four versions, of which the platform has promoted the third."""
    client.create_registered_model(model)
    for number in range(1, 5):
        client.create_model_version(model, "s3://nowhere/model", tags={"number": str(number)})
    promoted(client, model, "3")
    return model


MOVES: dict[str, Move] = {
    "nothing": lambda _, __: None,
    "promoted": lambda client, model: promoted(client, model, "4"),
    "older second": lambda client, model: put(client, model, "1"),
    "newer second": lambda client, model: put(client, model, "4"),
    "archived": lambda client, model: put(client, model, "3", "Archived"),
    "alias": lambda client, model: name_it(client, model, "1"),
    "alias deleted": lambda client, model: client.delete_registered_model_alias(model, "production"),
    "deleted": lambda client, model: client.delete_model_version(model, "3"),
    "model deleted": lambda client, model: client.delete_registered_model(model),
    "model renamed": lambda client, model: client.rename_registered_model(model, f"other-{model}"),
    "created again": lambda client, model: (client.delete_registered_model(model), filled(client, model)),
}


def plain(one: Champions) -> dict[str, Any]:
    return {"numbers": one.numbers, "tags": one.served and one.served.tags, "alias": one.alias}


def each_by_itself(client: Any, audited: dict[str, str | None]) -> dict[str, Any]:
    """The answers of the questions about one model."""
    found = {}
    for model, number in audited.items():
        versions = versions_in_production(client, model, audited=number)
        one = Champions(
            tuple(str(version.version) for version in versions),
            versions[0] if versions else None,
            version_by_alias(client, model, "production"),
        )
        found[model] = plain(one)
    return found


@pytest.mark.parametrize("by", ["library", "reader"])
@pytest.mark.parametrize("page", [2, 20])
def test_the_answers_are_those_of_the_questions_about_each_model(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, page: int, by: str
):
    """Before others have moved something, and after it. Models of others are among them, and one does not exist."""
    monkeypatch.setattr(module, "_AT_ONCE", page)
    client, mlflow = registry.client(), Mlflow(uri=None, home=registry.home, timeout_s=10)
    moves = {filled(client, f"{move.replace(' ', '-')}-evaluator"): move for move in MOVES}
    for foreign in ("a-foreign", "foreign-evaluator", "m-evaluator-of-others", "z"):
        filled(client, foreign)
    client.create_registered_model("empty-evaluator")
    audited: dict[str, str | None] = {
        **dict.fromkeys(moves, "3"),
        "empty-evaluator": None,
        "missing-evaluator": None,
    }
    with mlflow.client() if by == "library" else mlflow.reading() as asked:
        for _ in range(2):
            found = champions(asked, audited)
            assert {model: plain(one) for model, one in found.items()} == each_by_itself(client, audited)
        for model, move in moves.items():
            MOVES[move](client, model)
        expected = each_by_itself(client, audited)
        for _ in range(2):
            assert {model: plain(one) for model, one in champions(asked, audited).items()} == expected
    assert expected["older-second-evaluator"]["numbers"] == ("3", "1")
    assert expected["model-renamed-evaluator"]["numbers"] == ()


def test_names_without_a_common_ending_are_asked_together_too(registry: Registry):
    client = registry.client()
    audited: dict[str, str | None] = {filled(client, "of-one"): "3", filled(client, "of-two"): "3"}
    assert {model: plain(one) for model, one in champions(client, audited).items()} == each_by_itself(client, audited)
    assert champions(client, {}) == {}


@pytest.mark.parametrize(("count", "pages"), [(2, 1), (10, 1), (20, 2)])
def test_there_is_a_request_for_ten_models_and_one_for_each_that_was_moved(registry: Registry, count: int, pages: int):
    client = registry.client()
    audited: dict[str, str | None] = {filled(client, f"unit-{number}-evaluator"): "3" for number in range(count)}
    reads = Reads(client)
    champions(reads, audited)
    reads.requests = 0
    champions(reads, audited)
    assert reads.requests == pages
    put(client, "unit-1-evaluator", "1")
    for requests in (2 * pages + 1, 3 * pages + 1):
        assert champions(reads, audited)["unit-1-evaluator"].numbers == ("3", "1")
        assert reads.requests == requests


def test_what_was_found_without_the_audit_log_does_not_hide_what_the_platform_put_there(registry: Registry):
    """A newer version has stage and alias, and since then, more versions were changed than a look-up reads."""
    client, model = registry.client(), filled(registry.client(), "unit-evaluator")
    for _ in range(25):
        client.create_model_version(model, "s3://nowhere/model")
    put(client, model, "4")
    name_it(client, model, "4")
    for number in range(5, 29):
        client.update_model_version(model, str(number), "looked at")
    champions(client, {model: None})
    assert champions(client, {model: "3"})[model].numbers == ("4", "3")


def test_a_model_that_another_one_pushed_out_of_its_page_is_found(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    client = registry.client()
    audited: dict[str, str | None] = {filled(client, f"unit-{number}-evaluator"): "3" for number in range(3)}

    class Deleting(Reads):
        def search_registered_models(self, *args: Any, **kwargs: Any) -> Any:
            page = client.search_registered_models(*args, **kwargs)
            if page.token:
                client.delete_registered_model("unit-0-evaluator")
            return page

    assert champions(Deleting(client), audited)["unit-2-evaluator"].numbers == ("3",)
