"""Who gave the opinions of a week: versions, or what answered instead."""

from collections import Counter
from collections.abc import Iterable

from nhm_assets.domain.served_records import Answered
from nhm_assets.served.origins import Opinion
from nhm_assets.served.serving_times import ServingTimes


def count(opinions: Iterable[Opinion], times: ServingTimes) -> Answered:
    """Who gave these opinions."""
    versions: Counter[str] = Counter()
    fallbacks: Counter[str] = Counter()
    total = in_gap = untold = unexpected = 0
    for opinion in opinions:
        total += 1
        if opinion.fallback is not None:
            fallbacks[opinion.fallback] += 1
        elif opinion.version is None or opinion.at is None:
            untold += 1
        elif times.in_gap(opinion.at):
            in_gap += 1
        else:
            versions[opinion.version] += 1
            unexpected += not opinion.by_challenger and times.is_unexpected(opinion.at, opinion.version)
    return Answered(
        opinions=total,
        by_version=dict(sorted(versions.items(), key=lambda item: int(item[0]))),
        by_fallback=dict(sorted(fallbacks.items())),
        in_gap=in_gap,
        untold=untold,
        unexpected=unexpected,
    )
