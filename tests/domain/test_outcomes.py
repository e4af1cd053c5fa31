"""Tags of a run's end."""

from nhm_assets.domain.outcomes import BrokenBy, broken_tags, shortened


def test_a_reason_is_short_enough_for_an_index_of_postgresql():
    """It takes rows of some 2,700 bytes, and the events of a pod that never started are longer."""
    long = "x" * 5000
    assert len(shortened(long)) == 1000
    assert shortened(long).endswith("...")
    assert shortened("as it is") == "as it is"


def test_a_broken_run_is_tagged_with_what_broke_it():
    assert broken_tags(BrokenBy.KILLED, "x" * 2000) == {
        "nhm/outcome": "broken",
        "nhm/broken_by": "killed",
        "nhm/reason": "x" * 997 + "...",
        "nhm/transient": "false",
    }
