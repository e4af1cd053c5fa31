"""The ways of a person through Dagster's pages. The tests and the screenshots of the documents go the same ones."""

import re
from contextlib import suppress

from nhm_assets.domain.dagster_names import CODE_LOCATION, JOB, ROLLBACK_JOB, SCHEDULE
from nhm_assets.domain.partitions import Partition
from tests.support.browser import Tab

JOB_PAGE = f"/locations/{CODE_LOCATION}/jobs/{JOB}"
SCHEDULE_PAGE = f"/locations/{CODE_LOCATION}/schedules/{SCHEDULE}"
ROLLBACK_PAGE = f"/locations/{CODE_LOCATION}/jobs/{ROLLBACK_JOB}/playground"


def find_partition(tab: Tab, asset: str, partition: Partition) -> None:
    """From the front page, by clicks alone, to one partition of an asset."""
    tab.open("/")
    tab.follow("Catalog")
    tab.follow(asset)
    tab.page.get_by_role("tab", name="Partitions").click()
    for choice in (str(partition.specialist), partition.week):
        tab.page.get_by_text(choice, exact=True).first.click()
    show_partition(tab, partition)


def whats_in_production(tab: Tab) -> None:
    """From the front page, by two clicks, to what is in Production and what was decided last."""
    tab.open("/")
    tab.follow("Catalog")
    tab.follow("production_models")
    tab.find("Show schema")


def show_picture(tab: Tab, title: str) -> int:
    """Open a picture that the page of an asset's partition hides behind a link; returns its width in pixels."""
    tab.page.get_by_role("row").filter(has_text=title).get_by_text("Show Markdown").first.click()
    picture = tab.page.locator("img[src^='data:image/']").first
    picture.wait_for(state="visible")
    tab.seen.append(tab.page.content())
    return int(picture.evaluate("image => image.naturalWidth"))


def follow_lineage(tab: Tab, asset: str, upstream: str) -> None:
    """From the lineage of an asset to the page of one that it is made from."""
    tab.open(f"/assets/{asset}?view=lineage")
    tab.find(upstream).click()
    tab.page.get_by_role("tab", name="Overview").click()
    tab.find("Columns")
    tab.settle()


def why_launched(tab: Tab, sensor: str) -> str:
    """What the log of the newest tick of a sensor that launched a run says."""
    tab.open(f"/locations/{CODE_LOCATION}/sensors/{sensor}?status=success")
    tick = tab.page.get_by_role("row").filter(has_text="1 run requested")
    tick.get_by_role("button", name="View logs").first.click()
    tab.dialog.get_by_text("retraining on week").first.wait_for()
    tab.seen.append(tab.page.content())
    return tab.dialog.inner_text()


def backfill(tab: Tab, specialist: str, weeks: tuple[str, str]) -> str:
    """Start the job for all weeks of one specialist from the first to the last; returns the id of the backfill."""
    choose_weeks(tab, f"[{weeks[0]}...{weeks[1]}]", specialist)
    with tab.page.expect_response(lambda one: "LaunchPartitionBackfill" in (one.request.post_data or "")) as answer:
        tab.dialog.get_by_role("button", name="Launch backfill").click()
    return str(answer.value.json()["data"]["launchPartitionBackfill"]["backfillId"])


def failed_partitions(tab: Tab, asset: str) -> str:
    """The words with the number of an asset's partitions that are shown in red."""
    tab.open(f"/assets/{asset}?view=partitions")
    return tab.find("Failed (").inner_text()


def open_partition(tab: Tab, asset: str, partition: Partition) -> None:
    """The page of one partition of an asset, by its address."""
    tab.open(f"/assets/{asset}?view=partitions&partition={partition.specialist}%7C{partition.week}")
    show_partition(tab, partition)


def show_partition(tab: Tab, partition: Partition) -> None:
    """Wait until the page of this partition is complete."""
    tab.find(f"{partition.specialist}|{partition.week}")
    tab.settle()


def retrain(tab: Tab, partition: Partition) -> str:
    """Start the job for one partition, by clicks; returns the id of the run."""
    choose_partition(tab, partition)
    return launch(tab, "Launch 1 run")


def choose_partition(tab: Tab, partition: Partition) -> None:
    """Open the dialog of the job and choose one partition there."""
    choose_weeks(tab, partition.week, str(partition.specialist))


def choose_weeks(tab: Tab, weeks: str, specialist: str) -> None:
    """Open the dialog of the job, type weeks as the dialog wants them, and choose a specialist."""
    tab.open(JOB_PAGE)
    tab.press("Materialize all")
    tab.dialog.get_by_placeholder("ex: ").fill(weeks)
    tab.dialog.get_by_placeholder("ex: ").press("Enter")
    tab.dialog.get_by_text("Select a partition").click()
    tab.page.get_by_role("menuitem", name=specialist).click()
    tab.page.keyboard.press("Escape")


def materialize(tab: Tab, asset: str, partition: Partition) -> str:
    """Materialize one asset of one partition from its page; returns the id of the run."""
    open_partition(tab, asset, partition)
    tab.press("Materialize")
    return launch(tab, "Launch 1 run")


def launch(tab: Tab, button: str) -> str:
    """Press the button that launches a run; returns its id."""
    with tab.page.expect_response(lambda one: "LaunchPipelineExecution" in (one.request.post_data or "")) as answer:
        tab.page.get_by_role("button", name=button).last.click()
    return str(answer.value.json()["data"]["launchPipelineExecution"]["run"]["id"])


def fill_launchpad(tab: Tab, specialist: str, reason: str) -> None:
    """Open the launchpad of the rollback, choose a specialist, and type the reason below what is filled in."""
    tab.open(ROLLBACK_PAGE)
    choose_in_launchpad(tab, specialist)
    editor = tab.page.locator(".CodeMirror").first
    editor.get_by_text("in_production").wait_for()
    editor.click()
    tab.page.keyboard.press("Control+End")
    tab.page.keyboard.insert_text(f"      reason: {reason}\n")


def choose_in_launchpad(tab: Tab, specialist: str) -> None:
    """Choose a specialist as partition. The list stays empty if somebody types before the page has loaded it."""
    from playwright.sync_api import TimeoutError as NotThere

    box, choice = tab.page.get_by_placeholder("Partition"), tab.page.get_by_role("menuitem", name=specialist)
    for _ in range(5):
        box.fill("")
        box.fill(specialist)
        with suppress(NotThere):
            choice.click(timeout=10_000)
            return
        tab.page.reload()
        tab.settle()
    raise AssertionError(f"the launchpad offers no {specialist}")


def preview_tick(tab: Tab) -> str:
    """Preview the scheduled tick after the next one; returns what the dialog says."""
    tab.open(SCHEDULE_PAGE)
    tab.press("Preview tick result")
    tab.dialog.get_by_role("button", name="Continue").wait_for()
    tab.dialog.get_by_role("button", name=re.compile("UTC")).click()
    # Ten ticks have passed, and ten are to come. Early on a Sunday, the week of the first of them has already closed.
    tab.page.get_by_role("menuitem").nth(11).click()
    tab.dialog.get_by_role("button", name="Continue").click()
    tab.dialog.get_by_role("button", name="Try again").wait_for()
    tab.seen.append(tab.page.content())
    return tab.dialog.inner_text()


def switch_schedule(tab: Tab) -> None:
    """Turn the weekly schedule off, or on again."""
    tab.open(SCHEDULE_PAGE)
    from playwright.sync_api import expect

    box = tab.page.get_by_role("checkbox")
    was_on = box.is_checked()
    # The box itself is hidden behind its picture.
    box.locator("xpath=..").click()
    expect(box).to_be_checked(checked=not was_on, timeout=60_000)
    tab.settle()
