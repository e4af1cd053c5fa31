"""The `nhm` command in a process and an environment of its own."""

import gzip
import json
import os
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bson import json_util
from click.testing import CliRunner

from nhm_assets.cli import main
from nhm_assets.settings import Settings

NHM = Path(sysconfig.get_path("scripts")) / "nhm"


def environment(**settings: object) -> dict[str, str]:
    """The environment of this process, with these settings and no others."""
    names = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return inherited | {name.upper(): str(value) for name, value in settings.items()}


def nhm(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `nhm` and wait until it ends."""
    command = [str(NHM), *map(str, arguments)]
    return subprocess.run(
        command, env=environment(**settings), capture_output=True, text=True, timeout=170, check=False
    )


def nhm_here(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `nhm` in this process, which has imported everything; for commands that leave nothing behind in it."""
    words = [str(one) for one in arguments]
    done = CliRunner().invoke(main, words, env=environment(**settings), catch_exceptions=False)
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def start_nhm(*arguments: object, **settings: object) -> subprocess.Popen[str]:
    """Start `nhm` in the background."""
    command = [str(NHM), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def read_report(path: Path) -> dict[str, dict[str, Any]]:
    """What `nhm retrain --report` wrote, by specialist."""
    return {entry["specialist"]: entry for entry in json.loads(path.read_text())}


def write_documents(folder: Path, **collections: Iterable[dict[str, Any]]) -> Path:
    """Create a folder for `nhm seed --from`. A collection that is not given gets an empty file."""
    folder.mkdir()
    for name in ("opinions", "feedback", "plan_features", "cognitive_ledger"):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            for document in collections.get(name, ()):
                file.write(json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS) + "\n")
    return folder
