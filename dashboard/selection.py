"""One ``Selection`` holds everything a view depends on; it travels in the URL.

The functions here are pure. :func:`state_to_params` writes every value, defaults included, so that
a link keeps its meaning when defaults change. :func:`params_to_state` trusts nothing: wrong,
oversized or unknown values fall back to the default and are reported. What only a store can know
(which runs, targets and columns exist) is checked by :func:`fit`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from dashboard import colormaps
from dashboard.overlays import MODES, Look
from storage import Filter, SampleQuery
from storage.errors import line

VERSION = "1"
SIZES = (24, 48)
MODALITIES = ("image", "text")
OPS = ("eq", "ne", "in", "between", "contains", "is_null", "not_null")
MAX_FILTERS, MAX_VALUES, MAX_TEXT, MAX_TOTAL = 24, 200, 400, 16_000
MAX_SQL, MAX_WORDS = 4_000, 40
MAX_INT = 2**62

NAMES = frozenset(
    ("v", "run", "target", "modality", "sort", "order", "page", "size", "sample", "mode", "opacity", "cmap", "f")
) | {"suspect", "members", "other", "word", "q", "tag", "sql", "only"}

WORDS = {"suspect": "suspect", "members": "members", "other": "other", "word": "word", "q": "search"}  # one short text

Params = dict[str, str | list[str]]


@dataclass(frozen=True)
class Selection:
    """The state of the dashboard. Percentages are integers so that the URL is exact.

    ``search``, ``members`` (of a suspect), ``tags`` (any of them) and ``sql`` narrow the samples further than filters;
    ``dashboard.narrow`` makes them a query. ``only`` holds choices of a page's own lists, such as ``kind:concept``.
    """

    run: str = ""
    target: str = ""  # empty = the first target of the run
    modality: str = "image"
    filters: tuple[Filter, ...] = ()
    sort: str = "sample_id"
    descending: bool = False
    page: int = 1
    size: int = SIZES[0]
    sample: int | None = None
    look: Look = field(default_factory=Look)
    suspect: str = ""  # the suspect that is open
    members: str = ""  # a suspect: samples are restricted to those that show its cue
    other: str = ""  # the run this one is compared with
    word: str = ""
    search: str = ""
    tags: tuple[str, ...] = ()
    sql: str = ""
    only: tuple[str, ...] = ()

    @property
    def query(self) -> SampleQuery:
        """The rows of this selection, as storage reads them; without ``members``, ``tags`` and ``sql``."""
        return SampleQuery(
            target=self.target,
            modality=self.modality,
            filters=self.filters,
            sort=self.sort,
            descending=self.descending,
            search=self.search,
        )

    def with_filter(self, column: str, condition: Filter | None) -> Selection:
        """The selection with the filter on one column replaced or removed, back on page 1."""
        kept = [f for f in self.filters if f.column != column]
        position = next((i for i, f in enumerate(self.filters) if f.column == column), len(kept))
        if condition is not None:
            kept.insert(position, condition)
        return replace(self, filters=tuple(kept), page=1)

    @property
    def narrowed(self) -> bool:
        """Whether anything restricts the samples."""
        return bool(self.filters or self.search or self.members or self.tags or self.sql)

    def everything(self) -> Selection:
        """The selection with nothing that restricts the samples, on page 1."""
        return replace(self, filters=(), search="", members="", tags=(), sql="", page=1)

    def chosen(self, group: str) -> tuple[str, ...]:
        """The values of ``only`` that belong to a group: 'concept' of 'kind:concept' for the group 'kind'."""
        return tuple(word.removeprefix(f"{group}:") for word in self.only if word.startswith(f"{group}:"))

    def with_only(self, group: str, values: Sequence[str]) -> Selection:
        """The selection with the values of a group in ``only`` replaced, back on page 1."""
        kept = [word for word in self.only if not word.startswith(f"{group}:")]
        return replace(self, only=(*kept, *(f"{group}:{value}" for value in values)), page=1)

    def condition(self, column: str) -> Filter | None:
        """The filter on a column, if there is one."""
        return next((f for f in self.filters if f.column == column), None)


def state_to_params(state: Selection) -> Params:
    """Query parameters that hold every value of the selection; what is not chosen at all has none."""
    params: Params = {
        "v": VERSION,
        "modality": state.modality,
        "sort": state.sort,
        "order": "desc" if state.descending else "asc",
        "page": str(state.page),
        "size": str(state.size),
        "mode": state.look.mode,
        "opacity": str(state.look.opacity),
        "cmap": state.look.colormap,
    }
    known = {"run": state.run, "target": state.target, "sample": state.sample}
    known |= {name: getattr(state, field) for name, field in WORDS.items()} | {"sql": state.sql}
    params |= {name: str(value) for name, value in known.items() if value not in ("", None)}
    several = {"f": [_filter_to_text(f) for f in state.filters], "tag": list(state.tags), "only": list(state.only)}
    return params | {name: values for name, values in several.items() if values}


def link(base: str, state: Selection) -> str:
    """A URL that opens exactly this view. ``base`` is the address of the page without parameters."""
    return f"{base}?{urlencode(state_to_params(state), doseq=True)}"


def params_to_state(params: Mapping[str, Sequence[str]]) -> tuple[Selection, list[str]]:
    """The selection that parameters describe, and a line for each part that was not understood.

    ``params`` maps each name to all its values. Never raises; unknown names are ignored.
    """
    problems: list[str] = []
    if sum(len(text) for values in params.values() for text in values) > MAX_TOTAL:
        return Selection(), [f"The link is longer than {MAX_TOTAL} characters and was ignored."]
    if _last(params, "v", VERSION) != VERSION:
        problems.append("The link was made by another version of the dashboard; it may open another view.")

    def read(name: str, default: Any, parse: Callable[[str], Any]) -> Any:
        text = _last(params, name, "")
        if text == "":
            return default
        try:
            return parse(text)
        except (ValueError, OverflowError):
            problems.append(f"The link has no valid value for “{name}”; the default is shown.")
            return default

    default = Selection()
    look = Look(
        mode=read("mode", default.look.mode, _one_of(MODES)),
        opacity=read("opacity", default.look.opacity, _integer(0, 100)),
        colormap=read("cmap", default.look.colormap, _one_of(colormaps.NAMES)),
    )
    state = Selection(
        run=read("run", default.run, _text),
        target=read("target", default.target, _text),
        modality=read("modality", default.modality, _one_of(MODALITIES)),
        filters=_read_filters(params.get("f", ()), problems),
        sort=read("sort", default.sort, _text),
        descending=read("order", "asc", _one_of(("asc", "desc"))) == "desc",
        page=read("page", default.page, _integer(1, MAX_INT)),
        size=read("size", default.size, lambda text: int(_one_of([str(s) for s in SIZES])(text))),
        sample=read("sample", default.sample, _integer(0, MAX_INT)),
        look=look,
        sql=read("sql", default.sql, lambda text: _text(text, MAX_SQL)),
        tags=_read_texts(params.get("tag", ()), "tag", problems),
        only=_read_texts(params.get("only", ()), "only", problems),
        **{field: read(name, "", _text) for name, field in WORDS.items()},
    )
    return state, problems


def fit(
    state: Selection,
    *,
    runs: Sequence[str],
    targets: Mapping[str, Sequence[str]] | None = None,
    columns: Mapping[str, str] | None = None,
) -> tuple[Selection, list[str]]:
    """The selection restricted to what the store has, and a line for each part that had to go.

    ``targets`` maps each target to its modalities, ``columns`` each column of the run to its kind ('number',
    'category', 'text', 'bool'); None leaves sort and filters alone. Without a run the newest is taken, silently.
    """
    problems: list[str] = []
    run = _choose(state.run, runs, "run", problems)
    target, modality = state.target, state.modality
    if targets:
        target = _choose(target, targets, "target", problems)
        modality = modality if modality in targets[target] else targets[target][0]
    other = state.other if state.other in runs else ""
    if other != state.other:
        problems.append(f"The store has no run “{clip(state.other)}” to compare with.")
    fitted = replace(state, run=run, target=target, modality=modality, other=other)
    if columns is None:
        return fitted, problems
    kept = tuple(f for f in fitted.filters if _suits(f, columns))
    problems += [
        f"This run cannot filter “{clip(f.column)}” that way; that filter was dropped."
        for f in fitted.filters
        if f not in kept
    ]
    if fitted.sort not in columns:
        problems.append(f"This run has no column “{clip(fitted.sort)}” to sort by; it is sorted by sample.")
        fitted = replace(fitted, sort="sample_id", descending=False)
    return replace(fitted, filters=kept), problems


def clip(text: str, length: int = 60) -> str:
    """Text cut to a length, with an ellipsis, that can be shown anywhere; line breaks become spaces."""
    flat = line(text, len(text) + 1)
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"


def _choose(value: str, known: Collection[str], name: str, problems: list[str]) -> str:
    if value in known or not known:
        return value
    first = next(iter(known))
    if value:
        problems.append(f"The store has no {name} “{clip(value)}”; “{first}” is shown.")
    return first


def _suits(condition: Filter, columns: Mapping[str, str]) -> bool:
    kind = columns.get(condition.column)
    if kind is None:
        return False
    if condition.op in ("is_null", "not_null"):
        return True
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if kind == "number":
        return condition.op != "contains" and all(isinstance(v, int | float) for v in values)
    if kind == "bool":
        return condition.op in ("eq", "ne", "in") and all(isinstance(v, bool) for v in values)
    return condition.op != "between" and all(isinstance(v, str) for v in values)


def _filter_to_text(condition: Filter) -> str:
    value = list(condition.value) if isinstance(condition.value, tuple) else condition.value
    return json.dumps([condition.column, condition.op, value], ensure_ascii=False, separators=(",", ":"))


def _read_filters(texts: Sequence[str], problems: list[str]) -> tuple[Filter, ...]:
    filters: dict[str, Filter] = {}
    for text in texts[:MAX_FILTERS]:
        try:
            condition = _filter_from_text(text)
        except (ValueError, TypeError, RecursionError):
            problems.append(f"The link has a filter that is not understood: {clip(text)}")
            continue
        filters[condition.column] = condition  # one filter per column: the last one counts
    if len(texts) > MAX_FILTERS:
        problems.append(f"The link has more than {MAX_FILTERS} filters; the others were ignored.")
    return tuple(filters.values())


def _filter_from_text(text: str) -> Filter:
    column, op, value = json.loads(text)
    if not isinstance(column, str) or op not in OPS:
        raise ValueError("no such column or operator")
    _text(column)
    if op in ("is_null", "not_null"):
        return Filter(column, op, None)
    if op in ("in", "between"):
        if not isinstance(value, list) or len(value) > MAX_VALUES or (op == "between" and len(value) != 2):
            raise ValueError("no such list")
        return Filter(column, op, tuple(_scalar(v) for v in value))
    return Filter(column, op, _scalar(value))


def _scalar(value: Any) -> str | int | float | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float) and abs(value) <= MAX_INT:  # also refuses not-a-number
        return value
    raise ValueError("not a plain value")


def _read_texts(texts: Sequence[str], name: str, problems: list[str]) -> tuple[str, ...]:
    """Several short texts, each once."""
    try:
        return tuple(dict.fromkeys(_text(text) for text in texts[:MAX_WORDS] if text))
    except ValueError:
        problems.append(f"The link has no valid value for “{name}”; it was left out.")
        return ()


def _text(text: str, most: int = MAX_TEXT) -> str:
    if len(text) > most or "\x00" in text:
        raise ValueError("text too long")
    text.encode()  # a lone surrogate cannot be stored or compared
    return text


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if len(text) > 20 or not low <= int(text) <= high:
            raise ValueError("out of range")
        return int(text)

    return parse


def _one_of(options: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in options:
            raise ValueError("not an option")
        return text

    return parse


def _last(params: Mapping[str, Sequence[str]], name: str, default: str) -> str:
    values = params.get(name, ())
    return values[-1] if values else default
