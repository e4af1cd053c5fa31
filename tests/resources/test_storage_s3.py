"""Storage in an object store, over a real socket; skipped without the extra `s3` and a test server."""

import hashlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pandas as pd
import pytest

from resources.errors import StorageError, StorageUnavailable
from resources.storage import FrameIOManager, RecordIOManager
from resources.storage_location import check_storage
from tests.support.documents import WEEK
from tests.support.ports import free_port
from tests.support.storing import NOTE, Note, fetch, frame, keep

pytestmark = pytest.mark.servers

BUCKET = "hive"
KEPT = ("kept", "technical", WEEK)
SECRET = "s3cret-word"  # noqa: S105 - of a server that lives for one test


def file_system() -> Any:
    """The class; its library is imported by the process that runs these tests alone."""
    return pytest.importorskip("s3fs", reason="the extra `s3` is not installed").S3FileSystem


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    moto_server = pytest.importorskip("moto.server", reason="no S3 server to test against is installed: moto[s3]")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def storage(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in an empty bucket; AWS's own variables say where the store is, as in production."""
    point_at(endpoint, monkeypatch)
    client = file_system()(skip_instance_cache=True)
    client.mkdir(BUCKET)
    yield f"s3://{BUCKET}/prefix"
    client.rm(BUCKET, recursive=True)


def point_at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nhm")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    file_system().clear_instance_cache()


def names() -> list[str]:
    client = file_system()(skip_instance_cache=True)
    return sorted(client.find(BUCKET))


def test_frames_and_records_come_back_from_an_object_store(storage: str):
    keep(FrameIOManager(storage), frame(), "technical")
    keep(RecordIOManager(storage), NOTE, "business")
    loaded = fetch(FrameIOManager(storage), pd.DataFrame, "technical")
    pd.testing.assert_frame_equal(loaded, frame(), check_exact=True)
    assert loaded.attrs == frame().attrs
    assert fetch(RecordIOManager(storage), Note, "business") == NOTE
    files = RecordIOManager(storage).file_of("kept", "business", WEEK), FrameIOManager(storage).file_of(*KEPT)
    pointers = [f"{BUCKET}/prefix/kept/{specialist}/{WEEK}.current" for specialist in ("business", "technical")]
    assert names() == sorted([*pointers, *(str(file).removeprefix("s3://") for file in files)])


def test_materializing_again_points_to_another_object_and_keeps_the_first(storage: str):
    records = RecordIOManager(storage)
    keep(records, NOTE)
    keep(records, Note(text="again", score=1))
    assert fetch(records, Note).text == "again"
    assert len(names()) == 3


def test_an_object_that_another_process_has_written_is_read(storage: str):
    records = RecordIOManager(storage)
    keep(records, NOTE)
    assert fetch(records, Note) == NOTE
    other = file_system()(skip_instance_cache=True)
    content = b'{"text": "from elsewhere", "score": 1}'
    name = f"{WEEK}/{hashlib.blake2b(content, digest_size=16).hexdigest()}.json"
    other.pipe_file(f"{BUCKET}/prefix/kept/technical/{name}", content)
    other.pipe_file(f"{BUCKET}/prefix/kept/technical/{WEEK}.current", name.encode())
    assert fetch(records, Note).text == "from elsewhere"


def test_a_missing_object_is_an_error_that_says_what_to_materialize(storage: str):
    with pytest.raises(StorageError, match="does not exist: materialize kept for this partition first"):
        fetch(RecordIOManager(storage), Note)


def test_a_damaged_object_is_an_error_that_names_it(storage: str):
    keep(FrameIOManager(storage), frame())
    name = str(FrameIOManager(storage).file_of(*KEPT)).removeprefix("s3://")
    file_system()(skip_instance_cache=True).pipe_file(name, b"PAR1 and no more")
    with pytest.raises(StorageError, match="is damaged") as caught:
        fetch(FrameIOManager(storage), pd.DataFrame)
    assert f"s3://{name}" in str(caught.value)


def test_a_writable_bucket_passes_the_check_which_leaves_nothing_behind(storage: str):
    check_storage(storage)
    assert names() == []


def test_a_store_that_cannot_be_reached_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch):
    point_at(f"http://127.0.0.1:{free_port()}", monkeypatch)
    address = f"s3://{BUCKET}/prefix"
    for use in (
        lambda: check_storage(address),
        lambda: keep(RecordIOManager(address), NOTE),
        lambda: fetch(RecordIOManager(address), Note),
    ):
        with pytest.raises(StorageUnavailable, match="NHM_STORAGE") as caught:
            use()
        assert caught.value.transient
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_store_without_credentials_is_an_error_that_names_their_variables(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    point_at(endpoint, monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    expected = rf"^s3://{BUCKET}/prefix cannot be written .*: for NHM_STORAGE, set AWS_ACCESS_KEY_ID and AWS_SECRET_"
    with pytest.raises(StorageError, match=expected) as caught:
        check_storage(f"s3://{BUCKET}/prefix")
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (500, "InternalError", True),
        (502, "BadGateway", True),
        (503, "SlowDown", True),
        (503, "ServiceUnavailable", True),
        (504, "GatewayTimeout", True),
        (429, "TooManyRequests", True),
        (403, "AccessDenied", False),
        (403, "InvalidAccessKeyId", False),
        (400, "AuthorizationHeaderMalformed", False),
    ],
)
def test_a_store_that_is_busy_or_breaks_down_passes_by_itself_and_one_that_refuses_us_does_not(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, *, transient: bool
):
    body = f"<Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
    with answering_always(status, body) as endpoint:
        point_at(endpoint, monkeypatch)
        monkeypatch.setattr(file_system(), "retries", 1)
        address = f"s3://{BUCKET}/prefix"
        for use in (
            lambda: check_storage(address),
            lambda: keep(RecordIOManager(address), NOTE),
            lambda: fetch(RecordIOManager(address), Note),
        ):
            with pytest.raises(StorageError) as caught:
                use()
            assert (caught.value.transient, type(caught.value) is StorageUnavailable) == (transient, transient)


@contextmanager
def answering_always(status: int, body: bytes) -> Iterator[str]:
    """A store that gives one answer to every request."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 - the names that the server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
