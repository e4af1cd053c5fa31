"""`nhm generate`: let a language model make up rows to train on beside real ones."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings
from resources.folders import require_folder

if TYPE_CHECKING:
    from nhm_assets.generation.journal import Journal
    from nhm_assets.generation.make import Ended, Work
    from resources.language_models import Access, LanguageModel

_STOPPED: Final = 3
"""Exit code if LLM_MAX_COST ended the work: a person decides whether to go on."""


@click.command()
@click.option("--specialist", required=True, metavar="NAME", help="The specialist that the rows are for.")
@click.option("--count", required=True, type=click.IntRange(1, 100_000), help="Number of rows.")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the rows, the record of how they were made, and the journal.",
)
@click.option("--judge", "judge_name", metavar="MODEL", help="Another model, which must give the same recommendations.")
@click.option(
    "--agreed-by", metavar="TEXT", help="Who has read the rows and agrees. Hands the rows over, and makes no more."
)
@click.option(
    "--without", multiple=True, metavar="PLAN_ID", help="With --agreed-by: a plan to leave out. May be repeated."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Decides what the plans are about. Default: 0."
)
def generate(
    specialist: str,
    count: int,
    folder: Path,
    judge_name: str | None,
    agreed_by: str | None,
    without: tuple[str, ...],
    seed: int,
) -> None:
    """Ask a language model for plans and recommendations, and keep those that are valid, plausible and new.

    LLM_PROVIDER, LLM_MODEL, LLM_BASE_URL and LLM_API_KEY say which model. The command stops at LLM_MAX_COST. After an
    interruption, the same command goes on where it stopped. The server gets ranges of features, but none of your
    documents.

    Another model or people must agree with the recommendations: use --judge from the beginning, or read the rows and
    run the same command again with --agreed-by. Then set LLM_DATASET_DIR to the folder, to train on the rows.
    """
    with startup_without_gc():
        from nhm_assets.domain.partitions import parse_specialist

    settings = Settings.load()
    name = str(parse_specialist(specialist))
    if agreed_by is not None or without:
        _hand_over(folder, name, count, agreed_by, without)
        return
    with startup_without_gc():
        from nhm_assets.generation.files import journal_file
        from nhm_assets.generation.journal import Journal
        from nhm_assets.generation.real_rows import RealRows

    access = _access(settings)
    maker, judge = _models(access, settings.llm_model, judge_name)
    real = RealRows.newest(settings.storage, name)
    require_folder(folder, "--out")
    with _alone(journal_file(folder, name)):
        head = _head(settings, name, seed, judge_name)
        journal = Journal(
            journal_file(folder, name), head, {"compared_with_week": real.week, "ranges": dict(real.ranges)}
        )
        work = _work(settings, name, count, seed, journal, real.keys)
        ended = _make(work, maker, judge, journal, folder)
    _end(ended, settings)


def _hand_over(folder: Path, name: str, count: int, who: str | None, without: tuple[str, ...]) -> None:
    """Write the rows that people agree with to where trainings look. No model is needed for that."""
    with startup_without_gc():
        from nhm_assets.generation.files import hand_over, journal_file

    if not (who or "").strip():
        raise UsageError("--agreed-by: say who has read the rows; it is recorded with them")
    if not journal_file(folder, name).exists():
        raise UsageError(f"--agreed-by: {folder} has no rows of {name}. Make some without --agreed-by before")
    with _alone(journal_file(folder, name)):
        file, rows = hand_over(folder, name, str(who), count, frozenset(without))
    click.echo(f"{rows} rows in {file}, agreed by {who}")


def _make(
    work: "Work", maker: "LanguageModel", judge: "LanguageModel | None", journal: "Journal", folder: Path
) -> "Ended":
    """Make rows; what there is by the end is written, whatever ended it."""
    from nhm_assets.generation.files import write_files
    from nhm_assets.generation.make import make_rows

    try:
        return make_rows(work, maker, judge, journal, lambda: _tell(journal, work.count))
    finally:
        file = None
        if journal.progress.accepted:
            file = write_files(folder, work.specialist, journal.head, journal.progress, judge.name if judge else None)
        _summarize(journal, file, judged=judge is not None)


def _access(settings: Settings) -> "Access":
    from resources.language_models import Access

    if not settings.llm_model:
        raise UsageError("LLM_MODEL is not set: name the model that makes the rows")
    key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None
    if key is None and settings.llm_base_url is None:
        raise UsageError(f"LLM_API_KEY is not set, and {settings.llm_provider} wants a key")
    return Access(settings.llm_provider, settings.llm_base_url, key, settings.llm_timeout_s, settings.llm_retries)


def _models(access: "Access", maker: str | None, judge: str | None) -> "tuple[LanguageModel, LanguageModel | None]":
    if judge == maker:
        raise UsageError(f"--judge {judge} is the model that makes the rows: name another one")
    return access.model(str(maker)), access.model(judge) if judge else None


@contextmanager
def _alone(journal: Path) -> Iterator[None]:
    """Hold the lock of a journal."""
    from filelock import FileLock, Timeout

    lock = FileLock(journal.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"another nhm generate is writing {journal}: wait until it ends") from None
    try:
        yield
    finally:
        lock.release()


def _head(settings: Settings, specialist: str, seed: int, judge: str | None) -> dict[str, Any]:
    """What must stay the same if the work is interrupted; recorded with the rows."""
    from nhm_assets.feedback.features import EXTRACTOR
    from nhm_assets.generation.prompts import JUDGE, MAKER

    return {
        "specialist": specialist,
        "provider": settings.llm_provider,
        "model": settings.llm_model,
        "judge": judge,
        "seed": seed,
        "prompt": MAKER,
        "judge_prompt": JUDGE if judge else None,
        "extractor": EXTRACTOR,
    }


def _work(
    settings: Settings, specialist: str, count: int, seed: int, journal: "Journal", real_keys: frozenset[str]
) -> "Work":
    from nhm_assets.generation.make import Work
    from nhm_assets.generation.spending import Prices

    return Work(
        specialist=specialist,
        count=count,
        seed=seed,
        ranges={feature: (least, most) for feature, (least, most) in journal.head["ranges"].items()},
        real_keys=real_keys,
        prices=Prices(settings.llm_input_price, settings.llm_output_price),
        max_cost=settings.llm_max_cost,
        now_ms=int(settings.now().timestamp() * 1000),
    )


def _tell(journal: "Journal", count: int) -> None:
    done = journal.progress
    click.echo(f"{len(done.rows)} of {count} rows, {done.left_out.total()} left out, {_spent(journal)}", err=True)


def _spent(journal: "Journal") -> str:
    spent = journal.progress.spent
    tokens = spent.input_tokens + spent.output_tokens
    return f"{journal.progress.requests} requests, {tokens:,} tokens, ${spent.cost:.4f}"


def _summarize(journal: "Journal", file: Path | None, *, judged: bool) -> None:
    done = journal.progress
    for reason, number in sorted(done.left_out.items()):
        click.echo(f"left out: {number} {reason}")
    if file is None:
        click.echo(f"no row was kept, and no file written; {_spent(journal)}")
        return
    click.echo(f"{len(done.accepted)} rows in {file}; {_spent(journal)}")
    if not judged:
        click.echo(
            "Nobody has judged these rows, so no training takes them. Read the plans in the journal beside them, and"
            " run the command again with --agreed-by"
        )


def _end(ended: "Ended", settings: Settings) -> None:
    from nhm_assets.generation.make import FRUITLESS, Ended

    if ended == Ended.COST:
        click.echo(
            f"nhm: stopped, because the next question could cost more than LLM_MAX_COST ({settings.llm_max_cost:g})"
            " allows. To go on, raise it and run the same command again",
            err=True,
        )
        sys.exit(_STOPPED)
    if ended == Ended.FRUITLESS:
        click.echo(
            f"nhm: stopped, because {FRUITLESS} answers in a row gave no row; above is why. Try another LLM_MODEL, or"
            " another --seed",
            err=True,
        )
        sys.exit(1)
