"""Averages over structures: all, by family, by anatomy and by size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from CTSAM3DLib.evaluation.cases import shape_class
from CTSAM3DLib.evaluation.protocol import ClickProtocol, Trace

QUALITIES = (0.80, 0.85, 0.90)
"""Dice values whose number of clicks is counted."""


@dataclass(frozen=True)
class Result:
    """One method on one structure."""

    # What was measured
    case: str
    family: str
    anatomy: str
    size_class: str
    method: str
    volume_cm3: float  # Size of the truth
    trace: Trace  # All clicks and scores


@dataclass(frozen=True)
class Row:
    """Means of one method over one group of structures."""

    method: str  # Name of the method
    # How many structures, and on how many the method failed (they score 0 from there on)
    n_structures: int
    n_errors: int
    # Number of clicks to mean score
    dice: dict[int, float]
    nsd: dict[int, float]
    dice_curve: list[float]  # Mean Dice after 1, 2, ... clicks.
    # Quality to mean number of clicks; a structure that never reaches it counts with the largest
    # number of clicks
    noc: dict[float, float]
    reached: dict[float, float]  # Quality to share of the structures that reach it
    # Mean seconds until the mask; NaN when there is no such click
    first_click_s: float
    next_click_s: float


def mean_row(method: str, traces: Sequence[Trace], protocol: ClickProtocol) -> Row:
    """Average the traces of one method, at least one, at the checkpoints of a protocol."""
    limit = protocol.max_clicks
    marks = [n for n in protocol.checkpoints if n <= limit]
    counts = {q: [trace.clicks_to(q) for trace in traces] for q in QUALITIES}
    first = [trace.steps[0].seconds for trace in traces if trace.steps]
    later = [step.seconds for trace in traces for step in trace.steps[1:]]
    return Row(
        method=method,
        n_structures=len(traces),
        n_errors=sum(bool(trace.error) for trace in traces),
        dice={n: _mean(trace.dice_after(n) for trace in traces) for n in marks},
        nsd={n: _mean(trace.nsd_after(n) for trace in traces) for n in marks},
        dice_curve=[_mean(t.dice_after(n) for t in traces) for n in range(1, limit + 1)],
        noc={q: _mean(limit if n is None else n for n in counts[q]) for q in QUALITIES},
        reached={q: _mean(n is not None for n in counts[q]) for q in QUALITIES},
        first_click_s=_mean(first),
        next_click_s=_mean(later),
    )


WORSE_BY = 0.05
"""A structure that ends this much below its own best Dice has been harmed by later clicks."""


@dataclass(frozen=True)
class Steadiness:
    """Whether further clicks harmed what was there."""

    method: str  # Name of the method
    largest_fall: float  # Of the mean Dice from one click to the next; 0 when it never falls
    n_worse: int  # Structures that end more than `WORSE_BY` below their own best
    n_collapsed: int  # Structures whose Dice goes to 0 after it was above
    n_disobeyed: int  # Clicks whose own voxel is not as the click says


def steadiness_of(results: Sequence[Result], protocol: ClickProtocol) -> list[Steadiness]:
    """Return one entry for each method that occurs, in order of first occurrence."""
    found = []
    for name, traces in _by_method(results).items():
        curves = np.array(
            [[trace.dice_after(n + 1) for n in range(protocol.max_clicks)] for trace in traces]
        )
        best = np.maximum.accumulate(curves, axis=1)
        means = curves.mean(axis=0)
        found.append(
            Steadiness(
                method=name,
                largest_fall=float((means[:-1] - means[1:]).max(initial=0.0)),
                n_worse=int((best[:, -1] - curves[:, -1] > WORSE_BY).sum()),
                n_collapsed=int(((curves == 0.0) & (best > 0.0)).any(axis=1).sum()),
                n_disobeyed=sum(not step.obeyed for trace in traces for step in trace.steps),
            )
        )
    return found


def grouped(results: Sequence[Result]) -> dict[str, dict[str, list[Result]]]:
    """Sort results into the groups of the report: kind of group, name of the group, results."""
    groups: dict[str, dict[str, list[Result]]] = {
        "case family": defaultdict(list),
        "size class": defaultdict(list),
        "shape class": defaultdict(list),
        "anatomy": defaultdict(list),
    }
    for result in results:
        groups["case family"][result.family].append(result)
        groups["size class"][f"{result.family}: {result.size_class}"].append(result)
        groups["shape class"][f"{result.family}: {shape_class(result.anatomy)}"].append(result)
        groups["anatomy"][f"{result.family}: {result.anatomy}"].append(result)
    return {kind: dict(sorted(named.items())) for kind, named in groups.items()}


def rows_of(results: Sequence[Result], protocol: ClickProtocol) -> list[Row]:
    """Return one row for each method that occurs, in order of first occurrence."""
    return [mean_row(name, traces, protocol) for name, traces in _by_method(results).items()]


def _by_method(results: Sequence[Result]) -> dict[str, list[Trace]]:
    by_method: dict[str, list[Trace]] = defaultdict(list)
    for result in results:
        by_method[result.method].append(result.trace)
    return by_method


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else float("nan")
