"""Stored plan features in MongoDB: those of the specialists are used and never changed, ours are added."""

import json
import math
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import COMPUTED_FEATURES, EMBEDDING_FEATURES, FEATURE_NAMES
from nhm_assets.domain.errors import DataError
from nhm_assets.feedback.features import EXTRACTOR
from nhm_assets.feedback.stored_features import ensure_index, needs_ours, parse_stored, write_back
from tests.support.commands import Commands, listened
from tests.support.documents import NOW

NUMBERS = {name: position + 0.5 for position, name in enumerate(FEATURE_NAMES)}
COMPUTED = {name: NUMBERS[name] for name in COMPUTED_FEATURES}
FOREIGN = {"num_tasks_squared": 9.0, "has_risk_score": 1.0}
OLDER = {**EXTRACTOR, "version": "0"}


def nested(numbers: dict[str, Any]) -> dict[str, Any]:
    return {"aggregated_features": {**numbers, **FOREIGN}, "metadata_features": FOREIGN}


@pytest.mark.parametrize(
    "features",
    [
        pytest.param(nested(NUMBERS), id="a map"),
        pytest.param(json.dumps(nested(NUMBERS)), id="a JSON string"),
        pytest.param({**NUMBERS, **FOREIGN}, id="an older map with the numbers at its top level"),
        pytest.param(json.dumps(NUMBERS), id="an older JSON string"),
        pytest.param(nested(dict(reversed(NUMBERS.items()))), id="names in another order"),
    ],
)
def test_stored_features_are_read_by_name_in_column_order(features: object):
    assert parse_stored({"plan_id": "p", "features": features}) == tuple(NUMBERS.values())


def test_whole_numbers_are_read_as_floats():
    values = parse_stored({"features": nested(dict.fromkeys(FEATURE_NAMES, 3))})
    assert values == (3.0,) * 26
    assert {type(value) for value in values} == {float}


@pytest.mark.parametrize(
    "features",
    [
        pytest.param(None, id="null"),
        pytest.param("", id="an empty string"),
        pytest.param("{'num_tasks': 1}", id="not JSON"),
        pytest.param("[" * 100_000, id="JSON too deep to read"),
        pytest.param("[1, 2]", id="a JSON list"),
        pytest.param(list(NUMBERS.values()), id="a list"),
        pytest.param(nested(COMPUTED), id="without embedding features"),
        pytest.param({**NUMBERS, "aggregated_features": None}, id="a null where the numbers should be"),
        pytest.param({**NUMBERS, "aggregated_features": {}}, id="complete at the top level, but not where it counts"),
        *(
            pytest.param(nested({**NUMBERS, "mean_norm": value}), id=f"a feature that is {value!r}")
            for value in (None, "0.5", True, math.nan, math.inf, -math.inf, 1e39, 10**400, [0.5], Decimal128("0.5"))
        ),
        pytest.param(json.dumps(nested({**NUMBERS, "density": math.nan})), id="NaN in JSON"),
    ],
)
def test_incomplete_or_unreadable_features_count_as_none(features: object):
    assert parse_stored({"plan_id": "p", "features": features}) is None


@pytest.mark.parametrize("missing", FEATURE_NAMES)
def test_all_26_features_are_required(missing: str):
    numbers = {name: value for name, value in NUMBERS.items() if name != missing}
    assert parse_stored({"features": nested(numbers)}) is None


def test_without_a_document_there_are_no_features():
    assert parse_stored(None) is None
    assert parse_stored({"plan_id": "p"}) is None


@pytest.mark.parametrize(
    ("document", "needed"),
    [
        pytest.param(None, "yes", id="no document"),
        pytest.param({"extractor": OLDER}, "yes", id="ours, by an older version"),
        pytest.param({"extractor": EXTRACTOR}, "no", id="ours"),
        pytest.param({"features": nested(COMPUTED)}, "no", id="a specialist's, incomplete"),
        pytest.param({"features": None}, "no", id="a specialist's, empty"),
        pytest.param({"extractor": None}, "no", id="a null extractor"),
        pytest.param({"extractor": "nhm-assets"}, "no", id="an extractor that is a string"),
    ],
)
def test_ours_are_written_if_there_are_none_or_outdated_ones(document: dict | None, needed: str):
    assert needs_ours(document) == (needed == "yes")


def stored(database: Database, plan_id: str) -> dict[str, Any]:
    return database.plan_features.find_one({"plan_id": plan_id}, {"_id": 0})


def test_written_features_say_who_computed_them_and_when(database: Database):
    assert write_back(database.plan_features, {"p": COMPUTED}, NOW) == 1
    assert stored(database, "p") == {
        "plan_id": "p",
        "features": {"aggregated_features": COMPUTED},
        "timestamp": NOW.timestamp(),
        "extractor": EXTRACTOR,
    }


def test_a_later_run_does_not_use_ours(database: Database):
    """They lack the embedding features, so the dataset would depend on which specialist was trained first."""
    write_back(database.plan_features, {"p": COMPUTED}, NOW)
    assert not set(EMBEDDING_FEATURES) & set(COMPUTED)
    assert parse_stored(stored(database, "p")) is None


@pytest.mark.parametrize(
    "features",
    [nested(NUMBERS), nested(COMPUTED), "unreadable", None],
    ids=["complete", "incomplete", "unreadable", "empty"],
)
def test_a_document_of_a_specialist_is_never_replaced(database: Database, features: object):
    ensure_index(database.plan_features)
    theirs = {"plan_id": "p", "features": features, "timestamp": 1.0}
    database.plan_features.insert_one(dict(theirs))
    assert write_back(database.plan_features, {"p": COMPUTED, "q": COMPUTED}, NOW) == 1
    assert stored(database, "p") == theirs
    assert stored(database, "q")["extractor"] == EXTRACTOR
    assert database.plan_features.count_documents({}) == 2


def test_a_document_of_another_extractor_is_never_replaced(database: Database):
    ensure_index(database.plan_features)
    theirs = {"plan_id": "p", "features": nested(COMPUTED), "extractor": {"name": "other", "version": "0"}}
    database.plan_features.insert_one(dict(theirs))
    assert write_back(database.plan_features, {"p": COMPUTED}, NOW) == 0
    assert stored(database, "p") == theirs


def test_ours_by_an_older_version_are_replaced(database: Database):
    ensure_index(database.plan_features)
    old = {"features": {"aggregated_features": {}}, "extractor": OLDER}
    database.plan_features.insert_many([{"plan_id": "p", **old}, {"plan_id": "not computed now", **old}])
    assert write_back(database.plan_features, {"p": COMPUTED}, NOW) == 1
    assert stored(database, "p")["extractor"] == EXTRACTOR
    assert stored(database, "not computed now")["extractor"] == OLDER


def test_ours_by_this_version_stay_as_they_are(database: Database):
    ensure_index(database.plan_features)
    write_back(database.plan_features, {"p": COMPUTED}, NOW)
    before = database.plan_features.find_one()
    assert write_back(database.plan_features, {"p": COMPUTED}, NOW) == 0
    assert database.plan_features.find_one() == before


def test_a_specialist_that_writes_at_the_same_time_wins(mongod_uri: str, database: Database):
    """Its document is inserted after our older one was deleted and before our new one is written."""
    ensure_index(database.plan_features)
    database.plan_features.insert_one({"plan_id": "p", "features": {}, "extractor": OLDER})
    theirs = {"plan_id": "p", "features": nested(NUMBERS), "timestamp": 1.0}

    def specialist_writes(command: str) -> None:
        if command == "delete":
            database.plan_features.insert_one(dict(theirs))

    commands = Commands(after=specialist_writes)
    with listened(mongod_uri, database.name, commands) as ours:
        assert write_back(ours.plan_features, {"p": COMPUTED, "q": COMPUTED}, NOW) == 1
    assert stored(database, "p") == theirs
    assert stored(database, "q")["extractor"] == EXTRACTOR


def test_nothing_computed_writes_nothing(mongod_uri: str, database: Database):
    commands = Commands()
    with listened(mongod_uri, database.name, commands) as ours:
        assert write_back(ours.plan_features, {}, NOW) == 0
    assert commands.names == []


def test_more_plans_than_a_batch_are_all_written(database: Database):
    ensure_index(database.plan_features)
    computed = {f"plan-{number}": {"num_tasks": float(number)} for number in range(1001)}
    assert write_back(database.plan_features, computed, NOW) == 1001
    assert database.plan_features.count_documents({"extractor": EXTRACTOR}) == 1001


def test_two_documents_for_one_plan_are_refused_and_the_plan_is_named(database: Database):
    database.plan_features.insert_many([{"plan_id": "twin"}, {"plan_id": "single"}, {"plan_id": "twin"}])
    with pytest.raises(
        DataError, match=r"plan_features has more than one document for plan 'twin'.*Remove all but one"
    ):
        ensure_index(database.plan_features)


def test_a_plan_has_one_document_once_the_index_is_there(database: Database):
    ensure_index(database.plan_features)
    ensure_index(database.plan_features)
    assert database.plan_features.index_information()["plan_id_1"]["unique"]


def test_an_index_that_the_specialists_created_is_not_changed(database: Database):
    database.plan_features.create_index("plan_id", unique=True, name="theirs")
    ensure_index(database.plan_features)
    assert set(database.plan_features.index_information()) == {"_id_", "theirs"}


def test_a_plain_index_in_its_place_does_not_hide_two_documents_for_one_plan(database: Database):
    database.plan_features.create_index("plan_id")
    database.plan_features.insert_many([{"plan_id": "twin"}, {"plan_id": "twin"}])
    with pytest.raises(DataError, match="plan_features"):
        ensure_index(database.plan_features)
