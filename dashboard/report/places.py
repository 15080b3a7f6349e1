"""Where things lie on the machine that made a report is nobody's business: paths become the names of their ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from dashboard.data import Run
from dashboard.report.content import Table
from storage import address_of
from storage.media.secrets import shown

# an absolute path in a text: two names at least, so that "and/or" and a lone "/" are none
PATH = re.compile(r"(?<![\w/.~-])~?(?:/[^\s/'\"<>|:;,()]+){2,}/?")
OF_SPEC = ("data", "checkpoint", "classes_from", "templates_from", "model")


@dataclass(frozen=True)
class Places:
    """The folders and files that a run names, longest first."""

    known: tuple[str, ...]

    @classmethod
    def of(cls, run: Run) -> Places:
        """Those of a run: its data, model and store, and what lies outside its data."""
        record = run.record
        named: list[Any] = [record.dataset.get("root"), record.model.get("name"), str(run.store), address_of(run.store)]
        named += [record.spec.get(name) for name in OF_SPEC]
        named += [*(record.dataset.get("allowed") or ()), *(record.spec.get("allow_outside") or ())]
        paths = {str(name)[str(name).find("/") :].rstrip("/") for name in named if name and "://" not in str(name)}
        return cls(tuple(sorted((path for path in paths if path.count("/") > 1), key=len, reverse=True)))

    def plain(self, text: str) -> str:
        """A text with the last name of every path in it alone, and without the keys of addresses."""
        for path in self.known:
            text = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?![\w-])", PurePath(path).name.replace("\\", r"\\"), text)
        return shown(PATH.sub(lambda found: PurePath(found[0]).name, text))

    def facts(self, facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """The same for what stands after the colons."""
        return [(name, self.plain(value)) for name, value in facts]

    def tables(self, tables: Sequence[Table]) -> list[Table]:
        """The same for tables."""
        return [Table(table.title, self.facts(table.facts)) for table in tables]
