"""Who gave a feedback, and that feedback made by scripts is counted and left out."""

from typing import Any

import pandas as pd
import pytest
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import counts
from nhm_assets.domain.provenance import PROVENANCE_FIELDS, provenance_of
from tests.support.documents import WEEK_END, WINDOW_START, feedback, opinion, put
from tests.support.windows import SECOND, assembled, read, rejected, rows

PREFIXES = ("fb-auto-", "fb-bal-", "fb-human-")


@pytest.mark.parametrize(
    ("fields", "provenance"),
    [
        ({}, "reviewer"),
        ({"auto_generated": True}, "scripted"),
        ({"balanced_dataset": True}, "scripted"),
        ({"metadata": {"auto_generated": True}}, "scripted"),
        ({"metadata": {"balanced_dataset": True}}, "scripted"),
        ({"auto_generated": False, "balanced_dataset": None, "metadata": None}, "reviewer"),
        ({"auto_generated": "true"}, "reviewer"),
        ({"feedback_id": "fb-auto-17"}, "scripted"),
        ({"feedback_id": "fb-bal-17"}, "scripted"),
        ({"feedback_id": "fb-human-17"}, "scripted"),
        ({"feedback_id": "fb-humane-17"}, "reviewer"),
        ({"feedback_id": "a fb-auto-17"}, "reviewer"),
        ({"feedback_id": None, "feedback_notes": None}, "reviewer"),
        ({"feedback_notes": "[AUTO] balanced"}, "scripted"),
        ({"feedback_notes": "[HUMAN] by a script all the same"}, "scripted"),
        ({"feedback_notes": "good [AUTO]"}, "reviewer"),
        ({"feedback_source": "approval_service"}, "approval"),
        ({"metadata": {"source": "approval_service"}}, "approval"),
        ({"metadata": {"source": "console"}, "feedback_source": "approval_service"}, "approval"),
        ({"metadata": ["approval_service"]}, "reviewer"),
        ({"feedback_source": "approval_service", "auto_generated": True}, "scripted"),
    ],
)
def test_the_provenance_is_that_of_the_contract(fields: dict[str, Any], provenance: str):
    assert provenance_of(feedback(**fields), PREFIXES) == provenance


def test_without_prefixes_no_id_is_a_script_s():
    assert provenance_of(feedback(feedback_id="fb-auto-1"), ()) == "reviewer"


def mixed(database: Database) -> None:
    """Two reviews, an approval, and three documents by scripts: newer than a review, faulty, and alone."""
    put(
        database,
        opinions=[opinion(number) for number in range(4)],
        feedback=[
            feedback(0),
            feedback(1),
            feedback(2, metadata={"source": "approval_service"}),
            feedback(1, feedback_id="fb-auto-1", human_recommendation="reject", submitted_at=WEEK_END - SECOND),
            feedback(9, auto_generated=True, human_rating="much"),
            feedback(3, feedback_notes="[AUTO] balanced"),
        ],
    )


def provenances(frame: pd.DataFrame) -> dict[str, int]:
    return counts(frame["provenance"])


def test_feedback_by_scripts_is_counted_and_left_out(database: Database):
    """It neither displaces a person's verdict nor fills the quarantine."""
    mixed(database)
    assert rows(database) == ["feedback-0", "feedback-1", "feedback-2"]
    assert rejected(database) == {}
    frame = assembled(database)
    assert provenances(frame) == {"approval": 1, "reviewer": 2}
    assert frame.attrs["scripted"] == 3
    assert frame.loc[frame["feedback_id"] == "feedback-1", "label"].tolist() == [1]


def test_feedback_by_scripts_is_learned_from_where_that_is_set(database: Database):
    mixed(database)
    result = read(database, scripted=True)
    assert provenances(result.rows) == {"approval": 1, "reviewer": 1, "scripted": 2}
    assert result.scripted == 3
    assert rejected(database, scripted=True) == {"feedback-9": "invalid_rating"}


def test_only_scripts_documents_in_the_window_are_counted(database: Database):
    before = feedback(1, auto_generated=True, submitted_at=WINDOW_START - SECOND)
    put(database, opinions=[opinion(1), opinion(2)], feedback=[before, feedback(2, auto_generated=True)])
    assert read(database).scripted == 1


def test_a_script_s_document_without_a_readable_time_is_quarantined_like_any_other(database: Database):
    put(database, opinions=[opinion(1)], feedback=[feedback(1, auto_generated=True, submitted_at="soon")])
    assert read(database).scripted == 0
    assert rejected(database) == {"feedback-1": "invalid_submitted_at"}


def test_equal_feedback_by_a_person_and_a_script_does_not_depend_on_the_order_of_insertion(database: Database):
    copies = [feedback(1), feedback(1, auto_generated=True)]
    found = set()
    for order in (copies, copies[::-1]):
        database.specialist_feedback.delete_many({})
        put(database, opinions=[] if found else [opinion(1)], feedback=order)
        found |= set(read(database, scripted=True).rows["provenance"])
    assert found == {"reviewer"}


def test_the_fields_that_decide_are_read(database: Database):
    """A projection leaves out every field that it does not name."""
    places = {"auto_generated": True, "balanced_dataset": True, "feedback_notes": "[AUTO]"}
    nested = {f"metadata.{name}": True for name in ("auto_generated", "balanced_dataset")}
    assert {*places, *nested, "metadata.source", "feedback_source"} == set(PROVENANCE_FIELDS)
    changes = [{name: value} for name, value in places.items()]
    changes += [{"metadata": {name.removeprefix("metadata."): True}} for name in nested]
    put(
        database,
        opinions=[opinion(number) for number in range(len(changes))],
        feedback=[feedback(number, **fields) for number, fields in enumerate(changes)],
    )
    assert read(database).scripted == len(changes)
