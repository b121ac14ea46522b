"""``python -m CTSAM3DLib segment``: one CT and its clicks to a Slicer segmentation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from CTSAM3DLib.api import SegmentationResult
from CTSAM3DLib.batch.case import Case, load_model, run_case
from CTSAM3DLib.batch.starts import read_starts
from CTSAM3DLib.cli.options import positive
from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.growing_rules import GrowMode

CLICKS_HELP = (
    'JSON {"coordinate_system": "RAS", "structures": {"liver": {"positive": [[r, a, s], ...], '
    '"negative": [...]}}}, or point lists of Slicer (.mrk.json, .fcsv) whose labels or names are '
    'the structures; "negative" at the end of a name marks points outside; or a .seg.nrrd with '
    "prompts in its tags"
)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the model and how it runs."""
    parser.add_argument("--model", metavar="ID|PATH", help="default: the bundled model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument(
        "--spacing", type=positive, metavar="MM", help="voxel size for the model, in mm"
    )
    parser.add_argument(
        "--grow",
        action="store_true",
        help="look further than the patch of the first click of a structure",
    )
    parser.add_argument(
        "--grow-mode", dest="grow", choices=[*GrowMode], help="how to look further; --grow is auto"
    )


def add_recompute_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that gives up masks that somebody corrected."""
    parser.add_argument(
        "--recompute",
        action="store_true",
        help="make structures of a .seg.nrrd among the clicks anew from their prompts, also those "
        "that were corrected by hand; without it these are kept, and further clicks change them",
    )


def add_overwrite_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that gives up files that somebody changed."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace existing files. Without it only files that this program wrote and that "
        "nobody changed since are replaced; each of them holds a checksum of its content",
    )


class _AddPoint(argparse.Action):
    """Adds a structure and its click; all such options share one list, in the order given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - of the base class
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Add one; an error of the command line if it is none."""
        name, *position = values
        try:
            r, a, s = map(float, position)
            click = Click((r, a, s), bool(self.const))
        except (ValueError, GeometryError):
            raise argparse.ArgumentError(
                self, f"expected a name and three numbers in mm, got {' '.join(values)!r}"
            ) from None
        if not name.strip():
            raise argparse.ArgumentError(self, "expected the name of a structure, got an empty one")
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), (name, click)))


def add_point_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that give single clicks without a file."""
    for option, is_inside, where in (
        ("--click", True, "inside"),
        ("--click-outside", False, "outside"),
    ):
        parser.add_argument(
            option,
            action=_AddPoint,
            dest="points",
            nargs=4,
            const=is_inside,
            default=(),
            metavar=("NAME", "R", "A", "S"),
            help=f"a click {where} a structure, mm in RAS: left, posterior and inferior are "
            "negative; may be given several times",
        )


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``--help``."""
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib segment",
        description="Segment one CT from clicks; the result is a segmentation of Slicer.",
    )
    parser.add_argument("ct", type=Path, help="image file or DICOM folder")
    parser.add_argument("--clicks", type=Path, nargs="+", default=(), help=CLICKS_HELP)
    add_point_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="the .seg.nrrd to write")
    add_overwrite_option(parser)
    add_recompute_option(parser)
    parser.add_argument("--picture", type=Path, help="PNG to write as well")
    parser.add_argument("--report", type=Path, help="JSON with volumes, times, versions to write")
    parser.add_argument("--nifti", type=Path, help="NIfTI label map to write, with its names")
    parser.add_argument("--dicom-seg", type=Path, help="DICOM SEG to write; the CT must be DICOM")
    parser.add_argument("--table", type=Path, help="CSV to write: volume and shape of structures")
    parser.add_argument("--series", default="", metavar="UID", help="which series of the folder")
    add_model_options(parser)
    options = parser.parse_args(argv)
    case = Case(
        ct=options.ct,
        clicks=tuple(options.clicks),
        output=options.output,
        picture=options.picture,
        report=options.report,
        series=options.series,
        label_map=options.nifti,
        dicom_seg=options.dicom_seg,
        table=options.table,
        recompute=options.recompute,
        points=options.points,
    )
    if not case.clicks and not case.points:
        parser.error("one of --clicks and --click is needed")
    check_before(case, options.overwrite)
    model = load_model(options.model, options.device)
    with ClickProgress(sys.stderr) as progress:
        result, report = run_case(
            case, model, options.spacing, grow=options.grow, warn=warn, click_progress=progress
        )
    print(table(result))
    print(f"{result.settings.model_id} on {result.device}, {report['seconds']['total']:.1f} s")
    for path in case.files.values():
        print(f"wrote {path}")
    return 0


def check_before(case: Case, overwrite: bool) -> None:
    """Raise what is wrong with clicks or outputs before the model is loaded."""
    from CTSAM3DLib.io.dicom_seg import check_dicom_seg
    from CTSAM3DLib.io.outputs import check_outputs, check_replaceable
    from CTSAM3DLib.io.segmentation import check_name

    check_name(case.output)
    check_outputs([case.files], case.inputs)
    if not overwrite:
        check_replaceable(case.files.values())
    read_starts(case.clicks, None, case.recompute, case.points)
    if case.dicom_seg is not None:
        check_dicom_seg(case.ct, case.series)


class ClickProgress:
    """Shows how many clicks are answered: a bar on a terminal, else a line now and then.

    `pause` is the time between two lines in seconds, which `clock` gives.

    Examples
    --------
    >>> import io, itertools
    >>> seconds = itertools.count(0.0, 3.0)
    >>> with ClickProgress(io.StringIO(), 5.0, lambda: next(seconds)) as progress:
    ...     for number in range(1, 5):
    ...         progress("liver", number, 5)
    ...     progress.stream.getvalue().splitlines()
    ['answered 2 of 5 clicks (liver)', 'answered 4 of 5 clicks (liver)']
    """

    def __init__(
        self, stream: TextIO, pause: float = 5.0, clock: Callable[[], float] | None = None
    ) -> None:
        self.stream = stream
        self._pause = pause
        self._clock = monotonic if clock is None else clock
        self._last = self._clock()
        self._bar: Any = None

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show one more click of a structure."""
        if not self.stream.isatty():
            now = self._clock()
            if now - self._last >= self._pause:
                self._last = now
                print(f"answered {done} of {total} clicks ({name})", file=self.stream, flush=True)
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="click", file=self.stream, leave=False)
        self._bar.set_postfix_str(name, refresh=False)
        self._bar.update()

    def __enter__(self) -> ClickProgress:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def warn(text: str) -> None:
    """Print why a result may be wrong."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def table(result: SegmentationResult) -> str:
    """Return names, clicks, volumes and times as a small table."""
    volumes_cm3 = result.volumes_cm3
    rows = [("structure", "prompts", "cm3", "seconds")]
    for segment in result.segments:
        clicks = segment.clicks.counts()
        volume_cm3 = f"{volumes_cm3[segment.name]:.1f}" if segment.mask.voxel_count else "empty"
        rows.append((segment.name, clicks, volume_cm3, f"{result.seconds[segment.name]:.2f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for name, *numbers in rows:
        right = [f"{text:>{width}}" for text, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:<{widths[0]}}", *right]))
    return "\n".join(lines)
