"""Tags of a run's end."""

from nhm_assets.domain.outcomes import BrokenBy, HeldAs, Outcome, broken_tags, decided_tags, shortened


def test_a_reason_is_short_enough_for_an_index_of_postgresql():
    """It takes rows of some 2,700 bytes, and the events of a pod that never started are longer."""
    long = "x" * 5000
    assert len(shortened(long)) == 1000
    assert shortened(long).endswith("...")
    assert shortened("as it is") == "as it is"


def test_a_decided_run_has_no_empty_tags():
    held = decided_tags(
        Outcome.HELD, "F1 is low", held_by=["f1_threshold"], held_as=HeldAs.BELOW, below_in_a_row=1, inherited={}
    )
    assert held == {
        "nhm/outcome": "held",
        "nhm/reason": "F1 is low",
        "nhm/held_by": "f1_threshold",
        "nhm/held_as": "below",
        "nhm/below_in_a_row": "1",
    }
    promoted = decided_tags(Outcome.PROMOTED, "every gate check passed", version="7", inherited={})
    assert set(promoted) == {"nhm/outcome", "nhm/reason", "nhm/version"}


def test_a_retry_empties_what_the_run_before_said():
    before = broken_tags(BrokenBy.MONGODB, "no answer", transient=True) | {"nhm/held_by": "f1_threshold"}
    tags = before | decided_tags(Outcome.PROMOTED, "every gate check passed", version="7", inherited=before)
    assert tags == {
        "nhm/outcome": "promoted",
        "nhm/reason": "every gate check passed",
        "nhm/version": "7",
        "nhm/held_by": "",
        "nhm/broken_by": "",
        "nhm/transient": "",
    }


def test_a_broken_run_is_tagged_with_what_broke_it():
    assert broken_tags(BrokenBy.KILLED, "x" * 2000) == {
        "nhm/outcome": "broken",
        "nhm/broken_by": "killed",
        "nhm/reason": "x" * 997 + "...",
        "nhm/transient": "false",
    }
