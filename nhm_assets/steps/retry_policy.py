"""Steps retry transient errors of services, and nothing else.

Dagster's `RetryPolicy` retries interrupts too (1.13.27, `op_execution_error_boundary`): a canceled step would start
over. `RetryRequested`, which Dagster offers for single errors, has no such effect.
"""

import functools
import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from dagster import Failure, MetadataValue, OpExecutionContext, RetryRequested

from nhm_assets.domain.errors import ChampionChanged, NhmError
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from resources.errors import ServiceError

Body = TypeVar("Body", bound=Callable[..., Any])

_MAX_DELAY_S: Final = 300.0


def retry_transient_errors(body: Body) -> Body:
    """Make an asset, a check or an op retry transient errors; all others end it at once, as a `Failure`.

    It retries SERVICE_RETRIES times, first after SERVICE_RETRY_DELAY_S, then after twice as long each time. The step
    must require the resource `settings`.
    """

    @functools.wraps(body)
    def produces(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with _retrying():
            yield from body(*args, **kwargs)

    @functools.wraps(body)
    def returns(*args: Any, **kwargs: Any) -> Any:
        with _retrying():
            return body(*args, **kwargs)

    return produces if inspect.isgeneratorfunction(body) else returns  # type: ignore[return-value]


@contextmanager
def _retrying() -> Iterator[None]:
    try:
        yield
    except (NhmError, ServiceError) as error:
        context = OpExecutionContext.get()
        settings, attempt = context.resources.settings, context.retry_number
        if not error.transient or isinstance(error, ChampionChanged) or attempt >= settings.service_retries:
            raise _failure(error, settings) from error
        delay_s = retry_delay_s(settings.service_retry_delay_s, attempt)
        reason = str(error).rstrip(".")
        context.log.warning("%s. Retry %d of %d in %.1f s", reason, attempt + 1, settings.service_retries, delay_s)
        raise RetryRequested(max_retries=settings.service_retries, seconds_to_wait=delay_s) from error


def _failure(error: NhmError | ServiceError, settings: Settings) -> Failure:
    """The error as the UI shows it: a sentence and what it is about, instead of a stack trace."""
    metadata: dict[str, Any] = {"broken_by": str(error.broken_by), "passes_by_itself": bool(error.transient)}
    if runbook := Links.of(settings).runbook:
        metadata["runbook"] = MetadataValue.url(runbook)
    return Failure(description=str(error), metadata=metadata, allow_retries=False)


def retry_delay_s(first_s: float, attempt: int) -> float:
    """Seconds before the next attempt after `attempt` retries: doubled each time, at most 300.

    A random third more or less keeps runs that fail together from coming back together.
    """
    return min(first_s * 2**attempt, _MAX_DELAY_S) * random.uniform(2 / 3, 4 / 3)  # noqa: S311
