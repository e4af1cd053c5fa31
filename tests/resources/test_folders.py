"""Folders that cannot be used: whoever needs one says which, and which setting names it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nhm_assets.cli import main
from nhm_assets.commands.dev_output import LogFiles
from nhm_assets.instance.home import dagster_instance
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod
from resources.errors import StorageError
from resources.folders import require_folder
from resources.mlflow_database import require_database

NOBODY_WRITES_HERE = Path("/proc")
USERS: dict[str, Callable[[Path], object]] = {
    "mongodb": lambda home: embedded_mongod(home / "mongodb").__enter__(),
    "mlflow": lambda home: require_database(home / "mlflow"),
    "logs": lambda home: LogFiles(home / "logs"),
    "dagster": lambda home: dagster_instance(Settings(nhm_home=home)),
}


@pytest.fixture(params=["a file", "unwritable"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", "")
    if request.param == "unwritable":
        return NOBODY_WRITES_HERE
    (tmp_path / "home").write_text("mine")
    return tmp_path / "home"


@pytest.mark.parametrize("name", USERS)
def test_whoever_needs_a_folder_below_nhm_home_names_both(home: Path, name: str):
    with pytest.raises(StorageError, match=rf"^{home / name} cannot be written \(.*\): check NHM_HOME and its perm"):
        USERS[name](home)


def test_dagster_home_is_named_if_it_is_set(home: Path, tmp_path: Path):
    with pytest.raises(StorageError, match=rf"^{home} cannot be written .*: check DAGSTER_HOME and its permissions"):
        dagster_instance(Settings(nhm_home=tmp_path / "other", dagster_home=home))


def test_a_folder_that_is_there_but_takes_no_file_is_refused():
    with pytest.raises(StorageError, match=r"^/proc cannot be written \(.*\): check X and its permissions$"):
        require_folder(NOBODY_WRITES_HERE, "X")


def test_a_folder_that_is_missing_is_made_and_stays_empty(tmp_path: Path):
    require_folder(tmp_path / "a" / "b", mode=0o700)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    ("command", "option"), [(("retrain",), "--report"), (("replay", "--set", "F1_THRESHOLD=0.8"), "--json")]
)
def test_a_result_that_cannot_be_written_is_refused_before_the_work(command: tuple[str, ...], option: str):
    said = CliRunner().invoke(main, [*command, option, str(NOBODY_WRITES_HERE / "x.json")])
    assert said.exit_code == 2
    assert f"/proc cannot be written (No such file or directory): check {option}" in " ".join(said.output.split())
