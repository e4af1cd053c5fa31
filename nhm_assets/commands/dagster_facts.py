"""What `nhm status` asks Dagster, in a process of its own: to import Dagster takes longer than all other questions."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.specialists import Specialist, all_specialists, configure
from nhm_assets.runs.forked_workers import SUPPORTED, Lost, Tell, forked_workers

if TYPE_CHECKING:
    from nhm_assets.monitoring.refresh import State
    from nhm_assets.promotion.production import Recorded
    from nhm_assets.settings import Settings


@dataclass(frozen=True)
class DagsterFacts:
    """What Dagster's records say.

    Attributes:
        fault: what is wrong with the instance; None if it answers. If it does not, nothing else is known.
        live: about the daemon and the last runs.
        recorded: specialist -> its last run, and how people agreed with what serves.
        metrics: those of the exporter; None if they cannot be read.
    """

    fault: str | None
    live: dict[str, Any] = field(default_factory=dict)
    recorded: "Mapping[str, Recorded]" = field(default_factory=dict)
    metrics: "State | None" = None


Answer = Callable[[], DagsterFacts]
"""Waits for what Dagster's records say."""


@contextmanager
def dagster_meanwhile() -> "Iterator[Callable[[Settings], Answer]]":
    """Import Dagster in a process of its own. To be entered before this one imports libraries or starts threads.

    Yields:
        A function that begins to ask Dagster.
    """
    if not SUPPORTED or "dagster" in sys.modules:
        # Where Dagster is imported already, there is nothing to gain, and its threads would not survive a fork.
        yield lambda settings: lambda: _ask(settings)
        return
    with forked_workers(1, _imported, patience_s=1.0) as workers:

        def ask(settings: "Settings") -> Answer:
            answer = workers.begin((settings, all_specialists()))

            def facts() -> DagsterFacts:
                said = answer()
                return DagsterFacts(_loss(said)) if isinstance(said, Lost) else said

            return facts

        yield ask


@contextmanager
def _imported() -> "Iterator[Callable[[tuple[Settings, tuple[Specialist, ...]], Tell], DagsterFacts]]":
    """Imports what `_ask` needs, then asks."""
    with startup_without_gc():
        import nhm_assets.commands.health
        import nhm_assets.commands.live
        import nhm_assets.monitoring.dagster_source
        import nhm_assets.promotion.recorded_runs  # noqa: F401

    def ask(asked: "tuple[Settings, tuple[Specialist, ...]]", _: Tell) -> DagsterFacts:
        settings, specialists = asked
        # The process was forked before the settings were loaded, and with them the specialists.
        configure(specialists)
        return _ask(settings)

    yield ask


def _loss(lost: Lost) -> str:
    how = f"was ended by signal {lost.signal}" if lost.signal else "ended"
    return f"process {lost.pid}, which asked it, {how}: run this command again. Signal 9 may mean that memory ran out"


def _ask(settings: "Settings") -> DagsterFacts:
    from nhm_assets.commands.health import fault_of_dagster, opened_instance
    from nhm_assets.commands.live import daemon_facts, run_facts
    from nhm_assets.monitoring.dagster_source import refreshed_dagster
    from nhm_assets.promotion.recorded_runs import recorded_runs

    instance, fault = opened_instance(settings)
    if instance is None:
        return DagsterFacts(fault)
    try:
        with instance:
            metrics = refreshed_dagster(settings, lambda: instance)
            metrics.refresh()
            return DagsterFacts(
                fault=None,
                live={"daemon": daemon_facts(instance, datetime.now(UTC)), "runs": run_facts(instance)},
                recorded=recorded_runs(instance, now=settings.now()),
                metrics=metrics.state,
            )
    except Exception as error:  # noqa: BLE001 - the database may go away at any question
        return DagsterFacts(fault_of_dagster(settings, error))
