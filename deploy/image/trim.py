"""Take out of an environment what no program of the platform reads, and compile what they import: trim.py ENVIRONMENT.

A third of what wheels bring is tests, sources to compile against, and parts for other purposes. The tests of the image
run the programs of the platform from an environment that this has trimmed. If a program needs one of these parts
one day, remove its line.
"""

import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

REMOVED: Final = {
    # Not `test`: Dagster has a folder of that name which it needs.
    "tests": ("**/tests", "pyarrow/_pyarrow_cpp_tests*"),
    "sources and headers": (
        *(f"**/*.{ending}" for ending in ("pyx", "pxd", "pxi", "pyi", "h", "hpp", "c", "cpp", "cc", "a")),
        "pyarrow/src",
        "numpy/distutils",
    ),
    "what a browser's debugger reads": ("**/*.js.map", "**/*.css.map"),
    # Wheels cannot hold links. Programs load libarrow_python.so.2500.
    "copies of libraries under longer and shorter names": ("pyarrow/libarrow*.so", "pyarrow/libarrow*.so.*.*.*"),
    "Arrow's protocol between servers": ("pyarrow/*flight*",),
    "the Kubernetes client for asyncio": ("kubernetes/aio",),
    "AWS, except what leads to S3": ("botocore/data/[!s]*/", "botocore/data/s[!3ist]*/"),
    # Pictures of the platform are PNG and SVG.
    "fonts in PDF and PostScript": (
        *("fontTools/[!m_]*/", "fontTools/m[!i]*/", "fontTools/misc/*.so"),
        *("matplotlib/mpl-data/fonts/afm", "matplotlib/mpl-data/fonts/pdfcorefonts"),
    ),
    "a picture format": ("PIL/_avif*.so", "pillow.libs/libavif*"),
    # uvicorn does with Python's own.
    "a second event loop": ("uvloop", "uvloop-*.dist-info"),
}
"""Patterns of pathlib below site-packages, by what they match."""
IMPORTED: Final = (
    *("aiobotocore.session", "alembic.command", "apprise", "bson", "click", "cloudpickle", "filelock", "fsspec"),
    *("dagster", "dagster._cli", "dagster._cli.api", "dagster._core.execution.api", "dagster._core.workspace.context"),
    *("dagster._daemon.cli", "dagster._daemon.controller", "dagster._grpc.server", "dagster_graphql.schema"),
    *("dagster_k8s", "dagster_mlflow.resources", "dagster_postgres", "dagster_webserver.cli"),
    *("kubernetes.client", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure"),
    *("mlflow.artifacts", "mlflow.cli", "mlflow.data.pandas_dataset", "mlflow.pyfunc", "mlflow.server.handlers"),
    *("mlflow.sklearn", "mlflow.store.artifact.http_artifact_repo", "mlflow.store.model_registry.sqlalchemy_store"),
    *("mlflow.store.tracking.sqlalchemy_store", "optuna", "pandas", "prometheus_client", "psutil", "psycopg2"),
    *("pyarrow.dataset", "pyarrow.parquet", "pydantic_settings", "pymongo", "requests", "rich.console", "rich.table"),
    *("s3fs", "scipy.special", "scipy.stats", "sklearn.calibration", "sklearn.dummy", "sklearn.ensemble"),
    *("sklearn.impute", "sklearn.isotonic", "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection"),
    *("sklearn.pipeline", "sklearn.preprocessing", "sklearn.tree", "sqlalchemy.dialects.postgresql", "structlog"),
    *("sqlalchemy.dialects.sqlite", "threadpoolctl", "upath", "urllib3", "uvicorn.lifespan.on", "yaml"),
    "uvicorn.protocols.http.auto",
)
"""What the programs import. Whatever else they import is compiled in memory, which takes time at each start."""
_FILES: Final = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))
"""


def trim(packages: Path) -> None:
    """Delete what REMOVED names. A line that nothing matches any more is an error, so that no line is forgotten."""
    for what, patterns in REMOVED.items():
        found = [path for pattern in patterns for path in packages.glob(pattern)]
        if not found:
            raise SystemExit(f"{what}: nothing in {packages} matches {', '.join(patterns)}. Take the line out")
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def files_of(python: Path, modules: tuple[str, ...]) -> list[Path]:
    """The source files that a Python reads to import these modules, if they are in its environment."""
    command = [str(python), "-B", "-W", "ignore", "-c", _FILES, *modules]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if listed.returncode:
        raise SystemExit(f"The environment lacks something that the platform imports: {listed.stderr}")
    inside = python.parents[1]
    found = {Path(line) for line in listed.stdout.splitlines() if line.endswith(".py")}
    return sorted(path for path in found if path.is_relative_to(inside))


def main(environment: Path) -> None:
    """Trim it. The same packages give the same files, whenever that is done."""
    (packages,) = environment.glob("lib/python3.*/site-packages")
    trim(packages)
    for path in files_of(environment / "bin" / "python", IMPORTED):
        py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
