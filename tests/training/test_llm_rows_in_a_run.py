"""Rows of a language model in a whole run: train rows only, weighed, measured, and named wherever data is."""

import json
import logging
from pathlib import Path

import pytest
from dagster import AssetKey

from nhm_assets.domain.dataset_schema import LLM
from nhm_assets.feedback.llm_agreement import ON_TRUST
from nhm_assets.feedback.llm_rows import llm_file
from resources.storage import FrameIOManager
from tests.feedback.test_llm_rows import made_up
from tests.support.datasets import fill, metadata
from tests.support.documents import WEEK
from tests.support.platform import Platform

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_a_run_learns_them_says_so_and_without_them_the_dataset_is_the_same_to_the_byte(
    platform: Platform, tmp_path: Path
):
    def stored() -> Path:
        return Path(str(FrameIOManager(platform.settings.storage).file_of("feedback_dataset", "technical", WEEK)))

    fill(platform)
    assert platform.retrain(only=["feedback_dataset"]).success
    before = stored()
    made_up(seed=4).to_parquet(llm_file(tmp_path, "technical"), index=False)
    result = platform.with_settings(llm_dataset_dir=tmp_path, llm_weight=0.2).retrain(
        only=["feedback_dataset", "trained_model", "evaluation_report"]
    )
    assert result.success
    shown = metadata(result)
    assert (shown["data_source"], shown["real_rows"], shown["llm_rows"]) == ("hybrid", 300, 90)
    assert shown["llm_agreed_by"] == ON_TRUST
    logged = platform.instance.all_logs(result.run_id)
    assert [entry for entry in logged if entry.level == logging.WARNING and ON_TRUST in entry.user_message]
    frame = result.asset_value(AssetKey("feedback_dataset"))
    assert set(frame.loc[frame["source"] == LLM, "split"]) == {"train"}
    trained, report = (result.asset_value(AssetKey(name)) for name in ("trained_model", "evaluation_report"))
    assert (trained.parameters["llm_weight"], trained.data_source) == (0.2, "hybrid")
    assert (report.llm_rows, report.test_rows) == (90, 45)
    reason = result.asset_materializations_for_node("trained_model")[0].metadata["llm_rows"].value
    with platform.mlflow.client() as client:
        run = client.get_run(trained.run_id)
        effect = json.loads(Path(client.download_artifacts(trained.run_id, "llm_effect.json")).read_text())
    assert (effect["reason"], effect["llm_rows"]) == (reason, 90)
    assert run.data.metrics["llm_brier_difference"] == effect["difference"]
    assert run.data.params["llm_weight"] == "0.2"
    content = before.read_bytes()
    assert platform.retrain(only=["feedback_dataset"]).success
    assert stored() == before
    assert stored().read_bytes() == content
