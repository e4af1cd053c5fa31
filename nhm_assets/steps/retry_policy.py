"""A step that tries again where a service is out of reach for a moment, and only there."""

import functools
import inspect
import random
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, TypeVar

from dagster import OpExecutionContext, RetryRequested

from nhm_assets.settings import Settings
from resources.errors import ServiceError

Body = TypeVar("Body", bound=Callable[..., Any])

_JITTER: Final = 1 / 3
_LONGEST_WAIT_S: Final = 300.0


def tries_again(body: Body) -> Body:
    """Let the step of an asset or a check start over where a service's error is a transient one.

    SERVICE_RETRIES times, after SERVICE_RETRY_DELAY_S and twice as long each time. Everything else is raised
    as it is, at once. The body takes the resource `settings`.
    """
    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def produces(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from body(*args, **kwargs)
            except ServiceError as error:
                _start_over(error, kwargs["settings"])

        return produces  # type: ignore[return-value]

    @functools.wraps(body)
    def returns(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **kwargs)
        except ServiceError as error:
            _start_over(error, kwargs["settings"])

    return returns  # type: ignore[return-value]


def _start_over(error: ServiceError, settings: Settings) -> NoReturn:
    context = OpExecutionContext.get()
    done = context.retry_number
    if not error.transient or done >= settings.service_retries:
        raise error
    wait = waiting_time(settings.service_retry_delay_s, done, random.random())  # noqa: S311 - spreads load, no secret
    context.log.warning(
        "%s. Trying again in %.1f s (%d of %d)", str(error).rstrip("."), wait, done + 1, settings.service_retries
    )
    raise RetryRequested(max_retries=settings.service_retries, seconds_to_wait=wait) from error


def waiting_time(first_s: float, done: int, draw: float) -> float:
    """Seconds before the next try: doubled with each one, give or take a third, five minutes at most.

    Args:
        first_s: before the first try.
        done: number of tries that failed so far.
        draw: random, from 0 to 1, so that runs which fail together do not come back together.
    """
    return min(first_s * 2**done, _LONGEST_WAIT_S) * (1 + _JITTER * (2 * draw - 1))
