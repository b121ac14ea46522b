"""What remains of learning: the model's card, and a report as Markdown, JSON and picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.report import save_plot
from CTSAM3DLib.evaluation.summary import Result
from CTSAM3DLib.io.content_mark import BLANK, KEY, write_marked_text
from CTSAM3DLib.models.manifest import ModelEntry
from CTSAM3DLib.training.learner import Learner
from CTSAM3DLib.training.learning_cases import Division
from CTSAM3DLib.training.learning_score import (
    AFTER,
    BEFORE,
    CLICKS,
    LEARNT,
    OTHER,
    Verdict,
    mean_dice,
    table,
    verdict,
)

REPORT, PLOT, SCORES = "report.md", "report.png", "report.json"
CASE_LICENCE = "the user's own data"
NOT_HELD_OUT = (
    "Nothing was held out of the learnt structures: their scores are those of cases that were "
    "learnt, with other clicks. Of other patients they say little."
)


@dataclass(frozen=True, eq=False)
class LearningReport:
    """What was learnt from what, and what came of it."""

    parent: ModelEntry
    division: Division
    learner: Learner
    before: tuple[Result, ...]
    after: tuple[Result, ...]  # Of the same structures, in the same order
    share: float  # Of the new weights in the model
    folder: Path

    @property
    def verdict(self) -> Verdict:
        """Whether the model is better."""
        return verdict(self.before, self.after)

    def card(self) -> dict[str, Any]:
        """Return licence, data, scores and parent for the manifest."""
        parent, learner = self.parent, self.learner
        count = len(self.division.learnt)
        data = {
            "name": f"{count} case{'s' * (count != 1)} of the user: {', '.join(learner.names)}",
            "licence": CASE_LICENCE,
        }
        means = {
            f"{family}, {when}": [round(mean_dice(some, family, n), 4) for n in CLICKS]
            for family in (LEARNT, OTHER)
            for when, some in ((BEFORE, self.before), (AFTER, self.after))
            if any(result.family == family for result in some)
        }
        return {
            "licence": parent.licence,
            "training_data": [*parent.training_data, data],
            "quality": {"clicks": list(CLICKS), **means, "learning": self._facts()},
            "parent": {"id": parent.model_id, "sha256": parent.sha256},
            **({"variant": parent.variant} if parent.variant else {}),
        }

    def write(self, model_id: str, installed: Path | None) -> None:
        """Write ``report.md``, ``report.json`` and ``report.png``.

        Raises OutputFileError: a file cannot be written.
        """
        facts = {
            **self._facts(),
            "parent": f"{self.parent.model_id} {self.parent.sha256}",
            "installed": installed.name if installed else "no",
        }
        lines = [
            f"<!-- {KEY}: {BLANK} -->",
            f"# What {model_id} has learnt",
            "",
            self.verdict.text,
            "",
        ]
        if self.division.kind != "patients":
            lines += [NOT_HELD_OUT, ""]
        lines += [f"- {key}: {value}" for key, value in facts.items()]
        lines += ["", "Mean Dice after 1, 3 and 5 clicks:", "", *table(self.before, self.after)]
        lines += ["", self._plot()]
        write_marked_text(self.folder / REPORT, "\n".join(lines) + "\n")
        content = {
            KEY: BLANK,
            **facts,
            "text": self.verdict.text,
            "better": self.verdict.is_better,
            "gain": {str(n): value for n, value in self.verdict.gain.items()},
            "other anatomy loses": self.verdict.loss,
            BEFORE: _scores(self.before),
            AFTER: _scores(self.after),
        }
        write_marked_text(self.folder / SCORES, json.dumps(content, indent=1) + "\n")

    def _plot(self) -> str:
        """Draw Dice against clicks; return the line that shows it."""
        protocol = ClickProtocol(max_clicks=max(CLICKS), checkpoints=())
        try:
            save_plot(self.folder / PLOT, [*self.before, *self.after], protocol)
        except ImportError:  # Slicer has no matplotlib of its own
            return "There is no plot: the Python package matplotlib is not installed."
        return f"![Dice against clicks]({PLOT})"

    def _facts(self) -> dict[str, Any]:
        division, learner = self.division, self.learner
        return {
            "cases learnt from": len(division.learnt),
            "cases held out": len(division.held_out) if division.kind == "patients" else 0,
            "held out": division.kind,
            "structures": ", ".join(learner.names),
            "minutes": round(learner.seconds / 60.0, 2),
            "iterations": learner.iteration,
            "share of the new weights": self.share,
            "device": str(learner.device),
        }


def _scores(results: tuple[Result, ...]) -> list[dict[str, Any]]:
    return [
        {
            "case": r.case,
            "family": r.family,
            "anatomy": r.anatomy,
            "dice": [round(r.trace.dice_after(n), 5) for n in CLICKS],
        }
        for r in results
    ]
