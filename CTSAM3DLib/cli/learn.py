"""``python -m CTSAM3DLib learn``: a model learns from segmentations that a user has corrected."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from CTSAM3DLib.cli.options import at_least
from CTSAM3DLib.cli.process import keep_freed_memory, use_threads

if TYPE_CHECKING:
    from CTSAM3DLib.training.learning import LearningOutcome, LearningProgress

STOPPED = 130
NOT_BETTER = 1
STOP_FILE = "stop"


def main(argv: Sequence[str]) -> int:
    """Run the command; 1 where the model is not better and was not installed, 130 stopped."""
    options = _parser().parse_args(argv)
    if not 0.0 < options.minutes < math.inf:
        _parser().error(f"--minutes: expected a time above 0, got {options.minutes:g}")
    use_threads(options.threads or os.cpu_count() or 1)
    keep_freed_memory()
    from CTSAM3DLib.training.learning import LearningRequest, LearningStopped, learn

    request = LearningRequest(
        options.cases,
        options.id,
        options.parent,
        (*filter(None, map(str.strip, options.structures.split(","))), *options.structure),
        options.minutes,
        options.device,
        options.install_anyway,
        options.restart,
        options.work_dir,
        options.models_dir,
        torso=not options.no_torso,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    stop = request.folder / STOP_FILE
    asked: list[int] = []
    earlier = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        show = _show_json if options.json else _Lines().show
        outcome = learn(request, show, lambda: bool(asked) or stop.exists())
    except LearningStopped:
        print(f"stopped; the same command goes on ({request.folder})", file=sys.stderr)
        return STOPPED
    finally:
        signal.signal(signal.SIGINT, earlier)
        stop.unlink(missing_ok=True)
    _tell(outcome, options)
    return 0 if outcome.installed else NOT_BETTER


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib learn",
        description="Go on training a model on corrected segmentations, on this computer and "
        "offline. Cases are held out and scored before and after; a model that is not better is "
        "not installed. Ctrl+C stops it; the same command goes on.",
    )
    parser.add_argument("cases", type=Path, help="folder of cases, or CSV: ct,segmentation,...")
    parser.add_argument("--id", required=True, help="name of the new model")
    parser.add_argument("--from", dest="parent", metavar="MODEL", help="default: the bundled model")
    parser.add_argument("--structures", default="", help="names, separated by commas; default: all")
    parser.add_argument(
        "--structure",
        action="append",
        default=[],
        metavar="NAME",
        help="one name, which may hold commas; may be given several times",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of learning; default: 10")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--threads", type=at_least(0), default=0, help="default: 0, all of them")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--install-anyway", action="store_true", help="also if it is not better")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="forget an earlier run of this id, and replace its model",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a report that somebody changed, too"
    )
    parser.add_argument("--work-dir", type=Path, help="folder of state and report")
    parser.add_argument("--models-dir", type=Path, help="folder of models; default: the user's")
    parser.add_argument(
        "--no-torso", action="store_true", help="keep and score no generated torso (faster)"
    )
    parser.add_argument("--json", action="store_true", help="progress as lines of JSON")
    return parser


class _Lines:
    """Progress on a terminal: one line for each tenth of a stage."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def show(self, progress: LearningProgress) -> None:
        now = (progress.stage, int(10 * progress.share))
        if now == self._last:
            return
        self._last = now
        left = progress.seconds_left
        rest = "" if left is None else f", {left / 60:.1f} min left"
        print(f"{progress.stage}: {100 * progress.share:.0f} %{rest}", flush=True)


def _show_json(progress: LearningProgress) -> None:
    line = asdict(progress) | {"share": round(progress.share, 4)}
    print(json.dumps(line), flush=True)


def _tell(outcome: LearningOutcome, options: argparse.Namespace) -> None:
    if options.json:
        content = {
            "stage": "done",
            "text": outcome.verdict.text,
            "report": str(outcome.report),
            "installed": str(outcome.installed or ""),
        }
        print(json.dumps(content), flush=True)
        return
    print(outcome.verdict.text)
    print(f"wrote {outcome.report}")
    if outcome.installed:
        print(f"wrote {outcome.installed}; use it with --model {options.id}")
    else:
        print("not installed; --install-anyway installs it all the same")
