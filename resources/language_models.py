"""Language models that are asked for JSON: those of OpenAI and what speaks its protocol, and those of Anthropic.

The clients of both packages retry by themselves: after 429 as long as the server says (Retry-After), and after other
passing failures with growing delays. A server that wants to be left alone for more than two minutes is not asked again.
"""

import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from resources.errors import AnswerOfAnotherShape, LanguageModelRefused, LanguageModelUnavailable, MissingPackage
from resources.language_model_hooks import hooks

Provider = Literal["openai", "anthropic"]

_ADDRESSES: Final[Mapping[Provider, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}
_NO_KEY: Final = "none"
"""Servers of one's own want no key, but the clients do."""
_KEY_REFUSED: Final = (401, 403)
_UNKNOWN: Final = 404
_LATER: Final = (408, 409, 429)
_LONGEST_DETAIL: Final = 200
_MOST_TOKENS: Final = 10**9


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        system: what it is to do.
        text: what it is asked now.
        name: of the object that it answers with.
        schema: JSON schema of this object. Servers may ignore it, so the answer must be validated.
        seed: where the protocol has one; equal questions may still be answered otherwise.
        max_tokens: of the answer.
    """

    system: str
    text: str
    name: str
    schema: dict[str, Any]
    seed: int
    max_tokens: int


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        text: meant to be the object, as JSON; empty if there is none.
        fault: why there is none, or no whole one; empty if the model ended by itself.
        input_tokens, output_tokens: as the server counted them; None if it does not say.
    """

    text: str
    fault: Literal["", "refused", "cut_off"]
    input_tokens: int | None
    output_tokens: int | None


class LanguageModel(Protocol):
    """A model that answers questions."""

    name: str

    def ask(self, question: Question) -> Answer:
        """Its answer.

        Raises:
            LanguageModelUnavailable: the server cannot be reached, or does not answer for now, after all retries.
            AnswerOfAnotherShape: it has answered, but not by the protocol.
            LanguageModelRefused: the server refuses the key, the model or the question.
        """


@dataclass(frozen=True)
class Access:
    """How the server of a model is reached.

    Attributes:
        address: None for that of the provider.
        key: None if the server wants none.
        timeout_s: seconds to wait for an answer.
        retries: of a question that the server did not answer.
    """

    provider: Provider
    address: str | None
    key: str | None
    timeout_s: float
    retries: int

    @property
    def url(self) -> str:
        """The address, whoever named it."""
        return self.address or _ADDRESSES[self.provider]

    def model(self, name: str) -> LanguageModel:
        """The model of that name. Nothing is asked yet.

        Raises:
            MissingPackage: the package that asks it is not installed.
        """
        return _OpenAi(self, name) if self.provider == "openai" else _Anthropic(self, name)


def _package(name: Provider) -> Any:
    """The package of a provider: half a second, and an extra."""
    try:
        if name == "openai":
            import openai

            return openai
        import anthropic
    except ImportError as error:
        raise MissingPackage(
            f"the package {name} is not installed: install the extra `llm`, for example with"
            " pip install -c constraints.txt -e '.[llm]'"
        ) from error
    return anthropic


def _counted(found: Any) -> tuple[int | None, int | None]:
    """Tokens read and written as the server counted them, whatever the protocol calls them; None where it did not."""
    usage = getattr(found, "usage", None)
    read, written = (
        [getattr(usage, name, None) for name in names]
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    return _first_count(read), _first_count(written)


def _first_count(values: list[Any]) -> int | None:
    return next((value for value in values if type(value) is int and 0 <= value <= _MOST_TOKENS), None)


def _text(content: Any) -> str:
    if content is not None and not isinstance(content, str):
        raise TypeError("no text")
    return content or ""


class _Asked:
    """What both have in common: the client of their package, and its errors as ours."""

    def __init__(self, access: Access, name: str) -> None:
        self._access = access
        self._package = _package(access.provider)
        self._client = self._made_client()
        self.name = name

    def _made_client(self) -> Any:
        timeout, key = self._access.timeout_s, self._access.key or _NO_KEY
        http = self._package.DefaultHttpxClient(timeout=timeout, event_hooks=hooks(key, timeout))
        weakref.finalize(self, http.close)
        # The address and the key are always given: the packages would look for others in the environment.
        return self._client_class()(
            api_key=key, base_url=self._access.url, timeout=timeout, max_retries=self._access.retries, http_client=http
        )

    def _client_class(self) -> Any:
        raise NotImplementedError

    def _asked(self, question: Question) -> Any:
        """What the package makes of the server's answer."""
        raise NotImplementedError

    def _answer(self, found: Any, counted: tuple[int | None, int | None]) -> Answer:
        raise NotImplementedError

    def ask(self, question: Question) -> Answer:
        counted: tuple[int | None, int | None] = (None, None)
        try:
            found = self._asked(question)
            counted = _counted(found)
            return self._answer(found, counted)
        except self._package.APIStatusError as error:
            raise self._by_status(int(error.status_code), str(error.message)) from None
        except self._package.APIConnectionError:
            raise LanguageModelUnavailable(
                f"{self._where} did not answer within {self._access.timeout_s:g} s, or cannot be reached, after"
                f" {self._access.retries} retries. Check LLM_BASE_URL"
            ) from None
        except (self._package.APIError, ValueError, AttributeError, IndexError, TypeError) as error:
            raise AnswerOfAnotherShape(
                f"{self._where} answered what is not of the {self._access.provider} protocol ({type(error).__name__})."
                " Check LLM_PROVIDER and LLM_BASE_URL",
                counted,
            ) from None

    @property
    def _where(self) -> str:
        return f"the model {self.name} at {urlsplit(self._access.url).netloc}"

    def _by_status(self, status: int, message: str) -> LanguageModelUnavailable | LanguageModelRefused:
        if status in _KEY_REFUSED:
            # The message may show a part of the key.
            return LanguageModelRefused(f"{self._where} refuses the key ({status}). Check LLM_API_KEY")
        if status in _LATER or status >= 500:
            return LanguageModelUnavailable(
                f"{self._where} answered {status}, after up to {self._access.retries} retries. Wait, and run the same"
                " command again"
            )
        detail = self._shown(message)
        if status == _UNKNOWN:
            return LanguageModelRefused(f"{self._where} is not there (404: {detail}). Check LLM_MODEL and LLM_BASE_URL")
        return LanguageModelRefused(f"{self._where} refuses the question ({status}: {detail})")

    def _shown(self, message: str) -> str:
        """A message of the server as one short line without the key."""
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        if self._access.key:
            line = line.replace(self._access.key, "***")
        return line[:_LONGEST_DETAIL]


class _OpenAi(_Asked):
    """The chat completions of OpenAI, which other servers speak too."""

    def _client_class(self) -> Any:
        return self._package.OpenAI

    def _asked(self, question: Question) -> Any:
        # OpenAI's newer models refuse the older name, and most other servers know only that.
        limit = "max_tokens" if self._access.address else "max_completion_tokens"
        return self._client.chat.completions.create(
            model=self.name,
            messages=[{"role": "system", "content": question.system}, {"role": "user", "content": question.text}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": question.name, "schema": question.schema, "strict": False},
            },
            seed=question.seed,
            **{limit: question.max_tokens},
        )

    def _answer(self, found: Any, counted: tuple[int | None, int | None]) -> Answer:
        choice = found.choices[0]
        refused = bool(getattr(choice.message, "refusal", None)) or choice.finish_reason == "content_filter"
        return Answer(
            _text(choice.message.content),
            "refused" if refused else "cut_off" if choice.finish_reason == "length" else "",
            *counted,
        )


class _Anthropic(_Asked):
    """The messages of Anthropic; the object is the input of a tool that the model must use."""

    def _client_class(self) -> Any:
        return self._package.Anthropic

    def _asked(self, question: Question) -> Any:
        return self._client.messages.create(
            model=self.name,
            system=question.system,
            messages=[{"role": "user", "content": question.text}],
            tools=[{"name": question.name, "description": "The answer.", "input_schema": question.schema}],
            tool_choice={"type": "tool", "name": question.name},
            max_tokens=question.max_tokens,
        )

    def _answer(self, found: Any, counted: tuple[int | None, int | None]) -> Answer:
        used = [block.input for block in found.content if block.type == "tool_use"]
        return Answer(
            json.dumps(used[0]) if used else "",
            {"refusal": "refused", "max_tokens": "cut_off"}.get(found.stop_reason, ""),  # type: ignore[arg-type]
            *counted,
        )
