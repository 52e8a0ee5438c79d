"""Runs side by side: ``compare_runs`` and what it answers."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from . import _client

CELL = 48
BEFORE = 8
R = TypeVar("R")
Verdict = Literal["better", "worse", "equal", "unknown"]


@dataclass(frozen=True)
class RunSide:
    """A run: its own columns. Times in milliseconds since the epoch."""

    asked: str
    run_id: str
    name: str
    experiment: str
    experiment_id: str
    user: str
    status: str
    start_time: int
    end_time: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True)
class Row:
    """A text of each run, ``None`` where it has none."""

    key: str
    values: tuple[str | None, ...]
    is_equal: bool


@dataclass(frozen=True)
class MetricRow:
    """A metric of each run by its newest value, ``None`` where it has none.

    ``deltas``, ``relative`` and ``verdicts`` are those of each run beside the first, which has ``None`` itself; ``relative`` is
    a share of the first value. ``best`` is the place of the best run, where one alone is and the direction is known.
    """

    key: str
    values: tuple[float | None, ...]
    steps: tuple[int | None, ...]
    direction: Literal["higher", "lower", "unknown"]
    deltas: tuple[float | None, ...]
    relative: tuple[float | None, ...]
    verdicts: tuple[Verdict | None, ...]
    best: int | None
    is_equal: bool

    @property
    def verdict(self) -> Verdict | None:
        """What became of the metric from the first run to the second."""
        return self.verdicts[1]


@dataclass(frozen=True)
class DataPart:
    """What one run read: a data set, training data by its name of today, or a logged model."""

    name: str
    digest: str | None = None
    version: int | None = None
    id: str | None = None
    is_deleted: bool = False


@dataclass(frozen=True)
class DataRow:
    """What each run read of one kind (``training_data``, ``data_set``, ``model``), by name and use; ``()`` where nothing."""

    kind: str
    name: str
    context: str | None
    values: tuple[tuple[DataPart, ...], ...]
    is_equal: bool


@dataclass(frozen=True)
class Section(Generic[R]):
    """Rows that differ (and with ``all=True`` the others too), and how many are equal."""

    rows: tuple[R, ...]
    equal: int


@dataclass(frozen=True)
class Environment:
    """Python and packages of the runs that logged a model; ``read_from`` has the files of each, ``()`` where it is not known."""

    read_from: tuple[tuple[str, ...], ...]
    unreadable: tuple[str, ...]
    python: Section[Row]
    packages: Section[Row]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. Whatever has a value for each run has them in the order of ``runs``. ``raw`` is the server's answer."""

    runs: tuple[RunSide, ...]
    params: Section[Row]
    metrics: Section[MetricRow]
    data: Section[DataRow]
    code: Section[Row]
    environment: Environment
    tags: Section[Row]
    hidden: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False, compare=False)

    def table(self) -> list[list[str]]:
        """The comparison as rows of texts, a heading first."""
        return [["", "", *(run.name or run.run_id[:8] for run in self.runs), "change"], *_rows(self)]

    def __repr__(self) -> str:
        table = [[_one_line(cell) for cell in row] for row in self.table()]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        heading, *rows = [[html.escape(cell) for cell in row] for row in self.table()]
        head = "".join(f"<th>{cell}</th>" for cell in heading)
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def _notes(self) -> list[str]:
        sections = {
            "params": self.params,
            "metrics": self.metrics,
            "data inputs": self.data,
            "packages": self.environment.packages,
            "tags": self.tags,
        }
        equal = ", ".join(f"{name} ({section.equal})" for name, section in sections.items() if section.equal)
        notes = [f"Equal: {equal}."] if equal else []
        if self.hidden:
            notes.append(f"You may not read: {', '.join(self.hidden)}.")
        return notes


def compare_runs(
    *runs: Any,
    higher: Iterable[str] = (),
    lower: Iterable[str] = (),
    all: bool = False,
    server: str | None = None,
) -> Comparison:
    """Compares two to ten runs: params, metrics and which way they moved, data, code, environment, tags.

    Each of ``runs`` is an id, ``runs:/ID``, the run that made a version (``models:/NAME/3``, ``models:/NAME@champion``), or
    one of mlflow's ``Run`` objects. The others are compared with the first. Whether a change of a metric is better or worse is
    said where its name says which way it gets better (``val_auc``, ``test_rmse``), or ``higher`` or ``lower`` names it.
    ``all`` also answers with what is equal. Raises :class:`StrongbackError`.
    """
    query = [("run_id", _id_of(run)) for run in runs]
    query += [("higher", key) for key in higher] + [("lower", key) for key in lower]
    query.append(("all", "true" if all else "false"))
    return _comparison(_client.get(server, "/api/1.0/runs/compare", query))


def _id_of(run: Any) -> str:
    if isinstance(run, str):
        return run
    try:
        return run.info.run_id
    except AttributeError:
        raise TypeError(f"a run is its id as a text, or mlflow's Run object, not {type(run).__name__}") from None


def _comparison(raw: dict[str, Any]) -> Comparison:
    environment = raw["environment"]
    return Comparison(
        runs=tuple(_known(RunSide, run) for run in raw["runs"]),
        params=_section(raw["params"], _row),
        metrics=_section(raw["metrics"], _metric),
        data=_section(raw["data"], _data),
        code=_section(raw["code"], _row),
        environment=Environment(
            read_from=tuple(tuple(files) for files in environment["from"]),
            unreadable=tuple(environment.get("unreadable", ())),
            python=_section(environment["python"], _row),
            packages=_section(environment["packages"], _row),
        ),
        tags=_section(raw["tags"], _row),
        hidden=tuple(raw.get("hidden", ())),
        raw=raw,
    )


def _known(kind: Any, raw: dict[str, Any]) -> Any:
    """A newer server may say more than is known here."""
    return kind(**{name: value for name, value in raw.items() if name in kind.__dataclass_fields__})


def _section(raw: dict[str, Any], read: Any) -> Section[Any]:
    return Section(rows=tuple(read(row) for row in raw["rows"]), equal=raw["equal"])


def _row(raw: dict[str, Any]) -> Row:
    return Row(key=raw["key"], values=tuple(raw["values"]), is_equal=raw["is_equal"])


def _metric(raw: dict[str, Any]) -> MetricRow:
    changes = [change or {} for change in raw["changes"]]
    return MetricRow(
        key=raw["key"],
        # Numbers, or the texts of those that JSON has none for.
        values=tuple(None if value is None else float(value) for value in raw["values"]),
        steps=tuple(raw["steps"]),
        direction=raw["direction"],
        deltas=tuple(change.get("delta") for change in changes),
        relative=tuple(change.get("relative") for change in changes),
        verdicts=tuple(change.get("verdict") for change in changes),
        best=raw.get("best"),
        is_equal=raw["is_equal"],
    )


def _data(raw: dict[str, Any]) -> DataRow:
    values = tuple(tuple(_known(DataPart, part) for part in parts) for parts in raw["values"])
    return DataRow(raw["kind"], raw["name"], raw.get("context"), values, raw["is_equal"])


def _rows(found: Comparison) -> list[list[str]]:
    runs = found.runs
    seconds = [None if run.duration_ms is None else f"{run.duration_ms / 1000:g} s" for run in runs]
    rows = [
        ["run", "id", *(run.run_id for run in runs), ""],
        ["run", "status", *(run.status for run in runs), ""],
        ["run", "duration", *_cells(seconds), ""],
    ]

    def texts(what: str, section: Section[Row]) -> None:
        rows.extend([what, row.key, *_cells(row.values), ""] for row in section.rows)

    texts("param", found.params)
    rows.extend(["metric", row.key, *map(_number, row.values), _change(row, runs)] for row in found.metrics.rows)
    for row in found.data.rows:
        label = f"{row.name} ({row.context})" if row.context else row.name or row.kind.replace("_", " ")
        rows.append(["data", label, *_cells([", ".join(map(_part, parts)) or None for parts in row.values]), ""])
    texts("code", found.code)
    texts("python", found.environment.python)
    texts("package", found.environment.packages)
    texts("tag", found.tags)
    return rows


def _change(row: MetricRow, runs: tuple[RunSide, ...]) -> str:
    if len(runs) > 2:
        return "" if row.best is None else f"best: {runs[row.best].name or runs[row.best].run_id[:8]}"
    delta, share, verdict = row.deltas[1], row.relative[1], row.verdict
    parts = [
        "" if not delta else f"{delta:+.6g}",
        "" if not share else f"({share:+.1%})",
        verdict if verdict in ("better", "worse") else "",
    ]
    return " ".join(part for part in parts if part)


def _part(part: DataPart) -> str:
    version = "" if part.version is None else f"@{part.version}"
    digest = "" if part.digest is None else f" {part.digest[:12]}"
    return f"{part.name}{version}{digest}" + (" (deleted)" if part.is_deleted else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.10g}"


def _cells(values: Iterable[str | None]) -> list[str]:
    """Values of one row, short enough for a table, and so that what differs in them is seen."""
    values = list(values)
    there = [value for value in values if value is not None]
    start = 0
    if any(len(value) > CELL for value in there) and len(set(there)) > 1:
        apart = (at for at, letters in enumerate(zip(*there)) if len(set(letters)) > 1)
        common = next(apart, min(map(len, there)))
        start = common - BEFORE if common >= CELL - BEFORE else 0
    return ["-" if value is None else _cut(value, start) for value in values]


def _cut(value: str, start: int) -> str:
    rest = value[start:]
    shown = rest if len(rest) <= CELL else f"{rest[: CELL - 1]}…"
    return f"…{shown}" if start else shown


def _one_line(text: str) -> str:
    """Whatever somebody wrote, it is no line of its own and steers no terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
