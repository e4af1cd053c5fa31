"""`nhm lineage`: what a version was made from, and where a feedback went."""

import json
from pathlib import Path

import pytest

from nhm_assets.domain.dataset_schema import NO_FEEDBACK, REAL, REVIEWER, SYNTHETIC, data_version
from nhm_assets.registry.vocabulary import (
    DATA_VERSION_TAG,
    FILES_DELETED_TAG,
    INCREMENT_OF_TAG,
    PARTITION_TAG,
    WINDOW_END_TAG,
    WINDOW_START_TAG,
)
from resources.storage import FrameIOManager
from tests.support.documents import NOW, WEEK, WEEK_END, WINDOW_START, feedback, put
from tests.support.frames import dataset
from tests.support.nhm import nhm_here
from tests.support.registry import MODEL, Registry

LEARNED, TESTED, ELSEWHERE = "feedback-0001", "feedback-0019", "feedback-0023"


@pytest.fixture
def settings(home: Path, mongod_uri: str, database) -> dict[str, object]:
    """Version 1 in Production, trained on a dataset that was replaced by a larger one, which nothing was trained on.

    Version 2 is an increment of it.
    """
    manager = FrameIOManager(str(home / "storage"))
    learned = dataset(20)
    for frame in (learned, dataset(30)):
        manager.store(frame, "feedback_dataset", "technical", WEEK)
    registry = Registry(home / "mlflow")
    version = registry.add(WEEK_END, stage="Production")
    for name, value in (
        (PARTITION_TAG, f"technical|{WEEK}"),
        (DATA_VERSION_TAG, data_version(learned)),
        (WINDOW_START_TAG, WINDOW_START.isoformat()),
        (WINDOW_END_TAG, WEEK_END.isoformat()),
    ):
        registry.client().set_model_version_tag(MODEL, version, name, value)
    registry.client().set_model_version_tag(MODEL, registry.unstaged(WEEK_END), INCREMENT_OF_TAG, version)
    put(database, feedback=[{**feedback("x"), "feedback_id": LEARNED}])
    database["model_audit_log"].insert_one(
        {
            "_id": "promoted:1",
            "kind": "promoted",
            "model": MODEL,
            "version": version,
            "actor": "ada@example.org",
            "reason": "every gate check passed",
            "at": NOW,
        }
    )
    database["feedback_quarantine"].insert_one(
        {"partition": f"technical|{WEEK}", "reason": "invalid_rating", "document": {"feedback_id": "odd"}}
    )
    return {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}


def found(settings: dict[str, object], *arguments: str) -> dict:
    done = nhm_here("lineage", *arguments, "--json", **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.servers
def test_a_version_names_its_fields_documents_dataset_decision_and_pods(settings):
    facts = found(settings, "technical", "--feature", "risk_score")
    assert (facts["version"], facts["stage"]) == ("1", "Production")
    assert Path(facts["dataset"]["file"]).is_relative_to(settings["nhm_home"])
    assert facts["dataset"]["rows"] == 20, "those that it learned from, not the newer dataset of the week"
    assert facts["dataset"]["labels"] == {"reject": 7, "approve": 7, "review_required": 6}
    (decision,) = facts["decisions"]
    assert (decision["kind"], decision["actor"], decision["audit_id"]) == ("promoted", "ada@example.org", "promoted:1")
    assert facts["pods"]["reason"].startswith("not asked: no cluster is configured")
    (feature,) = facts["features"]
    assert feature["fields"] == [
        "plan_features.features",
        "specialist_opinions.cognitive_plan.risk_score",
        "cognitive_plans.plan_data.risk_score",
    ]
    assert (feature["least"], feature["greatest"], feature["missing"]) == (4.0, 4.0 + 19 / 8, 0)
    shown = nhm_here("lineage", "technical", **settings).stdout
    assert "technical-evaluator version 1, Production" in shown
    assert "promoted by ada@example.org: every gate check passed" in shown
    assert "cognitive_plans.plan_data.risk_score" in shown


@pytest.mark.servers
def test_rows_that_were_made_up_are_not_counted_as_documents(settings, home):
    learned = dataset(20, source=[SYNTHETIC] * 8 + [REAL] * 12, provenance=[NO_FEEDBACK] * 8 + [REVIEWER] * 12)
    FrameIOManager(str(home / "storage")).store(learned, "feedback_dataset", "technical", WEEK)
    Registry(home / "mlflow").client().set_model_version_tag(MODEL, "1", DATA_VERSION_TAG, data_version(learned))
    facts = found(settings, "technical")["dataset"]
    assert (facts["rows"], facts["sources"]) == (20, {"real": 12, "synthetic": 8})
    assert {facts[name] for name in ("feedback_documents", "opinion_documents", "plans")} == {12}
    shown = nhm_here("lineage", "technical", **settings).stdout
    assert "12 of feedback on 12 opinions about 12 plans; 12 reviewer" in shown
    assert "; 12 real, 8 synthetic" in shown


@pytest.mark.servers
def test_a_decision_about_the_version_that_took_its_place_is_not_taken_for_its_own(settings, database):
    next_one = {"_id": "promoted:2", "kind": "promoted", "model": MODEL, "version": "2", "from_version": "1"}
    database["model_audit_log"].insert_one({**next_one, "actor": "bob@example.org", "reason": "better", "at": NOW})
    shown = nhm_here("lineage", "technical", "--version", 1, **settings).stdout
    assert "version 2 promoted by bob@example.org: better" in shown
    assert "version 1 promoted" not in shown


@pytest.mark.servers
def test_a_version_whose_files_were_deleted_says_so(settings, home, database):
    """To erase a person's review, it matters which versions are left that learned from it."""
    Registry(home / "mlflow").client().set_model_version_tag(MODEL, "1", FILES_DELETED_TAG, NOW.isoformat())
    deleted = {"_id": "retention:1", "kind": "files_deleted", "model": MODEL, "versions": ["1"], "at": NOW}
    database["model_audit_log"].insert_one({**deleted, "actor": "dagster job retention", "reason": "too old"})
    shown = nhm_here("lineage", "technical", "--version", 1, **settings).stdout
    assert f"{MODEL} version 1, Production, files deleted" in shown
    assert " files_deleted by dagster job retention: too old" in shown
    assert "version None" not in shown
    assert "1 Production, files deleted yes" in " ".join(
        nhm_here("lineage", "--feedback", LEARNED, **settings).stdout.split()
    )


@pytest.mark.servers
def test_a_specialist_that_was_taken_out_keeps_its_lineage(settings, home, database):
    """With the model that it had, which only the audit log knows."""
    FrameIOManager(str(home / "storage")).store(dataset(20), "feedback_dataset", "data-quality", WEEK)
    Registry(home / "mlflow").client().set_model_version_tag(MODEL, "1", PARTITION_TAG, f"data-quality|{WEEK}")
    database["model_audit_log"].update_one({"_id": "promoted:1"}, {"$set": {"specialist": "data-quality"}})
    facts = found(settings, "data-quality")
    assert (facts["model"], facts["version"], facts["dataset"]["rows"]) == (MODEL, "1", 20)
    holdings = found(settings, "--feedback", LEARNED)["datasets"]
    versions = {one["specialist"]: [each["version"] for each in one["versions"]] for one in holdings}
    assert versions["data-quality"] == ["1", "2"]


@pytest.mark.parametrize(
    ("feedback_id", "documents", "datasets"),
    [
        (LEARNED, 1, {20: ("train", True, ["1", "2"]), 30: ("train", True, [])}),
        (TESTED, 0, {20: ("test", False, ["1"]), 30: ("train", True, [])}),
        (ELSEWHERE, 0, {30: ("validation", True, [])}),
        ("nobody", 0, {}),
    ],
)
def test_a_feedback_names_every_dataset_that_holds_it_and_the_versions_that_learned_from_it(
    settings, feedback_id, documents, datasets
):
    facts = found(settings, "--feedback", feedback_id)
    sizes = {data_version(dataset(count)): count for count in (20, 30)}
    assert {
        sizes[one["data_version"]]: (one["split"], one["learned"], [each["version"] for each in one["versions"]])
        for one in facts["datasets"]
    } == datasets
    assert facts["documents"] == documents


@pytest.mark.servers
def test_without_its_dataset_no_version_is_said_not_to_have_learned_from_a_feedback(settings, home):
    """Such as after the feedback of a person was erased."""
    for file in (home / "storage").rglob("*.parquet"):
        file.unlink()
    shown = nhm_here("lineage", "--feedback", LEARNED, **settings).stdout
    assert "Only a version whose dataset is no longer stored can have learned from it" in shown
    assert "which can no longer be read" in nhm_here("lineage", "technical", "--version", 1, **settings).stdout


@pytest.mark.slow
def test_feedback_in_quarantine_and_files_that_cannot_be_read_are_named(settings):
    manager = FrameIOManager(str(Path(str(settings["nhm_home"])) / "storage"))
    file = Path(str(manager.file_of("feedback_dataset", "technical", WEEK)))
    file.write_bytes(b"damaged")
    facts = found(settings, "--feedback", "odd")
    assert facts["quarantine"] == [{"partition": f"technical|{WEEK}", "reason": "invalid_rating"}]
    assert [str(file) in fault for fault in facts["unreadable"]] == [True]
    shown = nhm_here("lineage", "--feedback", "odd", **settings).stdout
    assert "In feedback_quarantine" in shown
    assert f"Not looked at: {file} is damaged" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either a SPECIALIST or --feedback ID"),
        (["--feedback", "x", "--version", "1"], "--feedback shows one feedback"),
        (["technical", "--feature", "risk"], "unknown feature 'risk'; choose from num_tasks"),
        (["technical", "--version", "9"], "technical-evaluator has no version '9'"),
        (["business"], "business-evaluator has no version in Production"),
        (["nobody"], "unknown specialist 'nobody'"),
    ],
)
def test_wrong_use_is_refused(settings, arguments, message):
    done = nhm_here("lineage", *arguments, **settings)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
