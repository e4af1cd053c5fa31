"""NHM_HOME is moved to another folder, with blanks and percent signs in its name."""

from pathlib import Path

import pytest

from tests.support.documents import WEEK
from tests.support.nhm import nhm, read_report

RETRAIN = ("retrain", "--week", WEEK, "--specialist", "technical")
ODD = "100% of our%20home, moved"


@pytest.mark.servers
@pytest.mark.exhaustive
def test_a_home_that_was_moved_goes_on_where_it_was(seeded, tmp_path: Path):
    """Datasets, records, runs and the champion's files are found again: it is loaded and compared."""
    moved, report = tmp_path / ODD, tmp_path / "report.json"
    first = nhm(*RETRAIN, **seeded)
    assert first.returncode == 0, first.stderr
    Path(str(seeded["nhm_home"])).rename(moved)
    settings = {**seeded, "nhm_home": moved, "xdg_cache_home": tmp_path / "cache"}

    unchanged = nhm(*RETRAIN, "--report", report, **settings)
    assert unchanged.returncode == 0, unchanged.stderr
    assert read_report(report)["technical"]["outcome"] == "unchanged"

    again = nhm(*RETRAIN, "--report", report, force_retrain="true", max_f1_regression="1", **settings)
    assert again.returncode == 0, again.stderr
    result = read_report(report)["technical"]
    assert (result["outcome"], result["model"]["version"]) == ("promoted", "2")
    assert result["champion"]["version"] == "1"
    assert {path.name for path in (moved / "mlflow" / "artifacts").iterdir()} == {"technical-specialist"}
    assert nhm("status", **settings).returncode == 0
    assert not Path(str(seeded["nhm_home"])).exists()
