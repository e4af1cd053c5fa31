"""Cuts this slice out of the field documents and works out what it must result in.

It imports nothing of the product and uses only the standard library, so the two can disagree.

    python tests/data/field/make_slice.py FOLDER     # writes the four files and EXPECTED.json beside this script
    python tests/data/field/make_slice.py FOLDER --check     # only compares FOLDER with its own EXPECTED.json
"""

import gzip
import hashlib
import json
import math
import re
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
FILES = ("opinions", "feedback", "plan_features", "cognitive_ledger")
WEEK, SPECIALIST, ONE_PLAN_IN = "2026-11-15", "technical", 5
END = datetime(2026, 11, 22, tzinfo=UTC)
START = END - timedelta(days=30)
LABELS = {"reject": 0, "approve": 1, "review_required": 2}
FEATURES = re.findall(
    r"\w+",
    """
    num_tasks priority_score total_duration_ms avg_duration_ms risk_score complexity_score domain_risk_weight
    avg_task_complexity_factor num_patterns_detected num_anti_patterns_detected avg_pattern_quality
    total_anti_pattern_penalty num_nodes num_edges density avg_in_degree max_in_degree critical_path_length
    max_parallelism num_levels avg_coupling num_bottlenecks graph_complexity_score mean_norm std_norm
    avg_diversity
    """,
)


def read(folder):
    """The lines of each file, parsed; extended JSON stays as it is."""
    return {
        name: [json.loads(line) for line in gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8")]
        for name in FILES
    }


def time_of(value):
    """The time in UTC, or None."""
    if isinstance(value, dict) and "$date" in value:
        value = value["$date"]
    try:
        moment = datetime.fromisoformat(value.strip())
    except (AttributeError, ValueError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_complete(stored):
    """Whether a stored features document holds all 26 numbers."""
    try:
        features = stored["features"]
        features = json.loads(features) if isinstance(features, str) else features
        features = features.get("aggregated_features", features)
        return all(is_number(features[name]) for name in FEATURES)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def has_tasks(plan):
    return isinstance(plan, dict) and isinstance(plan.get("tasks"), list)


def is_valid(plan):
    """Whether the features of a plan can be computed, by section 4 of FEATURES.md; a null duration counts as 0."""
    names = (str, int, float, type(None))
    if not isinstance(plan.get("original_domain"), str) or not isinstance(plan.get("original_priority"), names):
        return False
    for task in plan["tasks"]:
        if not isinstance(task, dict) or not isinstance(task.get("description", ""), str):
            return False
        if not isinstance(task.get("estimated_duration_ms"), int | float | None):
            return False
        if not isinstance(task.get("task_type"), names) or not isinstance(task.get("task_id"), str | int | float):
            return False
        dependencies = task.get("dependencies", [])
        if not isinstance(dependencies, list | str):
            return False
        if not all(isinstance(dependency, str | int | float) for dependency in dependencies):
            return False
    return True


def reason_against(document, plan_of, stored, ledger, opinions):
    """The first reason in the contract's order for which a document is rejected, or None."""
    rating, recommendation = document.get("human_rating"), document.get("human_recommendation")
    opinion_id = document.get("opinion_id")
    if not isinstance(document.get("feedback_id"), str) or not document["feedback_id"]:
        return "missing_feedback_id"
    if time_of(document["submitted_at"]) is None:
        return "invalid_submitted_at"
    if not is_number(rating) or not 0 <= rating <= 1:
        return "invalid_rating"
    if not isinstance(recommendation, str) or recommendation.strip().lower() not in LABELS:
        return "unknown_recommendation"
    if opinion_id not in opinions:
        return "unknown_opinion"
    if is_complete(stored.get(plan_of[opinion_id])):
        return None
    plans = opinions[opinion_id].get("cognitive_plan"), ledger.get(plan_of[opinion_id], {}).get("plan_data")
    plan = next(filter(has_tasks, plans), None)
    if plan is None:
        return "missing_plan"
    return None if is_valid(plan) else "invalid_plan"


def judged(documents, specialist):
    """Feedback of the window with the reason against each document; the undated; the plan of each opinion."""
    opinions = {one["opinion_id"]: one for one in documents["opinions"] if one["specialist_type"] == specialist}
    plan_of = {opinion_id: opinion["plan_id"] for opinion_id, opinion in opinions.items()}
    stored = {one["plan_id"]: one for one in documents["plan_features"]}
    ledger = {one["plan_id"]: one for one in documents["cognitive_ledger"]}
    feedback = {json.dumps(one, sort_keys=True): one for one in documents["feedback"]}.values()
    mine = [one for one in feedback if one["specialist_type"] == specialist]
    # Copies count once among the rejected, but every undated document is counted.
    undated = [
        one for one in documents["feedback"] if one["specialist_type"] == specialist and one.get("submitted_at") is None
    ]
    dated = [one for one in mine if one.get("submitted_at") is not None]
    in_window = [one for one in dated if START <= (time_of(one["submitted_at"]) or START) < END]
    reasons = [(one, reason_against(one, plan_of, stored, ledger, opinions)) for one in in_window]
    return reasons, undated, plan_of


def expected(documents, specialist):
    """Rows, labels, splits, rejected documents by reason, and how many have no time."""
    reasons, undated, plan_of = judged(documents, specialist)
    accepted = [one for one, reason in reasons if reason is None]
    accepted.sort(key=lambda one: (time_of(one["submitted_at"]), one["feedback_id"]))
    newest = {one["opinion_id"]: one for one in accepted}
    rows = sorted(newest.values(), key=lambda one: (time_of(one["submitted_at"]), one["feedback_id"]))
    ends = int(0.70 * len(rows)), int(0.85 * len(rows))
    split_of = {
        plan_of[one["opinion_id"]]: "train" if position < ends[0] else "validation" if position < ends[1] else "test"
        for position, one in enumerate(rows)
    }
    splits = Counter(split_of[plan_of[one["opinion_id"]]] for one in rows)
    labels = Counter(str(LABELS[one["human_recommendation"].strip().lower()]) for one in rows)
    return {
        "rows": len(rows),
        "labels": dict(sorted(labels.items())),
        "splits": {name: splits[name] for name in ("train", "validation", "test")},
        "quarantined": dict(sorted(Counter(reason for _, reason in reasons if reason).items())),
        "undated": len(undated),
    }


def cut(documents):
    """One plan in five with all that is about it, and all feedback that is rejected or has no time."""
    reasons, undated, _ = judged(documents, SPECIALIST)
    kept = {id(one) for one in undated} | {id(one) for one, reason in reasons if reason}
    feedback = [
        one
        for one in documents["feedback"]
        if one["specialist_type"] == SPECIALIST and (id(one) in kept or drawn(str(one.get("plan_id"))))
    ]
    opinion_ids = {one.get("opinion_id") for one in feedback if isinstance(one.get("opinion_id"), str)}
    # Not only this specialist's: feedback may name an opinion of another one.
    opinions = [one for one in documents["opinions"] if one["opinion_id"] in opinion_ids]
    plan_ids = {one.get("plan_id") for one in opinions}
    about = defaultdict(list, opinions=opinions, feedback=feedback)
    for name in ("plan_features", "cognitive_ledger"):
        about[name] = [one for one in documents[name] if one["plan_id"] in plan_ids]
    return about


def drawn(plan_id):
    return hashlib.sha256(plan_id.encode()).digest()[0] % ONE_PLAN_IN == 0


def result(documents, specialists):
    return {
        "week": WEEK,
        "window": [START.isoformat(), END.isoformat()],
        "specialists": {name: expected(documents, name) for name in specialists},
    }


def main():
    folder = Path(sys.argv[1])
    documents = read(folder)
    if "--check" in sys.argv:
        recorded = json.loads((folder / "EXPECTED.json").read_text())
        print("equal" if result(documents, recorded["specialists"]) == recorded else "DIFFERENT")
        return
    slice_ = cut(documents)
    for name in FILES:
        lines = "".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in slice_[name])
        (HERE / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
        print(name, len(slice_[name]))
    (HERE / "EXPECTED.json").write_text(json.dumps(result(slice_, [SPECIALIST]), indent=1) + "\n")


if __name__ == "__main__":
    main()
