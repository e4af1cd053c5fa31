"""The Dockerfile is parsed, and its install step runs in a fresh environment, because no container engine is here."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.manifests import NO_OVERRIDE, STANDALONE, containers, pod_templates, rendered
from tests.support.nhm import environment
from tests.support.processes import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENVIRONMENT = "/opt/nhm"
Step = tuple[str, str]


def steps(text: str) -> list[Step]:
    """Each instruction with its arguments, without comments and continued lines."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word
    ]


def arguments(name: str, text: str = DOCKERFILE) -> list[str]:
    return [rest for word, rest in steps(text) if word == name]


def ignored(path: Path) -> bool:
    """Whether .dockerignore, which lists exceptions to ignoring everything, ignores this path."""
    names = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    return not any(path.is_relative_to(name) for name in names)


def sources() -> list[str]:
    """The paths that are copied from the project into the image."""
    copied = [shlex.split(copy) for copy in arguments("COPY") if not copy.startswith("--from")]
    return [source for words in copied for source in words[:-1]]


def build_arguments() -> dict[str, str]:
    """The arguments of the build and their defaults."""
    return dict(argument.split("=", 1) for argument in arguments("ARG"))


def test_the_base_is_pinned_to_a_patch_version():
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", build_arguments()["PYTHON"])
    assert {base.split()[0] for base in arguments("FROM")} == {"${PYTHON}"}


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


def test_every_installed_package_is_pinned():
    installs = [command for command in arguments("RUN") if re.search(r"\b(pip install|apt-get|curl|wget)\b", command)]
    assert len(installs) == 1
    assert "-c ${CONSTRAINTS}" in installs[0]
    assert build_arguments()["CONSTRAINTS"] == "constraints.txt"


@dataclass(frozen=True)
class Installed:
    """The environment that the install steps created, and a read-only folder."""

    programs: Path
    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program without root's right to write everywhere."""
        variables = environment() | {"HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        variables["DAGSTER_HOME"] = str(self.folder.with_name("home"))
        return subprocess.run(
            [*NO_OVERRIDE, str(self.programs / command[0]), *command[1:]],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """The environment of the build stage, in a temporary folder."""
    # pytest would keep these gigabytes.
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for source in sources():
            target = folder / "src" / source
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, target, symlinks=True, ignore=ignore)
            else:
                shutil.copy(ROOT / source, target)
        for step in arguments("RUN", DOCKERFILE.rpartition("FROM ")[0]):
            command = step.replace(ENVIRONMENT, str(folder / "nhm"))
            command = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", command)
            done = subprocess.run(
                ["sh", "-ec", command],
                cwd=folder / "src",
                env=os.environ | build_arguments(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        # The image does not contain the sources.
        shutil.rmtree(folder / "src")
        empty = folder / "empty"
        empty.mkdir(mode=0o555)
        empty.with_name("home").mkdir()
        yield Installed(folder / "nhm" / "bin", empty)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestInstalled:
    """The programs of the image, in an environment that the steps of the Dockerfile created."""

    def test_the_command_starts(self, installed: Installed):
        done = installed.run("nhm", "--help")
        assert done.returncode == 0, done.stderr
        assert "retrain" in done.stdout

    def test_the_code_location_loads(self, installed: Installed):
        done = installed.run("dagster", "definitions", "validate", "-m", "nhm_assets.definitions")
        assert done.returncode == 0, done.stdout + done.stderr

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
