"""How far features, answers and labels have moved from what a version learned."""

from collections.abc import Mapping, Sequence

import numpy as np

from nhm_assets.domain.drift_records import Shift
from nhm_assets.drift.bins import Bins
from nhm_assets.drift.psi import bar, levels, psi


def shifts(learned: Mapping[str, Bins], came: Mapping[str, np.ndarray], important: Sequence[str] = ()) -> list[Shift]:
    """The shift of each feature, the largest first.

    Args:
        learned: the bins of each feature.
        came: counts over the same bins.
        important: the most important features.
    """
    # One that has only one value can move without chance.
    varied = [name for name, bins in learned.items() if sum(count > 0 for count in bins.counts) > 1]
    allowed = levels(varied, important)
    found = []
    for name, bins in learned.items():
        moved = float(psi(np.array(bins.counts), came[name]))
        limit = bar(bins.counts, int(came[name].sum()), allowed[name], found=moved) if name in allowed else 0.0
        found.append(Shift(name=name, psi=moved, bar=limit))
    return sorted(found, key=lambda shift: (-shift.psi, shift.name))
