"""The folders on one machine, and Dagster's files in them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance

from nhm_assets.instance.home import dagster_instance, instance_template, prepare_home
from nhm_assets.instance.launcher import WatchedRunLauncher
from nhm_assets.settings import Settings
from resources.errors import StorageError, StorageUnavailable
from resources.mlflow import Mlflow
from tests.support.dagster_internals import dagster_instance_config_schema, resolve_to_config_type, validate_config
from tests.support.nhm import environment
from tests.support.processes import ROOT, killed_at_statement

LOCAL = ROOT / "deploy" / "local" / "dagster.yaml"
TEMPLATES = {path.parent.name: path for path in sorted((ROOT / "deploy").glob("*/dagster.yaml"))}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    for variable in ("DAGSTER_HOME", "MAX_CONCURRENT_RUNS"):
        monkeypatch.setenv(variable, "")
    return Settings(nhm_home=tmp_path / "home", max_concurrent_runs=4)


def errors_in(config: object) -> list[str]:
    """What Dagster reports about the contents of a dagster.yaml."""
    checked = validate_config(resolve_to_config_type(dagster_instance_config_schema()), config)
    return [error.message for error in checked.errors or []]


def test_the_instance_file_is_the_one_in_deploy(settings):
    prepare_home(settings)
    assert (settings.dagster_folder / "dagster.yaml").read_text() == LOCAL.read_text()
    assert instance_template() == LOCAL.read_text()


def test_files_that_an_operator_has_changed_are_not_overwritten(settings):
    prepare_home(settings)
    for name in ("dagster.yaml", "workspace.yaml"):
        (settings.dagster_folder / name).write_text("telemetry:\n  enabled: false\n")
    prepare_home(settings)
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (settings.dagster_folder / name).read_text() == "telemetry:\n  enabled: false\n"


def test_any_folder_s_name_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With some of them, Dagster and MLflow once said: unable to open database file."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    name = "50% done, a%20b; why? #1"
    home = tmp_path / name
    with dagster_instance(Settings(nhm_home=home)) as instance:
        assert list(instance.get_runs()) == []
    assert (home / "dagster" / "history" / "runs.db").exists()
    with Mlflow(uri=None, home=home / "mlflow", timeout_s=10).client() as client:
        assert list(client.search_registered_models()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) in ([name], sorted([name, "user"]))


def test_the_instance_opens_with_the_limit_of_the_settings(settings):
    with dagster_instance(settings) as instance:
        assert isinstance(instance.run_launcher, WatchedRunLauncher)
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 4
        assert not instance.telemetry_enabled


def test_a_database_that_cannot_be_opened_is_named_in_one_sentence(settings):
    (settings.dagster_folder / "history" / "runs.db").mkdir(parents=True)
    with pytest.raises(StorageUnavailable, match=r"^Dagster's database cannot be used \(unable to open.*DAGSTER_PG_"):
        dagster_instance(settings)


OPENS = """
from nhm_assets.instance.home import dagster_instance
from nhm_assets.settings import Settings
dagster_instance(Settings.load())
"""


@pytest.mark.servers
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("storage: [", "while parsing"),
        ("- telemetry", "it is no map"),
        ("strage: {}", 'unexpected config entry "strage"'),
        (b"\xff", "codec can't decode"),
    ],
)
def test_an_instance_file_that_cannot_be_used_is_named_in_one_sentence(settings, content, reason):
    prepare_home(settings)
    path = settings.dagster_folder / "dagster.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StorageError) as caught:
        dagster_instance(settings)
    assert str(caught.value).startswith(f"{path} cannot be used (")
    assert reason in str(caught.value)
    assert str(caught.value).endswith("Correct it; deploy/local/dagster.yaml is an example")


def test_a_process_that_is_killed_while_it_makes_the_databases_leaves_none(settings, monkeypatch):
    """Dagster takes an incomplete file for one of an old version, and never completes it."""
    monkeypatch.setenv("NHM_HOME", str(settings.nhm_home))
    folder = settings.dagster_folder
    killed_at_statement(40, "/.draft/", OPENS)
    assert (folder / ".draft" / "history" / "runs.db").exists()
    assert not (folder / "history").exists()
    with dagster_instance(settings) as instance:
        assert instance.get_runs() == []
    assert {path.name for path in folder.iterdir()} >= {"history", "schedules"}
    assert not (folder / ".draft").exists()


def test_databases_that_an_operator_keeps_elsewhere_are_not_made_here(settings, tmp_path):
    prepare_home(settings)
    elsewhere = {"storage": {"sqlite": {"base_dir": str(tmp_path / "elsewhere")}}}
    (settings.dagster_folder / "dagster.yaml").write_text(yaml.safe_dump(elsewhere))
    with dagster_instance(settings):
        assert not (settings.dagster_folder / "history").exists()
        assert (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", TEMPLATES)
def test_dagster_accepts_every_template(name):
    assert errors_in(yaml.safe_load(TEMPLATES[name].read_text())) == []


def test_there_is_a_template_for_one_machine_and_one_for_several():
    assert TEMPLATES.keys() >= {"local", "postgres"}


@pytest.mark.parametrize(
    ("section", "entry"), [("run_monitoring", "poll_every"), ("retention", "runs"), ("run_retries", "max_tries")]
)
def test_an_error_in_a_template_is_found(section, entry):
    config = yaml.safe_load(LOCAL.read_text())
    config[section][entry] = 1
    assert any(entry in error for error in errors_in(config))


def test_the_templates_differ_in_their_storage_only():
    local, postgres = (yaml.safe_load(TEMPLATES[name].read_text()) for name in ("local", "postgres"))
    storages = [template.pop("storage")["custom"]["class"] for template in (local, postgres)]
    assert storages == ["PooledSqliteStorage", "PooledPostgresStorage"]
    assert postgres == local


def test_an_instance_opens_on_the_template_for_one_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "2")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(LOCAL.read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2


@pytest.mark.servers
def test_the_built_package_contains_the_template(tmp_path):
    """In the tree it is a link that leads out of the package; what is installed has to hold the file."""
    source = tmp_path / "source"
    source.mkdir()
    parts = ["pyproject.toml", "README.md", "nhm_assets", "resources", "sensors", "deploy"]
    subprocess.run(["cp", "-r", *parts, source], cwd=ROOT, check=True)
    command = [
        sys.executable,
        "-c",
        "import setuptools; setuptools.setup()",
        "build_py",
        "--build-lib",
        tmp_path / "lib",
    ]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=170, check=False)
    assert built.returncode == 0, built.stderr
    template = tmp_path / "lib" / "nhm_assets" / "templates" / "dagster.yaml"
    assert template.is_file()
    assert not template.is_symlink()
    assert template.read_text() == LOCAL.read_text()


READ_ONLY = """
import os, sys
from nhm_assets.instance.home import dagster_instance
from nhm_assets.settings import Settings

os.access = lambda path, mode: mode != os.W_OK
dagster_instance(Settings.load()).dispose()
print(sorted(os.listdir(os.environ["DAGSTER_HOME"])))
"""


def test_a_read_only_dagster_home_gets_no_lock_file(tmp_path: Path):
    """As in a pod, where the folder is a ConfigMap and the instance is in PostgreSQL."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY],
        env=environment(nhm_home=tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "creation.lock" not in done.stdout
    assert "dagster.yaml" in done.stdout
