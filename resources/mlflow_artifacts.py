"""An MLflow server's artifact store as a file system, so that runs on any machine share it (NHM_STORAGE).

An address is that of a folder on the server, with `mlflow` for `http` and `mlflows` for `https`, such as
`mlflow://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/nhm`; `addresses.artifacts_address` makes it.
"""

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.spec import AbstractFileSystem
from upath import UPath
from upath.registry import register_implementation

from resources.addresses import masked
from resources.mlflow import limit_http_retries

if TYPE_CHECKING:
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository


class MlflowArtifacts(AbstractFileSystem):
    """Files in the artifact store of an MLflow server, through the server. They are read and written as a whole."""

    protocol = ("mlflow", "mlflows")
    root_marker = ""
    # Another process may have written a file since.
    cachable = False
    scheme = "http"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        _, _, rest = str(path).rpartition("://")
        return rest.rstrip("/")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The content of a file; FileNotFoundError if there is none."""
        folder, name = posixpath.split(self._strip_protocol(path))
        with tempfile.TemporaryDirectory(prefix="nhm-artifact-") as local:
            file = Path(local) / "content"
            with _as_os_errors(path):
                self._folder(folder)._download_file(name, str(file))
            return file.read_bytes()[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:  # noqa: ARG002
        """Write a file; the server shows it once it is complete."""
        folder, name = posixpath.split(self._strip_protocol(path))
        with tempfile.TemporaryDirectory(prefix="nhm-artifact-") as local:
            file = Path(local) / name
            file.write_bytes(value)
            with _as_os_errors(path):
                self._folder(folder).log_artifact(str(file))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 - fsspec's signature
        """What a folder holds; FileNotFoundError if it holds nothing."""
        folder = self._strip_protocol(path)
        with _as_os_errors(path):
            found = self._folder(folder).list_artifacts()
        if not found:
            raise FileNotFoundError(path)
        entries = [
            {
                "name": f"{folder}/{one.path}",
                "size": one.file_size,
                "type": "directory" if one.is_dir else "file",
            }
            for one in found
        ]
        return entries if detail else [entry["name"] for entry in entries]

    def walk(self, path: str, maxdepth: int | None = None, topdown: bool = True, **rest: Any) -> Iterator[Any]:  # noqa: FBT001, FBT002
        """Folder by folder, as `glob` asks. fsspec would take a folder that cannot be listed for an empty one."""
        return super().walk(path, maxdepth, topdown, **{**rest, "on_error": _raise_unless_missing})

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and type; FileNotFoundError if there is no such file or folder."""
        own = self._strip_protocol(path)
        for entry in self.ls(posixpath.dirname(own)):
            if entry["name"] == own:
                return dict(entry)
        raise FileNotFoundError(path)

    def rm_file(self, path: str) -> None:
        """Delete a file."""
        folder, name = posixpath.split(self._strip_protocol(path))
        with _as_os_errors(path):
            self._folder(folder).delete_artifacts(name)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: FBT001, FBT002
        """Folders come with their first file."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002
        """Folders come with their first file."""

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return BytesIO(self.cat_file(path)) if "r" in mode else _Written(self, path)

    def _folder(self, path: str) -> "HttpArtifactRepository":
        from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

        limit_http_retries()
        return HttpArtifactRepository(f"{self.scheme}://{path}")


class _SecureMlflowArtifacts(MlflowArtifacts):
    """The same, by HTTPS."""

    scheme = "https"


class _Written(BytesIO):
    """A file that is sent to the server when it is closed, unless the body of a `with` failed."""

    def __init__(self, files: MlflowArtifacts, path: str) -> None:
        super().__init__()
        self._files, self._path, self._complete = files, path, True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._complete = kind is None
        super().__exit__(kind, error, trace)

    def close(self) -> None:
        """Send the content. A second call does nothing."""
        try:
            if self._complete and not self.closed:
                self._files.pipe_file(self._path, self.getvalue())
        finally:
            super().close()


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """What the server answers, as the errors of a file system."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError, RequestException

    try:
        yield
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else HTTPStatus.BAD_GATEWAY
        if status == HTTPStatus.NOT_FOUND:
            raise FileNotFoundError(path) from error
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise PermissionError(f"MLflow refuses its artifacts with HTTP {status:d}") from error
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ConnectionError(f"MLflow answers HTTP {status:d}") from error
        raise OSError(f"MLflow answers HTTP {status:d}") from error
    except (RequestException, MlflowException) as error:
        raise ConnectionError(masked(str(error).splitlines()[0][:200])) from error


class MlflowPath(UPath):
    """A path on an MLflow server."""


for _protocol, _files in (("mlflow", MlflowArtifacts), ("mlflows", _SecureMlflowArtifacts)):
    fsspec.register_implementation(_protocol, _files, clobber=True)
    register_implementation(_protocol, MlflowPath, clobber=True)
