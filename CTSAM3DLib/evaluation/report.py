"""What remains of an evaluation: JSON with everything, a Markdown table, and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.summary import (
    QUALITIES,
    WORSE_BY,
    Result,
    Row,
    grouped,
    rows_of,
    steadiness_of,
)
from CTSAM3DLib.io.content_mark import BLANK, KEY, fill_mark, write_marked_text
from CTSAM3DLib.io.safe_write import written_atomically


def write_json(
    path: Path,
    results: Sequence[Result],
    protocol: ClickProtocol,
    setting: Mapping[str, Any],
    complete: bool,
) -> None:
    """Write every click and score with settings and means; replaces an earlier file whole.

    `setting` holds versions, device, model, methods. `complete` is False while structures are
    missing.
    """
    content = {
        KEY: BLANK,
        "complete": complete,
        "setting": dict(setting),
        "protocol": asdict(protocol),
        "means": {
            kind: {name: [asdict(row) for row in rows_of(some, protocol)] for name, some in named}
            for kind, named in ((kind, groups.items()) for kind, groups in grouped(results).items())
        },
        "structures": [_structure(result) for result in results],
    }
    write_marked_text(path, json.dumps(_without_nan(content), indent=1) + "\n")


def markdown(
    results: Sequence[Result],
    protocol: ClickProtocol,
    setting: Mapping[str, Any],
    complete: bool = True,
) -> str:
    """Return the tables of a report.

    `setting` is shown as a list above them; `complete` is False while structures are missing.
    """
    lines = ["# Clicks to quality", ""]
    if not complete:
        lines += ["**Not finished: some structures are still missing.**", ""]
    lines += [
        f"Dice and NSD ({protocol.tolerance_mm:g} mm) on the whole volume; NoC@q is the mean "
        f"number of clicks to Dice q, where a structure that never reaches it counts "
        f"{protocol.max_clicks}, and the share that reaches it stands in brackets. Simulated user: "
        f"{protocol.strategy}, seed {protocol.seed}. A failure scores 0.",
        "",
    ]
    lines += [f"- {key}: {_inline(value)}" for key, value in setting.items()]
    for kind, groups in grouped(results).items():
        lines += ["", f"## By {kind}", "", *_table(kind, groups, protocol)]
        if kind == "case family":
            lines += ["", "## Do further clicks harm?", "", *_steadiness(groups, protocol)]
    return "\n".join(lines) + "\n"


def _table(kind: str, groups: Mapping[str, Sequence[Result]], protocol: ClickProtocol) -> list[str]:
    marks = [n for n in protocol.checkpoints if n <= protocol.max_clicks]
    head = [kind, "method", "n"]
    head += [f"Dice {n}" for n in marks] + [f"NSD {n}" for n in marks]
    head += [f"NoC@{round(100 * q)}" for q in QUALITIES] + ["s first", "s next", "errors"]
    return table_lines(
        head,
        [
            [name, row.method, str(row.n_structures), *_scores(row)]
            for name, some in groups.items()
            for row in rows_of(some, protocol)
        ],
    )


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _steadiness(groups: Mapping[str, Sequence[Result]], protocol: ClickProtocol) -> list[str]:
    head = ["case family", "method", "largest fall of mean Dice", f"end > {WORSE_BY} below best"]
    head += ["collapse to 0", "clicks not obeyed"]
    rows = []
    for name, some in groups.items():
        for row in steadiness_of(some, protocol):
            counts = (row.n_worse, row.n_collapsed, row.n_disobeyed)
            rows.append([name, row.method, f"{row.largest_fall:.4f}", *map(str, counts)])
    return table_lines(head, rows)


def _scores(row: Row) -> list[str]:
    cells = [f"{value:.3f}" for value in row.dice.values()]
    cells += [f"{value:.3f}" for value in row.nsd.values()]
    cells += [f"{row.noc[q]:.1f} ({100 * row.reached[q]:.0f} %)" for q in QUALITIES]
    cells += [_seconds(row.first_click_s), _seconds(row.next_click_s)]
    return [*cells, str(row.n_errors)]


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def save_plot(path: Path, results: Sequence[Result], protocol: ClickProtocol) -> None:
    """Draw mean Dice against clicks into a PNG, one panel for each case family."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    families = grouped(results)["case family"]
    figure = Figure(figsize=(5.2 * len(families), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
    clicks = range(1, protocol.max_clicks + 1)
    for panel, (family, some) in zip(panels, families.items(), strict=True):
        rows = rows_of(some, protocol)
        for row in rows:
            panel.plot(clicks, row.dice_curve, marker="o", markersize=3.5, label=row.method)
        panel.set(
            title=f"{family} ({rows[0].n_structures} structures)",
            xlabel="clicks",
            ylim=(0, 1),
            xticks=list(clicks),
        )
        panel.title.set_fontsize(9)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("mean Dice")
    panels[-1].legend(fontsize=8, loc="lower right")
    with written_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={KEY: BLANK})
        fill_mark(temporary)


def _structure(result: Result) -> dict[str, Any]:
    steps = [
        {
            "position_ras": [round(value, 3) for value in step.click.position_ras],
            "positive": step.click.positive,
            "seconds": round(step.seconds, 4),
            "dice": round(step.dice, 5),
            "obeyed": step.obeyed,
            "nsd": None if step.nsd is None else round(step.nsd, 5),
        }
        for step in result.trace.steps
    ]
    return {
        "case": result.case,
        "family": result.family,
        "anatomy": result.anatomy,
        "size_class": result.size_class,
        "volume_cm3": round(result.volume_cm3, 3),
        "method": result.method,
        "error": result.trace.error,
        "steps": steps,
    }


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
