"""What was kept and what it cost, as JSON lines that are only ever appended: a kill loses no row and forgets no cost.

The first line says what is made and how. Each answer adds a line with what it cost as soon as it has arrived; each
request that is finished adds one with the rows that were kept and why others were not. Who hands rows over adds one
with the plans whose verdicts they do not share.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from nhm_assets.domain.errors import DataError, UsageError
from nhm_assets.generation.spending import Spent

_HEAD, _SPENT, _DONE, _REJECTED = "head", "spent", "done", "rejected"
_KIND: Final = "kind"


@dataclass(frozen=True)
class Kept:
    """A row that passed everything: the plan as a document, its features, and the label."""

    plan: dict[str, Any]
    features: dict[str, float]
    label: int


@dataclass
class Progress:
    """What a journal says was done.

    Attributes:
        requests: number of finished requests.
        rows: that were kept, in order.
        rejected: ids of the plans whose verdicts people do not share.
        left_out: reason -> number of objects, or of answers, that became no row.
        spent: on all answers, those of unfinished requests too.
    """

    requests: int = 0
    rows: list[Kept] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    spent: Spent = field(default_factory=Spent)

    @property
    def accepted(self) -> list[Kept]:
        """The rows that nobody has rejected."""
        return [row for row in self.rows if row.plan["plan_id"] not in self.rejected]


class Journal:
    """The journal of one file of rows. Only one process may have it open."""

    def __init__(self, path: Path, head: Mapping[str, Any], begun_with: Mapping[str, Any]) -> None:
        """Open it, or begin it with this head; what a kill left half written at its end is cut off.

        Args:
            path: of the file.
            head: what is made and how; of a journal that is continued, it must be the same.
            begun_with: what the head of a new journal has besides, and one that is continued keeps.

        Raises:
            UsageError: it was begun with another head.
            DataError: it is damaged.
        """
        self._path = path
        lines = self._whole_lines()
        if not lines:
            lines = [{_KIND: _HEAD, **head, **begun_with}]
            self._append(lines[0])
        self.head = {name: value for name, value in lines[0].items() if name != _KIND}
        self._refuse_another(head)
        self.progress = Progress()
        for line in lines[1:]:
            self._take(line)

    def spent(self, spent: Spent) -> None:
        """Record what an answer cost."""
        self._write({_KIND: _SPENT, **asdict(spent)})

    def done(self, rows: Sequence[Kept], left_out: Mapping[str, int]) -> None:
        """Record that a request is finished."""
        self._write({_KIND: _DONE, "rows": [asdict(row) for row in rows], "left_out": dict(left_out)})

    def reject(self, plans: Iterable[str]) -> None:
        """Record plans that no file of rows may have, now or later."""
        self._write({_KIND: _REJECTED, "ids": sorted(plans)})

    def _write(self, line: dict[str, Any]) -> None:
        self._append(line)
        self._take(line)

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _take(self, line: Mapping[str, Any]) -> None:
        try:
            if line[_KIND] == _SPENT:
                self.progress.spent += Spent(**{name: line[name] for name in Spent.__dataclass_fields__})
            elif line[_KIND] == _DONE:
                self.progress.requests += 1
                self.progress.rows += [Kept(**row) for row in line["rows"]]
                self.progress.left_out.update(line["left_out"])
            elif line[_KIND] == _REJECTED:
                self.progress.rejected.update(line["ids"])
            else:
                raise KeyError(line[_KIND])
        except (KeyError, TypeError) as error:
            raise self._damaged() from error

    def _whole_lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        try:
            return list(_objects(whole.decode().splitlines()))
        except ValueError as error:
            raise self._damaged() from error

    def _refuse_another(self, head: Mapping[str, Any]) -> None:
        other = sorted(name for name, value in head.items() if self.head.get(name) != value)
        if other:
            raise UsageError(
                f"{self._path} was begun with another {', '.join(other)}. To go on, use what it says; to begin anew,"
                " name another --out"
            )

    def _damaged(self) -> DataError:
        return DataError(f"{self._path} is damaged: a line is not of a journal. Name another --out, or remove it")


def _objects(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("no object")
        yield found
