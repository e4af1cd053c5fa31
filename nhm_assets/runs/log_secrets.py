"""Keeps secrets out of log lines: those of the settings, and whatever looks like one."""

import re
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus

from nhm_assets.settings import Settings
from resources.addresses import masked, split_credentials

_HIDDEN: Final = "***"
_SHORTEST: Final = 4
"""Shorter passwords occur in words."""
_ADDRESS: Final = re.compile(r"[a-zA-Z][\w+.-]*://[^\s'\"<>]*@[^\s'\"<>]*")
_ASSIGNED: Final = re.compile(
    r"(?i)\b((?:[\w-]*(?:password|passwd|secret|token|api_?key|signature|credential)|sig)=)[^\s&;,'\"]+"
)


@dataclass(frozen=True)
class Mask:
    """A processor of structlog that hides secrets in all texts of a line.

    Attributes:
        secrets: texts that must not be shown, longest first.
    """

    secrets: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The mask for the secrets of these settings."""
        found = {secret for secret in _secrets(settings) if len(secret) >= _SHORTEST}
        return cls(tuple(sorted(found, key=len, reverse=True)))

    def __call__(self, _: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The line without secrets."""
        return {name: self.hidden(value) if isinstance(value, str) else value for name, value in line.items()}

    def hidden(self, text: str) -> str:
        """The text without secrets."""
        text = _ADDRESS.sub(lambda found: masked(found[0]), text)
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return _ASSIGNED.sub(lambda found: f"{found[1]}{_HIDDEN}", text)


def _secrets(settings: Settings) -> Iterator[str]:
    """The key of the language model, the receivers of notifications, since whoever knows one can write there, and the
    passwords in addresses.
    """
    if settings.llm_api_key:
        yield settings.llm_api_key.get_secret_value()
    if settings.notify_urls:
        yield from re.split(r"[\s,]+", settings.notify_urls.get_secret_value())
    for address in filter(None, (settings.mongodb_uri, settings.mlflow_tracking_uri)):
        _, _, password = split_credentials(address.get_secret_value())
        if password:
            # However it is written.
            yield from (password, quote(password, safe=""), quote_plus(password))
