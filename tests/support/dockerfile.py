"""The Dockerfile, read and built in a folder, because no container engine is here."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import ROOT

Step = tuple[str, str]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@dataclass
class Stage:
    """What one FROM begins: its base, its name, and its other instructions."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def arguments(self, word: str) -> list[str]:
        return [rest for found, rest in self.steps if found == word]

    def copies(self) -> list[tuple[str | None, list[str], str]]:
        """Stage, sources and target of every COPY; without a stage, it is from the project."""
        found = []
        for rest in self.arguments("COPY"):
            words = shlex.split(rest)
            stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
            found.append((stage, words[:-1], words[-1]))
        return found


def steps(text: str = DOCKERFILE) -> list[Step]:
    """Each instruction with its arguments, without comments and continued lines."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word
    ]


def arguments(word: str, text: str = DOCKERFILE) -> list[str]:
    return [rest for found, rest in steps(text) if found == word]


def stages(text: str = DOCKERFILE) -> list[Stage]:
    """All stages; the last one is the image."""
    found: list[Stage] = []
    for word, rest in steps(text):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name.strip()))
        elif found:
            found[-1].steps.append((word, rest))
    return found


def build_arguments() -> dict[str, str]:
    """The arguments of the build and their defaults."""
    return dict(argument.split("=", 1) for argument in arguments("ARG"))


def build(folder: Path) -> Path:
    """Run the steps of all stages in one folder that stands for their disks; the environment that the image contains.

    Programs that pip writes contain the path of their environment, so it cannot be moved afterwards. Of the image
    itself, only what is copied from other stages is done.
    """
    *building, image = stages()
    for stage in building:
        place = folder
        for word, rest in stage.steps:
            if word == "WORKDIR":
                place = _on_disk(folder, rest)
                place.mkdir(parents=True, exist_ok=True)
            elif word == "RUN":
                _run(rest, folder, place)
            elif word == "COPY":
                _copy(Stage("", "", [(word, rest)]), folder, place)
    _copy(image, folder, folder)
    return folder / "opt" / "nhm"


def _on_disk(folder: Path, path: str) -> Path:
    return folder / path.lstrip("/")


def _copy(stage: Stage, folder: Path, place: Path) -> None:
    for from_stage, sources, target in stage.copies():
        into = place / target if target.startswith(".") or not target.startswith("/") else _on_disk(folder, target)
        for name in sources:
            source = _on_disk(folder, name) if from_stage else ROOT / name
            if source.is_dir():
                if source != into:
                    ignore = shutil.ignore_patterns("__pycache__") if not from_stage else None
                    shutil.copytree(source, into, symlinks=True, ignore=ignore, dirs_exist_ok=True)
            else:
                copied = into / source.name if target.endswith("/") else into
                if source != copied:
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, copied)


def _run(command: str, folder: Path, place: Path) -> None:
    command = re.sub(r"(?<![\w.])/(opt/nhm|code)\b", rf"{folder}/\1", command)
    command = re.sub(r"(^|&& )python ", rf"\1{shlex.quote(sys.executable)} ", command)
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=place,
        env=os.environ | build_arguments(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
