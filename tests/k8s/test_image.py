"""The Dockerfile is parsed, and its steps run in a folder, because no container engine is here."""

import ast
import contextlib
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.image import trim
from deploy.image.requirements import requirements
from tests.support.dockerfile import DOCKERFILE, arguments, build, build_arguments, stages, steps
from tests.support.documents import WEEK_END, put, reviewed_opinions
from tests.support.manifests import NO_OVERRIDE, STANDALONE, containers, pod_templates, rendered
from tests.support.nhm import environment
from tests.support.ports import free_port
from tests.support.processes import ROOT, eventually
from tests.support.servers import mlflow_server

LARGEST = 745_000_000
"""Bytes of /opt/nhm. It had 1,107,000,000 before anything was taken out; the base adds 130,000,000 to either."""
LARGEST_CODE = 5_500_000
"""Bytes of the layer that a commit changes."""


def ignored(path: Path) -> bool:
    """Whether .dockerignore, which lists exceptions to ignoring everything, ignores this path."""
    names = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    return not any(path.is_relative_to(name) for name in names)


def sources() -> list[str]:
    """The paths that are copied from the project into the image."""
    return [name for stage in stages() for other, names, _ in stage.copies() if other is None for name in names]


def test_the_base_is_pinned_to_a_patch_version_and_by_digest():
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", build_arguments()["PYTHON"])
    named = {stage.name for stage in stages()}
    assert {stage.base for stage in stages()} - named == {"${PYTHON}"}


def test_the_code_is_the_last_layer_and_the_packages_do_not_depend_on_it():
    """So a commit changes a small layer, and a node that has the packages pulls no more."""
    of = {stage.name: stage for stage in stages()}
    copied = [name for other, names, _ in of["packages"].copies() if other is None for name in names]
    assert copied == ["constraints.txt", "constraints-mlflow2.txt", "deploy/image/trim.py"]
    image = stages()[-1]
    assert [(other, names) for other, names, _ in image.copies()] == [("packages", ["/opt/nhm"]), ("code", ["/code"])]
    words = [word for word, _ in image.steps]
    assert "RUN" not in words[words.index("COPY") :]


def test_the_list_for_pip_has_what_the_project_and_the_image_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (command,) = stages()[0].arguments("RUN")
    listed = requirements(ROOT / "pyproject.toml", shlex.split(command)[3:-2])
    assert set(project["dependencies"]) < set(listed)
    assert [one for one in listed if one.startswith(("psycopg2", "s3fs", "fiftyone", "pytest"))] == [
        "psycopg2-binary>=2.9",
        "s3fs>=2024.6",
    ]


def fetched(address: str) -> str | None:
    """The text at an address; None if nothing listens."""
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read().decode()
    return None


def test_what_is_taken_out_goes_and_the_rest_stays(tmp_path: Path):
    kept = ["botocore/data/s3/a.json", "botocore/data/sts/a.json", "botocore/data/endpoints.json", "fontTools/agl.py"]
    kept += [
        "fontTools/misc/a.py",
        "pyarrow/lib.cpython.so",
        "pyarrow/libarrow_python.so.1",
        "dagster/_utils/test/a.py",
    ]
    for patterns in trim.REMOVED.values():
        for pattern in patterns:
            name = pattern.replace("**", "kept").replace("[!m_]*", "pens").replace("m[!i]*", "mtiLib")
            name = name.replace("[!s]*", "ec2").replace("s[!3ist]*", "sqs").replace("*", "1")
            put_file(tmp_path / name / "a.py" if name.endswith("/") else tmp_path / name)
    for name in kept:
        put_file(tmp_path / name)
    trim.trim(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        kept
    )


def put_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def test_the_files_of_modules_are_those_of_the_environment_alone():
    """They are compiled, and nothing else."""
    python = Path(sys.executable)
    at_each_start = trim.files_of(python, ())
    inside = set(trim.files_of(python, ("click.core", "json"))) - set(at_each_start)
    assert inside
    assert all("click" in path.parts for path in inside)
    with pytest.raises(SystemExit, match="lacks something that the platform imports"):
        trim.files_of(python, ("no_such_module",))


def test_every_package_that_the_platform_imports_is_compiled():
    """Without this, every pod compiles it at its start."""
    imported = {
        name.partition(".")[0]
        for room in ("nhm_assets", "resources", "sensors")
        for path in (ROOT / room).rglob("*.py")
        for name in imports(path)
    }
    ours = {"nhm_assets", "resources", "sensors"}
    # Extras that the image does not have. The others are parts of packages in the list, or imported by them.
    elsewhere = {"honcho", "anthropic", "openai"}
    listed = {name.partition(".")[0] for name in trim.IMPORTED}
    with_others = {"matplotlib", "numpy", "pydantic", "pydantic_core", "scipy", "sqlalchemy"}
    assert imported - ours - set(sys.stdlib_module_names) - elsewhere - listed <= with_others


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_a_line_that_takes_nothing_out_any_more_is_named(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"^tests: nothing in .* Take the line out$"):
        trim.trim(tmp_path)


def test_the_image_runs_as_the_user_of_the_manifests():
    assert steps(DOCKERFILE)[-2][0] == "USER"
    user = arguments("USER")[-1].split(":")[0]
    assert int(user) > 0
    pods = {name: template["spec"] for name, template in pod_templates(rendered(STANDALONE))}
    ours = {
        pod["securityContext"]["runAsUser"] for pod in pods.values() if "nhm-assets" in pod["containers"][0]["image"]
    }
    assert ours == {int(user)}


def test_every_copied_path_exists_and_is_not_ignored():
    assert sources()
    for source in sources():
        assert (ROOT / source).exists(), source
        assert not ignored(Path(source)), source


@pytest.mark.parametrize("path", [".git", ".env", "tests", ".nhm/mongodb", "k8s/overlays/production/secret.yaml"])
def test_everything_else_is_ignored(path: str):
    assert ignored(Path(path))


def secrets(text: str) -> list[str]:
    """Variables of the image whose names suggest a secret."""
    suspicious = re.compile(r"(?i)(password|secret|token|credential|_uri|access_key)\w*=")
    return [rest for kind in ("ENV", "ARG") for rest in arguments(kind, text) if suspicious.search(rest)]


def test_the_image_contains_no_secret():
    assert secrets(DOCKERFILE) == []
    assert secrets(f"{DOCKERFILE}\nENV MONGODB_URI=mongodb://somewhere") != []


def test_every_installed_package_is_pinned_and_pip_stays_outside():
    installs = [command for command in arguments("RUN") if re.search(r"(-m pip|bin/pip|apt-get|curl|wget)\b", command)]
    packages, code, without_pip = installs
    assert "-c ${CONSTRAINTS} -r requirements.txt" in packages
    assert "--no-deps" in code
    assert build_arguments()["CONSTRAINTS"] == "constraints.txt"
    assert "python -m venv --without-pip /opt/nhm" in arguments("RUN")
    assert without_pip.startswith("rm -rf /usr/local/lib/python3.11/site-packages/*")


@dataclass(frozen=True)
class Installed:
    """The environment that the install steps created, and a read-only folder."""

    programs: Path
    folder: Path

    def start(self, *command: str, **settings: object) -> subprocess.Popen[str]:
        """Start a program without root's right to write everywhere."""
        variables = environment(**settings) | {"HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        variables["DAGSTER_HOME"] = str(self.folder.with_name("home"))
        return subprocess.Popen(
            [*NO_OVERRIDE, str(self.programs / command[0]), *command[1:]],
            cwd=self.folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        with self.start(*command, **settings) as started:
            output, errors = started.communicate(timeout=200)
            return subprocess.CompletedProcess(started.args, started.returncode, output, errors)

    def size(self, *patterns: str) -> int:
        """Bytes of the files that match, and of those in folders that match."""
        found = {path for pattern in patterns for path in self.programs.parent.glob(pattern)}
        folders = [path for path in found if path.is_dir() and not path.is_symlink()]
        files = found | {inner for folder in folders for inner in folder.rglob("*")}
        return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink())


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """The environment of the image, in a temporary folder."""
    # pytest would keep these gigabytes.
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        programs = build(folder / "disk") / "bin"
        empty = folder / "empty"
        empty.mkdir(mode=0o555)
        empty.with_name("home").mkdir()
        yield Installed(programs, empty)


@pytest.mark.slow
class TestInstalled:
    """The programs of the image, in an environment that the steps of the Dockerfile created."""

    def test_the_command_starts(self, installed: Installed):
        done = installed.run("nhm", "--help")
        assert done.returncode == 0, done.stderr
        assert "retrain" in done.stdout

    def test_the_code_location_loads(self, installed: Installed):
        done = installed.run("dagster", "definitions", "validate", "-m", "nhm_assets.definitions")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_a_retraining_promotes(self, installed: Installed, database, mongod_uri: str, tmp_path: Path):
        opinions, feedback = reviewed_opinions(320)
        put(database, opinions=opinions, feedback=feedback)
        done = installed.run(
            *("nhm", "retrain", "--specialist", "technical"),
            mongodb_uri=mongod_uri,
            mongodb_database=database.name,
            nhm_home=tmp_path,
            nhm_now=(WEEK_END + timedelta(days=2)).isoformat(),
            min_real_samples=300,
            min_test_rows=40,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "promoted" in done.stdout

    def test_the_webserver_and_the_server_of_mlflow_serve_their_pages(self, installed: Installed, tmp_path: Path):
        port = free_port()
        webserver = installed.start("dagster-webserver", "-h", "127.0.0.1", "-p", str(port), "--empty-workspace")
        try:
            with mlflow_server(tmp_path, program=installed.programs / "mlflow") as mlflow:
                assert "<html" in (fetched(mlflow) or "")
            assert eventually(lambda: "<html" in (fetched(f"http://127.0.0.1:{port}") or ""))
        finally:
            webserver.kill()
            webserver.communicate()

    def test_it_is_small_and_a_commit_changes_little(self, installed: Installed):
        packages = "lib/python*/site-packages/"
        code = installed.size(*(f"{packages}{name}" for name in ("nhm_assets*", "resources", "sensors")))
        assert 1_000_000 < code < LARGEST_CODE
        assert installed.size("*") < LARGEST

    def test_there_is_no_pip(self, installed: Installed):
        assert "No module named" in installed.run("python", "-c", "import pip").stderr
        assert not list(installed.programs.glob("pip*"))

    def test_every_program_that_the_manifests_start_is_installed(self, installed: Installed):
        for name, template in pod_templates(rendered(STANDALONE)):
            for container in containers(template):
                if "nhm-assets" in container["image"]:
                    assert (installed.programs / container["command"][0]).exists(), name

    def test_the_template_and_the_drivers_are_installed(self, installed: Installed):
        done = installed.run(
            "python",
            "-c",
            "import dagster_postgres, psycopg2, s3fs, dagster_k8s, nhm_assets.instance.pod_launcher;"
            "from nhm_assets.instance.home import instance_template; assert 'run_retries' in instance_template()",
        )
        assert done.returncode == 0, done.stderr

    def test_the_code_is_compiled(self, installed: Installed):
        packages = installed.programs.parent / "lib"
        for package in ("nhm_assets", "dagster", "mlflow"):
            assert list(packages.glob(f"python*/site-packages/{package}/__pycache__/__init__.*.pyc")), package

    def test_the_programs_ran_in_a_read_only_folder(self, installed: Installed):
        refused = installed.run("python", "-c", "open('made', 'w')")
        assert "PermissionError" in refused.stderr
        assert list(installed.folder.iterdir()) == []
