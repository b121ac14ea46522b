"""``python -m CTSAM3DLib batch``: many CTs listed in a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from CTSAM3DLib.batch.batch import PAGE_NAME, REPORT_NAME, TABLE_NAME, BatchRun
from CTSAM3DLib.batch.case import load_model
from CTSAM3DLib.batch.table import BatchCase, read_table
from CTSAM3DLib.cli.options import check_device
from CTSAM3DLib.cli.segment import add_model_options, add_recompute_option
from CTSAM3DLib.io.outputs import check_outputs
from CTSAM3DLib.models.store import resolve_model


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib batch",
        description="Segment the CTs of a table. A further run continues where this one stopped. "
        "It keeps results that were changed since, for example by hand in Slicer.",
    )
    parser.add_argument("table", type=Path, help="CSV with the columns ct,clicks[,output]")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for all results")
    parser.add_argument(
        "--overwrite", action="store_true", help="run all cases again; replace changed results too"
    )
    parser.add_argument("--no-pictures", action="store_true", help="write no PNG")
    parser.add_argument("--nifti", action="store_true", help="write NIfTI label maps as well")
    parser.add_argument(
        "--dicom-seg", action="store_true", help="write DICOM SEGs as well; the CTs must be DICOM"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip what an earlier run finished without reading its results again, which takes "
        "long in a large batch; results that were damaged or changed since are not seen",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, default=0, metavar="N", help="share the cases among N processes"
    )
    where.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="of a Dask cluster: tcp://host:8786"
    )
    parser.add_argument(
        "--memory-limit",
        default="auto",
        metavar="SIZE",
        help="of each of the --workers, such as 8GB (default: an equal share)",
    )
    add_recompute_option(parser)
    add_model_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; 1 when a case failed."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.workers < 0:
        parser.error(f"--workers: expected 0 (this process alone) or more, got {options.workers}")
    if not options.scheduler:  # else it is that of other computers
        check_device(options.device)
    from tqdm import tqdm

    cases = read_table(
        options.table,
        options.output_dir,
        not options.no_pictures,
        _warn,
        label_maps=options.nifti,
        dicom_segs=options.dicom_seg,
        recompute=options.recompute,
    )
    names = {"report": REPORT_NAME, "table": TABLE_NAME, "page": PAGE_NAME}
    reports = {kind: options.output_dir / name for kind, name in names.items()}
    inputs = [path for item in cases for path in item.case.inputs]
    outputs = [item.case.files for item in cases if not item.error]
    check_outputs([*outputs, reports], [options.table, *inputs])
    sha256 = resolve_model(options.model).sha256
    settings: dict[str, Any] = {"model": options.model or "default", "sha256": sha256}
    if options.recompute:
        settings["recompute"] = True
    run = BatchRun(
        options.output_dir,
        lambda: load_model(options.model, options.device),
        settings,
        options.spacing,
        overwrite=options.overwrite,
        grow=options.grow,
        warn=_warn,
        resume=options.resume,
    )
    try:
        # Shown on a terminal.
        with tqdm(total=len(cases), unit="case", file=sys.stderr, disable=None) as bar:
            for entry in _entries(run, cases, options):
                error = f": {entry['error']}" if "error" in entry else ""
                tqdm.write(f"{entry['status']:<8}{entry['case']}{error}", file=sys.stdout)
                bar.update()
    finally:
        if run.entries:
            run.finish()
    counts = [entry["status"] for entry in run.entries.values()]
    kinds = ["done", "skipped", "failed", *(["kept"] if "kept" in counts else [])]
    summary = ", ".join(f"{counts.count(kind)} {kind}" for kind in kinds)
    print(f"{len(counts)} case{'s' * (len(counts) != 1)}: {summary}")
    print(f"wrote {reports['report']}, {TABLE_NAME} and {PAGE_NAME}")
    return 1 if run.failed else 0


def _entries(
    run: BatchRun, cases: Sequence[BatchCase], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Run the cases here, or on the processes that the options name."""
    if options.workers < 1 and not options.scheduler:
        yield from map(run.run, cases)
        return
    from CTSAM3DLib.batch.cluster import WorkerModel, connected, run_on_cluster

    model = WorkerModel((options.model, options.device), load_model)
    with connected(options.scheduler, options.workers, options.memory_limit) as client:
        print(f"dashboard: {client.dashboard_link}", file=sys.stderr, flush=True)
        yield from run_on_cluster(run, cases, client, model)


def _warn(text: str) -> None:
    """Print why a result may be wrong, without disturbing the progress bar."""
    from tqdm import tqdm

    tqdm.write(f"warning: {text}", file=sys.stderr)
