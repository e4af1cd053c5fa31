"""The asset `production_models`: one table of what is in Production. No run makes it; whoever moved or decided
something shows it again.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from dagster import (
    AssetMaterialization,
    AssetSpec,
    DagsterInstance,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
)

from nhm_assets.domain.asset_keys import EVALUATION_REPORT, PRODUCTION_MODELS, PROMOTED_VERSION
from nhm_assets.domain.dagster_names import DATA_VERSION, GROUP
from nhm_assets.domain.outcomes import HeldAs, Outcome, how_held
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist
from nhm_assets.domain.text import without_middle
from nhm_assets.promotion.production import LastOutcome, ProductionRow, production_rows
from nhm_assets.promotion.production_picture import WEEKS, draw_scores
from nhm_assets.promotion.recorded_runs import recorded_runs
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.foreign_moves import FOREIGN_MOVE
from nhm_assets.registry.history import judged_since
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from nhm_assets.steps.pictures import drawn, markdown

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from resources.mlflow import Mlflow
    from resources.mongo import Mongo

SHOWN_AT_ONCE: Final = 1000
"""Characters above which Dagster's UI hides Markdown behind a button."""
_LONGEST_REASON: Final = 300
_SHORTEST_WHY: Final = 120
_WIDTH: Final = 54
"""Characters of a line: the page cuts off what is wider, because the table below makes the cell wider than the page."""
_NEW_LINE: Final = "  \n  "
"""As Markdown has it within a list."""

production_models = AssetSpec(
    PRODUCTION_MODELS,
    deps=[PROMOTED_VERSION],
    group_name=GROUP,
    kinds={"mlflow"},
    description=(
        "What is in Production now: one row per specialist, with version, since when, window, F1 and the last outcome"
        " with its reason. The same rows as `nhm status`. No run makes it: it is materialized whenever a version"
        " came into Production or an outcome was recorded (promoted, held, rolled back, adopted, broken, ...)."
    ),
)

_COLUMNS: Final = {
    "specialist": "one of the five services, or of those in SPECIALISTS_FILE",
    "version": "number of the version in stage Production of `{specialist}-evaluator`; none if there is none",
    "since": "when it came into Production, UTC",
    "window": "the days of feedback that it learned from",
    "F1": "of approve on its test rows, 0 to 1",
    "people agree": "F1 of the served version's opinions against the reviews of the newest week that was measured",
    "last outcome": "how the last run ended, or who moved the version since: promoted, held, rolled_back, adopted, ...",
    "at": "when that was, UTC",
    "reason": "why, with the figures",
}
_REVIEW_MORE: Final = "wait for the next week, or review more plans: its report says how many"
_LOOK_AT_LABELS: Final = "look at the labels of its dataset, and at `feedback_quarantine`"
_TO_DO: Final = {
    str(Outcome.INSUFFICIENT_DATA): "ask for reviews",
    str(Outcome.BROKEN): "do what the reason says",
    FOREIGN_MOVE: "keep it (`nhm adopt`), or go back (`nhm rollback`)",
}
"""What to do after an outcome that is not held; nothing after any other."""


def show_production(
    instance: DagsterInstance, mongo: "Mongo", mlflow: "Mlflow", settings: Settings, *, warn: Callable[[str], None]
) -> bool:
    """Materialize `production_models` if it has changed since the last time. Returns whether it is up to date now.

    Nothing else depends on it, so whatever fails is a warning: the next caller makes up for it.
    """
    try:
        with mongo.database() as database, mlflow.reading() as client:
            log = database[AUDIT_LOG]
            rows = production_rows(client, log, recorded_runs(instance, now=settings.now()))
            digest = _digest(rows)
            if digest == _shown(instance):
                return True
            metadata = _metadata(rows, log, settings, warn)
        instance.report_runless_asset_event(
            AssetMaterialization(
                PRODUCTION_MODELS,
                description=f"{sum(row.version is not None for row in rows)} of {len(rows)} specialists have a version",
                metadata=metadata,
                tags={DATA_VERSION: digest},
            )
        )
    except Exception as error:  # noqa: BLE001 - MongoDB, MLflow, Dagster's database: each raises errors of its own
        cause = (str(error).splitlines() or [""])[0][:300]
        warn(f"production_models shows an earlier state ({type(error).__name__}: {cause}). The next outcome mends it")
        return False
    return True


def _digest(rows: Sequence[ProductionRow]) -> str:
    """Equal exactly if the rows are."""
    content = repr([asdict(row) for row in rows])
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _shown(instance: DagsterInstance) -> str | None:
    """The digest of the rows that Dagster shows now."""
    event = instance.get_latest_materialization_event(PRODUCTION_MODELS)
    made = event.asset_materialization if event else None
    return (made.tags or {}).get(DATA_VERSION) if made else None


def _metadata(
    rows: Sequence[ProductionRow],
    log: "Collection[dict[str, Any]]",
    settings: Settings,
    warn: Callable[[str], None],
) -> dict[str, Any]:
    now = settings.now()
    shown: dict[str, Any] = {
        "in_production": MetadataValue.md(overview(rows)),
        "what_to_do": MetadataValue.md(to_do(rows)),
        "specialists": production_table(rows),
    }
    judged = judged_since(log, [row.model for row in rows], now - timedelta(weeks=WEEKS))
    required = {row.specialist: settings.thresholds_of(row.specialist)["f1"] for row in rows}
    picture = drawn(lambda: draw_scores(rows, judged, now=now, required=required), warn)
    if picture:
        shown["scores"] = MetadataValue.md(markdown("F1 of the last twelve weeks", picture))
    shown["links"] = MetadataValue.md(_links(rows, Links.of(settings)))
    return shown


def overview(rows: Sequence[ProductionRow]) -> str:
    """What fits into 1,000 characters: the whole table if there are not too many specialists."""
    lines = ["| specialist | version | since | F1 | last outcome |", "|---|---|---|---|---|"]
    left = len(rows)
    for row in rows:
        # What is wider is cut off on the page.
        cells, outcome = _cells(row), row.last.outcome if row.last else "none yet"
        line = " | ".join((cells["specialist"], cells["version"], cells["since"][:10], cells["F1"], outcome))
        if len("\n".join(lines)) + len(line) > SHOWN_AT_ONCE - 80:
            break
        lines.append(f"| {line} |")
        left -= 1
    return "\n".join([*lines, "", f"{left} more are in the table below."] if left else lines)


def production_table(rows: Sequence[ProductionRow]) -> MetadataValue:
    """All rows, with a description of each column."""
    schema = TableSchema([TableColumn(name, description=text) for name, text in _COLUMNS.items()])
    return MetadataValue.table([TableRecord(_cells(row)) for row in rows], schema=schema)


def _cells(row: ProductionRow) -> dict[str, str]:
    last = row.last
    start, end = (text[:10] if text else "?" for text in (row.window_start, row.window_end))
    return {
        "specialist": row.specialist,
        "version": row.version or "none",
        "since": _minute(row.since) if row.since else "",
        "window": f"{start} to {end}" if row.since else "",
        "F1": "" if row.f1 is None else f"{row.f1:.3f}",
        "people agree": _agreement(row),
        "last outcome": f"{last.outcome}{f', week {last.week}' if last.week else ''}" if last else "none yet",
        "at": _minute(last.at) if last else "",
        "reason": without_middle(last.reason, _LONGEST_REASON) if last else "",
    }


def to_do(rows: Sequence[ProductionRow]) -> str:
    """Whose last outcome asks for something: why, by how much it missed, and what to do. Fits into 1,000 characters."""
    wanted = [(row.specialist, row.last, next_) for row in rows if row.last and (next_ := _to_do(row.last)) is not None]
    longest = max(_SHORTEST_WHY, min(_LONGEST_REASON, 800 // max(1, len(wanted)) - 100))
    lines: list[str] = []
    for specialist, last, next_ in wanted:
        how = how_held(last.held_as, by_gate=last.by_gate)
        held = f" ({how})" if how else ""
        why = f"it missed {last.missed}" if last.missed else without_middle(last.reason, longest)
        then = f" Next: {next_}." if next_ else ""
        said = f"**{specialist}**, {last.week or ''}: {last.outcome}{held}; {why.rstrip('.')}.{then}"
        line = "- " + _NEW_LINE.join(_wrapped(said))
        if len("\n".join([*lines, line])) > SHOWN_AT_ONCE - 80:
            break
        lines.append(line)
    left = len(wanted) - len(lines)
    return "\n".join([*lines, "", f"{left} more: see the table below."] if left else lines) or "Nothing."


def _wrapped(text: str) -> list[str]:
    """Its lines. A command, which Markdown marks by backticks, stays on one of them if it fits."""
    kept = re.sub(rf"`[^`]{{1,{_WIDTH}}}`", lambda command: command[0].replace(" ", "\0"), text)
    return [line.replace("\0", " ") for line in wrap(kept, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _to_do(last: LastOutcome) -> str | None:
    """What to do; empty if the reason says it, None if there is nothing to do."""
    if last.outcome == Outcome.HELD and not last.by_gate:
        return ""
    if last.outcome == Outcome.HELD:
        return _LOOK_AT_LABELS if last.held_as == HeldAs.BELOW else _REVIEW_MORE
    return _TO_DO.get(last.outcome)


def _agreement(row: ProductionRow) -> str:
    served = row.served
    if served is None:
        return "not known" if row.since else ""
    return f"{served.f1:.3f} in {served.week}, {served.reviewed} reviewed"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _links(rows: Sequence[ProductionRow], links: Links) -> str:
    """Where to read more: the version that serves and its report, the newest report, and the last run."""
    report = f"{links.dagster}/assets/{EVALUATION_REPORT.to_user_string()}"
    lines = []
    for row in rows:
        places = []
        address = links.version(row.model, row.version) if row.version and row.since else None
        if address:
            places.append(f"[version {row.version} in MLflow]({address})")
        if row.partition:
            places.append(f"[report of version {row.version}]({report}?partition={quote(row.partition)})")
        if row.last and row.last.week:
            key = Partition(row.last.week, Specialist(row.specialist)).key
            places.append(f"[report of {row.last.week}]({report}?partition={quote(key)})")
        if row.last and row.last.run_id:
            places.append(f"[last run]({links.dagster_run(row.last.run_id)})")
        lines.append(f"- {row.specialist}: {', '.join(places) or 'nothing yet'}")
    return "\n".join(lines)
