"""The dataset's schema and digest."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain import dataset_schema
from nhm_assets.domain.dataset_schema import (
    CLASS_NAMES,
    COLUMNS,
    FEATURE_NAMES,
    IDS,
    conform,
    counts,
    data_source,
    data_version,
    schema_faults,
)
from nhm_assets.domain.segments import segments_of
from resources.storage import FrameIOManager
from resources.stored_frames import StoredFrame, frame_of
from tests.support.frames import dataset


def test_columns_are_in_the_order_of_the_contract():
    assert COLUMNS[:9] == (
        "feedback_id",
        "opinion_id",
        "plan_id",
        "submitted_at",
        "human_rating",
        "label",
        "source",
        "provenance",
        "split",
    )
    assert COLUMNS[9:] == FEATURE_NAMES
    assert ", ".join(FEATURE_NAMES) == (
        "num_tasks, priority_score, total_duration_ms, avg_duration_ms, risk_score, complexity_score,"
        " domain_risk_weight, avg_task_complexity_factor, num_patterns_detected, num_anti_patterns_detected,"
        " avg_pattern_quality, total_anti_pattern_penalty, num_nodes, num_edges, density, avg_in_degree,"
        " max_in_degree, critical_path_length, max_parallelism, num_levels, avg_coupling, num_bottlenecks,"
        " graph_complexity_score, mean_norm, std_norm, avg_diversity"
    )
    assert CLASS_NAMES == ("reject", "approve", "review_required")


def test_a_frame_gets_the_dataset_s_columns_types_and_order():
    frame = dataset(9)
    rough = frame.sample(frac=1, random_state=1, ignore_index=True)[list(reversed(COLUMNS))].assign(foreign=1)
    rough["num_tasks"] = rough["num_tasks"].astype("float32")
    rough["label"] = rough["label"].astype("float64")
    pd.testing.assert_frame_equal(conform(rough), frame)


def test_rows_with_the_same_time_are_sorted_by_feedback_id():
    frame = dataset(5)
    ids = ["b", "a", "e", "d", "c"]
    conformed = conform(frame.assign(submitted_at=frame["submitted_at"].max(), feedback_id=ids))
    assert conformed["feedback_id"].tolist() == sorted(ids)


def test_a_missing_column_is_an_error():
    with pytest.raises(KeyError, match="label"):
        conform(dataset().drop(columns="label"))


@pytest.mark.parametrize("count", [0, 1, 20])
def test_conforming_rows_have_no_fault(count: int):
    assert schema_faults(dataset(count)) == []


def test_unknown_embedding_features_are_no_fault():
    assert schema_faults(dataset(mean_norm=math.nan, std_norm=math.nan, avg_diversity=math.nan)) == []


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"foreign": 1.0}, "unexpected ['foreign']"),
        ({"label": [0.0] * 20}, "column label has type float64 instead of int64"),
        ({"num_tasks": [1] * 20}, "column num_tasks has type int64 instead of float64"),
        ({"submitted_at": ["2026-03-01"] * 20}, "column submitted_at has type object"),
        ({"label": 3}, "label has the values [3]"),
        ({"source": "imagined"}, "source has the values ['imagined']"),
        ({"provenance": "somebody"}, "provenance has the values ['somebody']"),
        ({"split": "holdout"}, "split has the values ['holdout']"),
        ({"split": ["holdout", None] * 10}, "split has the values"),
        ({"human_rating": 1.5}, "a human_rating is outside 0..1"),
        ({"human_rating": math.nan}, "a human_rating is outside 0..1"),
        ({"risk_score": math.nan}, "a computed feature is NaN or infinite"),
        ({"density": -math.inf}, "a computed feature is NaN or infinite"),
        ({"mean_norm": math.inf}, "an embedding feature is infinite"),
        ({"opinion_id": "opinion-1"}, "an opinion has more than one row"),
    ],
)
def test_a_fault_is_named(columns: dict, fault: str):
    assert fault in "; ".join(schema_faults(dataset(**columns)))


@pytest.mark.parametrize("order", [list(reversed(range(20))), [1, 0, *range(2, 20)]])
def test_rows_out_of_order_are_a_fault(order: list[int]):
    frame = dataset().iloc[order].reset_index(drop=True)
    assert schema_faults(frame) == ["the rows are not sorted by submitted_at, then feedback_id"]


def test_missing_and_reordered_columns_are_a_fault():
    assert "missing ['label']" in schema_faults(dataset().drop(columns="label"))[0]
    assert "in another order" in schema_faults(dataset()[list(reversed(COLUMNS))])[0]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["real"] * 4, "real"),
        (["synthetic"] * 4, "synthetic"),
        (["real", "synthetic"] * 2, "hybrid"),
        (["real", "llm"] * 2, "hybrid"),
    ],
)
def test_the_data_source_names_the_kinds_of_rows(sources: list[str], expected: str):
    assert data_source(dataset(4, source=sources)) == expected


def test_equal_rows_have_equal_versions_of_32_hex_digits():
    version = data_version(dataset())
    assert version == data_version(dataset())
    assert len(version) == 32
    assert int(version, 16)


def test_the_version_depends_on_values_not_on_their_representation():
    frame = dataset()
    other_nan = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", dtype="<f8")[0]
    assert data_version(dataset(mean_norm=math.nan)) == data_version(dataset(mean_norm=other_nan))
    assert data_version(frame) == data_version(frame.set_index(np.arange(100, 120)))


@pytest.mark.parametrize(
    "columns",
    [
        {"feedback_id": [f"other-{number}" for number in range(20)]},
        {"plan_id": "plan"},
        {"label": 1},
        {"source": "synthetic"},
        {"provenance": "scripted"},
        {"split": "train"},
        {"human_rating": 0.5000000001},
        {"mean_norm": math.nan},
        {"foreign": 1},
    ],
)
def test_another_value_gives_another_version(columns: dict):
    assert data_version(dataset(**columns)) != data_version(dataset())


def test_other_times_rows_and_orders_give_other_versions():
    frame = dataset()
    others = [
        frame.assign(submitted_at=frame["submitted_at"] + pd.Timedelta(microseconds=1)),
        frame.iloc[:-1],
        frame.iloc[::-1],
        frame[list(reversed(COLUMNS))],
        frame.iloc[:0],
    ]
    assert len({data_version(one) for one in [frame, *others]}) == 6


def test_the_version_of_many_rows_does_not_depend_on_how_many_texts_are_read_at_once(monkeypatch: pytest.MonkeyPatch):
    frame = dataset(25)
    version = data_version(frame)
    for at_once in (1, 7, 25):
        monkeypatch.setattr(dataset_schema, "_TEXTS_AT_ONCE", at_once)
        assert data_version(frame) == version


def test_the_version_of_a_stored_dataset_is_that_of_its_rows(tmp_path: Path):
    frame = dataset(30).assign(plan_id=lambda rows: "plän" + rows["plan_id"])
    stored = StoredFrame(FrameIOManager(str(tmp_path)).to_bytes(frame))
    assert data_version(stored) == data_version(frame)


def test_ids_that_stay_packed_change_nothing():
    frame = dataset(60)
    packed = frame_of(FrameIOManager("unused").to_bytes(frame), packed=IDS)
    assert all(isinstance(packed[name].dtype, pd.ArrowDtype) for name in IDS)
    assert packed[list(IDS)].to_numpy().tolist() == frame[list(IDS)].to_numpy().tolist()
    assert packed.drop(columns=[*IDS]).equals(frame.drop(columns=[*IDS]))
    assert data_version(packed) == data_version(frame)
    assert schema_faults(packed) == []
    assert segments_of(packed).equals(segments_of(frame))
    twice = packed.assign(opinion_id=packed["opinion_id"].array[[0] * len(packed)])
    assert schema_faults(twice) == ["an opinion has more than one row"]


@pytest.mark.parametrize("odd", [None, math.nan, 7, True])
def test_what_is_no_text_counts_as_python_writes_it(odd: object):
    frame = dataset(3)
    texts = frame.assign(plan_id=[str(odd), "b", "c"])
    assert data_version(frame.assign(plan_id=[odd, "b", "c"])) == data_version(texts)


def test_letters_that_move_between_adjacent_values_give_another_version():
    first, second = dataset(2, plan_id=["ab", "c"]), dataset(2, plan_id=["a", "bc"])
    assert data_version(first) != data_version(second)


def test_counts_are_by_value_and_sorted():
    assert counts(pd.Series([2, 0, 2, 1])) == {"0": 1, "1": 1, "2": 2}
    assert list(counts(pd.Series(["test", "real", "test"]))) == ["real", "test"]
    assert counts(pd.Series([], dtype="int64")) == {}


@pytest.mark.parametrize("seed", range(5))
def test_rows_in_any_order_are_sorted_by_time_and_id_and_rows_in_order_are_not_copied(seed: int):
    frame = dataset(count=12)
    frame["submitted_at"] = frame["submitted_at"].iloc[np.arange(12) // 3 * 3].to_numpy()
    in_order = conform(frame)
    assert in_order.index.equals(pd.RangeIndex(12))
    assert np.shares_memory(in_order["num_tasks"].to_numpy(), frame["num_tasks"].to_numpy())
    shuffled = frame.sample(frac=1, random_state=seed)
    assert data_version(conform(shuffled)) == data_version(in_order)
    assert schema_faults(conform(shuffled)) == []
    by_time_alone = shuffled.sort_values("submitted_at", kind="stable")
    assert data_version(conform(by_time_alone)) == data_version(in_order)
