"""Print what pip must install, without the project itself: requirements.py PYPROJECT EXTRA...

The Dockerfile writes this to a file. While the file stays the same, Docker has the layer of packages in its cache.
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The dependencies of the project and of some of its extras."""
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = project["optional-dependencies"]
    return sorted([*project["dependencies"], *(one for extra in extras for one in optional[extra])])


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2:])))
