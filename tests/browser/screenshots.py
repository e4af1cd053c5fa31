"""Makes the pictures of the documents: `make screenshots`. It goes the ways that the tests go, on `nhm dev`.

python -m tests.browser.screenshots [--theme dark] [--to FOLDER]
"""

import io
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from nhm_assets.domain.dagster_names import CODE_LOCATION, VOLUME_SENSOR
from nhm_assets.domain.partitions import Partition, last_closed_week
from tests.support import journeys
from tests.support.browser import Tab, chromium, missing, tab
from tests.support.nhm import NHM, environment
from tests.support.ports import free_port
from tests.support.processes import ROOT, eventually
from tests.support.webserver import Webserver

IMAGES = ROOT / "docs/images"
COLORS = 192
"""A page has few colors; with this many, nobody sees a difference, and a picture is a third as large."""
WEEK = last_closed_week(datetime.now(UTC))
WEEK_BEFORE = last_closed_week(datetime.now(UTC) - timedelta(days=7))
HELD = Partition.parse(WEEK, "behavior")
PROMOTED = Partition.parse(WEEK, "technical")
GROUP_PAGE = f"/locations/{CODE_LOCATION}/asset-groups/specialist_models"


def front_page(tab: Tab) -> None:
    tab.open("/")
    tab.follow("Runs")


def catalog(tab: Tab) -> None:
    tab.open("/assets")
    for loading in tab.page.get_by_text("Loading...").all():
        loading.wait_for(state="hidden")


def production(tab: Tab) -> None:
    journeys.whats_in_production(tab)
    tab.find("Metadata").scroll_into_view_if_needed()
    tab.page.mouse.move(700, 500)
    tab.page.mouse.wheel(0, 350)


def picture(tab: Tab) -> None:
    journeys.open_partition(tab, "evaluation_report", PROMOTED)
    journeys.show_picture(tab, "picture")


def collection(tab: Tab) -> None:
    journeys.follow_lineage(tab, "feedback_dataset", "specialist_feedback")


def lineage(tab: Tab) -> None:
    tab.open(GROUP_PAGE)
    tab.find("feedback_dataset")


def why_held(tab: Tab) -> None:
    journeys.find_partition(tab, "evaluation_report", HELD)
    tab.find("HELD")


def why_promoted(tab: Tab) -> None:
    journeys.open_partition(tab, "evaluation_report", PROMOTED)
    tab.find("PASSED")


def retrain(tab: Tab) -> None:
    journeys.choose_partition(tab, PROMOTED)


def automation(tab: Tab) -> None:
    tab.open("/automation")
    tab.find(VOLUME_SENSOR)


def preview_tick(tab: Tab) -> None:
    journeys.preview_tick(tab)


def roll_back(tab: Tab) -> None:
    journeys.fill_launchpad(tab, "technical", "rejects every plan")
    tab.find("No errors")


PAGES: dict[str, Callable[[Tab], None]] = {
    "runs": front_page,
    "catalog": catalog,
    "lineage": lineage,
    "collection": collection,
    "production": production,
    "held": why_held,
    "promoted": why_promoted,
    "picture": picture,
    "retrain": retrain,
    "automation": automation,
    "preview-tick": preview_tick,
    "rollback": roll_back,
}
"""Name of the picture -> how to get to the page."""


@click.command()
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), default=IMAGES, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(PAGES)), help="Make only these pictures.")
@click.option("--address", help="Of a UI that is running, with the sample feedback. Default: start one.")
def main(theme: str, folder: Path, only: tuple[str, ...], address: str | None) -> None:
    """Write one picture per page."""
    if reason := missing():
        raise SystemExit(reason)
    folder.mkdir(parents=True, exist_ok=True)
    with running_ui(address) as url, chromium() as browser:
        for name in only or PAGES:
            with tab(browser, url, theme=theme, height=860) as opened:  # type: ignore[arg-type]
                PAGES[name](opened)
                opened.page.wait_for_timeout(1500)
                (folder / f"{name}.png").write_bytes(small(opened.page.screenshot()))
                click.echo(f"{name}: {(folder / f'{name}.png').stat().st_size // 1000} kB")
                for problem in opened.problems:
                    click.echo(f"  {problem}")


@contextmanager
def running_ui(address: str | None) -> Iterator[str]:
    """The address of a UI with the sample feedback, five specialists retrained, and one of them twice."""
    if address:
        yield address
        return
    with tempfile.TemporaryDirectory() as home:
        webserver, mlflow_port = Webserver(free_port()), free_port()
        variables = environment(nhm_home=home, exporter_port=free_port(), nhm_actor="ada")
        for step in ("seed", f"retrain --week {WEEK_BEFORE} --specialist technical", "retrain"):
            subprocess.run([NHM, *step.split()], env=variables, check=True)
        ports = ["--port", str(webserver.port), "--mlflow-port", str(mlflow_port)]
        dev = subprocess.Popen([NHM, "dev", *ports], env=variables)
        try:
            assert eventually(webserver.is_ready), "the webserver does not answer"
            yield f"http://127.0.0.1:{webserver.port}"
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(timeout=60)


def small(png: bytes) -> bytes:
    """The same picture in few bytes."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    with io.BytesIO() as file:
        picture.save(file, "PNG", optimize=True)
        return file.getvalue()


if __name__ == "__main__":
    main()
