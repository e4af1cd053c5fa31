"""A week measured from documents in a real MongoDB."""

import shutil
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from pymongo.errors import PyMongoError

from nhm_assets.domain.partitions import WEEK as ONE_WEEK
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.resource_factories import mlflow_of
from nhm_assets.served.checks import judge_week
from nhm_assets.served.measure import Measurement
from nhm_assets.settings import Settings
from resources.mongo import tolerant_decoding
from tests.support.documents import NOW, WEEK, WEEK_END
from tests.support.served import slow_view
from tests.support.served_weeks import answered_week, promotion, restart, store

START = WEEK_END - ONE_WEEK
PARTITION = Partition.parse(WEEK, "technical")


@pytest.fixture
def settings(tmp_path, migrated_mlflow) -> Settings:
    shutil.copytree(migrated_mlflow, tmp_path / "mlflow")
    return Settings(nhm_home=tmp_path, nhm_now=NOW)


def measure(database, partition: Partition, settings: Settings, *, now: datetime) -> ServedQuality:
    return Measurement(database, mlflow_of(settings), partition, settings, now, print).measure()


def passed(quality: ServedQuality, settings: Settings) -> dict[str, bool]:
    return {verdict.check: verdict.passed for verdict in judge_week(quality, settings)}


def test_opinions_and_feedback_count_for_the_version_that_answered(database, settings):
    promoted = START + timedelta(days=3)
    before = answered_week(START, 60, version="1", days=3)
    gap = answered_week(promoted, 10, version="2", days=0.1, name="gap")
    after = answered_week(promoted + timedelta(days=0.1), 80, version="2", days=3.9, seed=2)
    fallbacks = answered_week(START, 8, version=None, seed=3)
    log = [promotion("1", START - ONE_WEEK), promotion("2", promoted), restart("2", promoted, minutes=144)]
    store(database, [before, gap, after, fallbacks], log)
    found = measure(database, PARTITION, settings, now=NOW)
    assert found.answered.by_version == {"1": 60, "2": 80}
    assert (found.answered.in_gap, found.answered.by_fallback, found.answered.opinions) == (10, {"heuristics": 8}, 158)
    assert {one.version: one.reviewed for one in found.agreements} == {"1": 60, "2": 80}
    assert (found.version, found.unattributed, found.faults) == ("2", 10, {})
    assert found.agreement("2").auc > 0.7


def test_a_week_is_measured_again_with_the_same_numbers(database, settings):
    store(database, [answered_week(START, 90, version="1", review_after=timedelta(hours=30))])
    first = measure(database, PARTITION, settings, now=WEEK_END)
    store(database, [answered_week(WEEK_END, 90, version="2", seed=5)], [promotion("2", WEEK_END)])
    again = measure(database, PARTITION, settings, now=NOW + 9 * ONE_WEEK)
    assert again == first
    assert first.agreement("1").reviewed < 90


def test_the_running_week_ends_now(database, settings):
    store(database, [answered_week(START, 70, version="1")])
    found = measure(database, PARTITION, settings, now=START + timedelta(days=2))
    assert found.end == START + timedelta(days=2)
    assert found.answered.opinions == 20


def test_feedback_of_scripts_and_of_other_specialists_does_not_count(database, settings):
    opinions, reviews = answered_week(START, 40, version="1")
    scripted = [review | {"metadata": {"auto_generated": True}} for review in reviews[:15]]
    store(database, [(opinions, scripted + reviews[15:]), answered_week(START, 5, version="1", specialist="business")])
    assert measure(database, PARTITION, settings, now=NOW).agreement("1").reviewed == 25


def test_times_may_be_texts(database, settings):
    opinions, reviews = answered_week(START, 20, version="1")
    texts = [one | {"evaluated_at": one["evaluated_at"].isoformat()} for one in opinions]
    store(database, [(texts, reviews)])
    assert measure(database, PARTITION, settings, now=NOW).answered.by_version == {"1": 20}


@pytest.mark.parametrize(("worse", "week"), [(0.0, None), (0.25, 1)])
def test_a_version_that_gets_worse_is_found_within_two_weeks(database, settings, worse: float, week: int | None):
    """A share of 0.25 of plans on which a confidence says nothing costs about 0.1 of F1."""
    weeks = [answered_week(START + number * ONE_WEEK, 300, version="1", seed=number + 8) for number in range(-8, -1)]
    weeks += [answered_week(START - ONE_WEEK, 300, version="1", seed=20, worse=worse)]
    weeks += [answered_week(START, 300, version="1", seed=21, worse=worse)]
    store(database, weeks, [promotion("1", START - 9 * ONE_WEEK)])
    found = passed(measure(database, PARTITION, settings, now=NOW), settings)
    assert found["agrees_with_people"] is (week is None)
    assert found["model_answers"]


def test_a_pod_that_was_not_restarted_is_found_and_nothing_else(database, settings):
    promoted = START - timedelta(days=1)
    weeks = [answered_week(START, 200, version="2", seed=1), answered_week(START, 40, version="1", seed=2)]
    store(database, weeks, [promotion("2", promoted), restart("2", promoted, minutes=3)])
    found = passed(measure(database, PARTITION, settings, now=NOW), settings)
    assert [check for check, good in found.items() if not good] == ["model_answers"]


@pytest.mark.parametrize("named", ["1", "2"], ids=["as in Production", "as it answered"])
def test_in_a_live_test_an_opinion_counts_for_the_version_in_its_mark(database, settings, named: str):
    """Whatever `model_version` says. A challenger that answers is no version that was replaced."""
    champion, challenger = answered_week(START, 200, version="1"), answered_week(START, 60, version=named, seed=2)
    mark = {"ab_test_variant": "model_b", "ab_test_model_version": 2}
    for one in challenger[0]:
        one["opinion"]["metadata"] = one["opinion"]["metadata"] | mark
    promoted = START - timedelta(days=1)
    store(database, [champion, challenger], [promotion("1", promoted), restart("1", promoted, minutes=3)])
    found = measure(database, PARTITION, settings, now=NOW)
    assert (found.answered.by_version, found.answered.unexpected) == ({"1": 200, "2": 60}, 0)
    assert {one.version: one.reviewed for one in found.agreements} == {"1": 200, "2": 60}
    assert passed(found, settings)["model_answers"]


def test_without_documents_nothing_is_measured_and_nothing_warns(database, settings):
    found = measure(database, PARTITION, settings, now=NOW)
    assert (found.answered.opinions, found.agreements, found.version, found.faults) == (0, [], None, {})
    assert found.absent == {"drift": "nothing tells which version was in Production"}
    assert all(passed(found, settings).values())


def test_without_serving_times_no_version_is_credited(database, settings, monkeypatch):
    store(database, [answered_week(START, 40, version="1")], [promotion("1", START)])
    slow = slow_view(database, "model_audit_log", seconds_per_document=3)
    monkeypatch.setattr("nhm_assets.served.measure.AUDIT_LOG", slow)
    limited = settings.model_copy(update={"served_quality_timeout_s": 1.0})
    with pytest.raises(PyMongoError):
        measure(database, PARTITION, limited, now=NOW)


def test_people_say_as_much_of_fallbacks_as_of_a_model(database, settings, monkeypatch):
    weeks = [answered_week(START, 30, version="1"), answered_week(START, 12, version=None, seed=2)]
    store(database, [*weeks, answered_week(START - ONE_WEEK, 5, version="1")], [promotion("1", START - ONE_WEEK)])
    compared = []
    monkeypatch.setattr("nhm_assets.served.measure.References.of", lambda *_: SimpleNamespace(synthetic=False))
    monkeypatch.setattr("nhm_assets.served.measure.drift_of", lambda *parts: compared.append(parts))
    measure(database, PARTITION, settings, now=NOW)
    ((_, _, answers, labels),) = compared
    assert (len(answers), len(labels)) == (30, 42)


def test_what_mongodb_does_not_answer_in_time_is_said_and_the_rest_is_measured(database, settings):
    store(database, [answered_week(START, 40, version="1")])
    slow = slow_view(database, "specialist_opinions", seconds_per_document=0.2)
    limited = settings.model_copy(update={"opinions_collection": slow, "served_quality_timeout_s": 1.0})
    found = measure(database.with_options(codec_options=tolerant_decoding()), PARTITION, limited, now=NOW)
    assert {"answers", "agreement"} <= found.faults.keys()
    assert not passed(found, settings)["model_answers"]
