"""``python -m CTSAM3DLib demo``: a generated torso CT, segmented from stored clicks."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.api import SegmentationResult
from CTSAM3DLib.batch.case import Case, load_model, run_case
from CTSAM3DLib.cli.options import check_device
from CTSAM3DLib.cli.segment import (
    ClickProgress,
    add_model_options,
    add_overwrite_option,
    check_before,
    table,
    warn,
)
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.image import read_volume
from CTSAM3DLib.io.safe_write import check_writable, written_atomically
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DLib.resources import resource_path

CLICKS = "SampleData/torso_phantom_clicks.json"


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``--help``."""
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib demo",
        description="Generate a CT of a torso and segment it from stored clicks.",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("demo-output"))
    add_overwrite_option(parser)
    add_model_options(parser)
    options = parser.parse_args(argv)
    folder: Path = options.output_dir
    ct = folder / "torso_phantom.nii.gz"
    case = Case(
        ct=ct,
        clicks=(resource_path(CLICKS),),
        output=folder / "segmentation.seg.nrrd",
        picture=folder / "segmentation.png",
        report=folder / "report.json",
        title="Generated torso, segmented from the stored clicks",
    )
    check_before(case, options.overwrite)
    check_device(options.device)
    check_writable(ct)
    folder.mkdir(parents=True, exist_ok=True)
    print("generating a torso CT (nothing is downloaded)", flush=True)
    volume, truth = torso_phantom()
    write_image(ct, volume)
    model = load_model(options.model, options.device)
    with ClickProgress(sys.stderr) as progress:
        result, report = run_case(
            case, model, options.spacing, grow=options.grow, warn=warn, click_progress=progress
        )
    print(with_dice(table(result), result, truth))
    print(f"{result.settings.model_id} on {result.device}, {report['seconds']['total']:.1f} s")
    for path in (ct, *case.files.values()):
        print(f"wrote {path}")
    return 0


def write_image(path: Path, volume: Volume) -> None:
    """Write a volume as an image of any kind that SimpleITK can write, whole or not at all.

    Raises OutputFileError.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.asarray(volume.array_kji))
    origin_lps, spacing_mm, direction_lps = volume.geometry.lps()
    image.SetOrigin(origin_lps)
    image.SetSpacing(spacing_mm)
    image.SetDirection(direction_lps)
    with written_atomically(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
        try:
            read_volume(temporary)
        except VolumeError as error:  # SimpleITK tells of no full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def with_dice(text: str, result: SegmentationResult, truth: Mapping[str, NDArray[np.bool_]]) -> str:
    """Append a column to a table: Dice of each structure against the phantom's exact mask."""
    lines = text.splitlines()
    scores = [
        f"{dice(result.mask(segment.name), truth[segment.name]):.2f}"
        if segment.name in truth
        else "-"
        for segment in result.segments
    ]
    return "\n".join(
        f"{line}  {score}" for line, score in zip(lines, ["Dice", *scores], strict=True)
    )
