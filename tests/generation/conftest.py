"""A home with a dataset of real rows, and `nhm generate` in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nhm_assets.cli import main
from resources.storage import FrameIOManager
from tests.support.documents import WEEK
from tests.support.language_server import LanguageServer
from tests.support.made_rows import stored_rows

Generate = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    FrameIOManager(str(tmp_path / "storage")).store(stored_rows(), "feedback_dataset", "technical", WEEK)
    return tmp_path


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    """The protocol that the command and the server speak."""
    return str(request.param)


@pytest.fixture
def generate(home: Path, provider: str) -> Generate:
    """Run the command against a server, by each protocol; the files are in the folder `made` of the home."""

    def run(server: LanguageServer, count: int = 10, *more: str, **settings: object) -> Result:
        arguments = ["generate", "--specialist", "technical", "--count", str(count), "--out", str(home / "made"), *more]
        given = server.settings(provider, nhm_home=home, **settings)
        return CliRunner().invoke(main, arguments, env={name.upper(): str(value) for name, value in given.items()})

    return run
