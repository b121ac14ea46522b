"""Command line: ``python -m CTSAM3DLib train pack|cut|run|cross-patch|adapter``."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from CTSAM3DLib.cli.options import at_least, positive
from CTSAM3DLib.cli.process import keep_freed_memory
from CTSAM3DLib.io.outputs import check_replaceable
from CTSAM3DLib.io.safe_write import check_writable
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.models.folder import locked_folder


def main(argv: list[str] | None = None) -> int:
    """Pack data or train; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m CTSAM3DLib train", description="Train a model, or pack data for that."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pack_parser = commands.add_parser("pack", help="pack CTs and labels into one file")
    pack_parser.add_argument("data", type=Path, help="folder with ct/ and labels_only/")
    pack_parser.add_argument("output", type=Path, help="the .npz to write")
    pack_parser.add_argument("--split", default="train", choices=("train", "validation"))
    pack_parser.add_argument("--pseudo-cases", type=at_least(0), default=60)
    pack_parser.add_argument("--annotations", type=Path, help="folder of further label maps")
    pack_parser.add_argument("--leave-out", nargs="+", default=[], help="names of cases")
    pack_parser.add_argument("--limit", type=at_least(0), default=0, help="most cases, 0 for all")
    cut_parser = commands.add_parser("cut", help="make a packed file small, to carry it")
    cut_parser.add_argument("source", type=Path, help="packed cases")
    cut_parser.add_argument("output", type=Path, help="the .npz to write")
    cut_parser.add_argument("--megabytes", type=positive, default=60.0, help="its largest size")
    for one in (pack_parser, cut_parser):
        one.add_argument(
            "--overwrite",
            action="store_true",
            help="replace a file that is no packed data",
        )
    for name, text in (
        ("run", "train the segmenter, resuming where the run stopped"),
        ("cross-patch", "train the cross-patch predictor, resuming likewise"),
    ):
        run_parser = commands.add_parser(name, help=text)
        run_parser.add_argument("data", type=Path, help="packed training cases")
        run_parser.add_argument("run_dir", type=Path, help="folder of checkpoint and log")
        run_parser.add_argument("--iterations", type=at_least(0), required=name != "run")
        run_parser.add_argument("--validation", type=Path, help="packed validation cases")
        run_parser.add_argument("--config", type=Path, help="JSON of TrainConfig")
        run_parser.add_argument("--device", default="cpu")
        run_parser.add_argument("--threads", type=at_least(1), default=1)
        if name == "run":
            run_parser.add_argument("--start-from", type=Path, help="bundle with the first weights")
            for option, limit in (
                ("--cpu-seconds", "at this processor time"),
                ("--seconds", "this call after this time"),
                ("--total-seconds", "when the steps of all calls have taken this time"),
            ):
                run_parser.add_argument(
                    option, type=positive, default=math.inf, help=f"end {limit}"
                )
            run_parser.add_argument(
                "--cooldown-share",
                type=float,
                default=0.0,
                help="let the rates fall to 0 over this last share of --total-seconds or --seconds",
            )
            run_parser.add_argument(
                "--workers", type=int, default=0, help="processes that draw the batches"
            )
        else:
            run_parser.add_argument(
                "--segmenter", type=Path, help="bundle whose masks are learnt from"
            )
    _add_adapter(commands)
    args = parser.parse_args(argv)
    if args.command == "run":
        problem = _problem(args)
        if problem:
            parser.error(problem)
    if args.command in ("pack", "cut"):
        return _write(args)
    with locked_folder(args.run_dir, wait_s=0.0):
        return _run_adapter(args) if args.command == "adapter" else _run(args)


def _add_adapter(commands: Any) -> None:
    parser = commands.add_parser(
        "adapter", help="train what the decoder changes for a few anatomies, resuming likewise"
    )
    parser.add_argument("data", type=Path, help="folder with ct/")
    parser.add_argument("run_dir", type=Path, help="folder of its state and of adapter.pt")
    parser.add_argument(
        "--structures", type=_anatomy, nargs="+", required=True, help="names of anatomies"
    )
    parser.add_argument("--annotations", type=Path, help="folder of further label maps")
    parser.add_argument("--leave-out", nargs="+", default=[], help="names of cases")
    parser.add_argument("--start-from", help="id or bundle, default: the bundled model")
    parser.add_argument("--restart", action="store_true", help="forget what was learnt there")
    parser.add_argument("--cpu-minutes", type=positive, default=60.0, help="default 60")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=at_least(1), default=1)


def _anatomy(text: str) -> str:
    anatomy = find(text)
    if anatomy is None:
        raise argparse.ArgumentTypeError(
            f"expected a name of `python -m CTSAM3DLib anatomies`, got {text!r}"
        )
    return anatomy.name


def _problem(args: argparse.Namespace) -> str:
    """Say what is wrong with settings that belong together; empty when nothing is."""
    if args.workers < 0:
        return f"--workers: expected 0 or more processes, got {args.workers}"
    if args.workers and args.cpu_seconds < math.inf:
        return "--cpu-seconds counts this process alone: expected --workers 0 with it"
    if not 0.0 <= args.cooldown_share <= 1.0:
        return f"--cooldown-share: expected a share from 0 to 1, got {args.cooldown_share}"
    if args.cooldown_share and math.inf == args.seconds == args.total_seconds:
        return "--cooldown-share is that of a time: expected --total-seconds or --seconds as well"
    if args.iterations is None:
        if math.inf == args.seconds == args.total_seconds == args.cpu_seconds:
            return "nothing would end the run: expected --iterations or a time"
        args.iterations = 2**31
    return ""


def _write(args: argparse.Namespace) -> int:
    """Pack data, or cut what is packed."""
    from CTSAM3DLib.training.cutting import cut_pack
    from CTSAM3DLib.training.packing import is_replaceable_pack, pack

    check_writable(args.output)
    if not args.overwrite:
        check_replaceable([args.output], is_replaceable_pack)
    if args.command == "pack":
        choice = (args.split, args.pseudo_cases, args.limit, args.annotations, args.leave_out)
        header = pack(args.data, args.output, *choice)
        targets = sum(len(case["targets"]) for case in header["cases"])
        print(f"packed {len(header['cases'])} cases with {targets} targets into {args.output}")
        return 0
    header = cut_pack(args.source, args.output, args.megabytes)
    size = args.output.stat().st_size / 1e6
    print(f"kept {len(header['cases'])} cases in {args.output}, {size:.1f} MB")
    return 0


def _run(args: argparse.Namespace) -> int:
    import torch

    from CTSAM3DLib.bundles.from_training import fill_from_bundle
    from CTSAM3DLib.bundles.predictor import resolve_device
    from CTSAM3DLib.training.config import TrainConfig
    from CTSAM3DLib.training.cross_patch_trainer import CrossPatchTrainer
    from CTSAM3DLib.training.data import PackedData
    from CTSAM3DLib.training.trainer import Budget, Trainer, segmenter_of

    torch.set_num_threads(args.threads)
    keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # every batch has the same shape
    device = resolve_device(args.device)
    config = TrainConfig.read(args.config) if args.config else TrainConfig()
    # Where processes draw the batches, they share volumes in main memory.
    home = torch.device("cpu") if getattr(args, "workers", 0) else device
    coarsest_mm = config.spacing_range_mm[1]
    validation = PackedData(args.validation, home, coarsest_mm) if args.validation else None
    data = PackedData(args.data, home, coarsest_mm)
    for kind in data.never_drawn(config.source_weights):
        print(f"warning: {kind!r} targets are never drawn: no weight in source_weights", flush=True)
    if args.command == "cross-patch":
        segmenter = segmenter_of(config) if args.segmenter else None
        if segmenter is not None:
            fill_from_bundle(segmenter, args.segmenter)
        cross_patch = CrossPatchTrainer(config, data, args.run_dir, segmenter)
        cross_patch.run(args.iterations, validation)
        print(f"finished at iteration {cross_patch.iteration}; checkpoint {cross_patch.checkpoint}")
        return 0
    trainer = Trainer(config, data, args.run_dir, validation, args.start_from, device, args.workers)
    print(f"starting at iteration {trainer.iteration}", flush=True)
    budget = Budget(args.seconds, args.total_seconds, args.cpu_seconds, args.cooldown_share)
    trainer.run(args.iterations, budget=budget)
    if not budget.lasts(trainer.seconds, trainer.cpu_seconds):
        print("the time of all calls is used")
    print(f"finished at iteration {trainer.iteration}; checkpoint {trainer.checkpoint}")
    return 0


def _run_adapter(args: argparse.Namespace) -> int:
    import torch

    from CTSAM3DLib.bundles.adapters import CHANGE_FILE
    from CTSAM3DLib.bundles.from_training import adapter_for, frozen_network
    from CTSAM3DLib.bundles.predictor import resolve_device
    from CTSAM3DLib.models.store import resolve_model
    from CTSAM3DLib.training.adapting import AdapterLearner, adapter_scans, mark_of
    from CTSAM3DLib.training.lessons import LearnerConfig

    torch.set_num_threads(args.threads)
    keep_freed_memory()
    device = resolve_device(args.device)
    check_writable(args.run_dir / CHANGE_FILE)
    entry = resolve_model(args.start_from)
    network = frozen_network(entry.path, device)
    names = sorted(set(args.structures))
    scans = adapter_scans(args.data, names, entry.settings, args.annotations, args.leave_out)
    print(f"{len(names)} structures in {len(scans)} CTs", flush=True)
    size = entry.settings.patch_size
    config = LearnerConfig(
        60.0 * args.cpu_minutes,
        size if entry.settings.official else min(size, 48),  # as in `learn`
        clicks=1,
        rounds=0.6,
        hasty=0.3,
        priors=0.2,
        save_every_s=300.0,
    )
    config = replace(config, mark=mark_of(entry.sha256, scans, config))
    args.run_dir.mkdir(parents=True, exist_ok=True)
    if args.restart:
        (args.run_dir / "learner.pt").unlink(missing_ok=True)
    learner = AdapterLearner(
        network, entry.settings, scans, config, args.run_dir, clock=time.process_time
    )

    def tell(share: float, _seconds_left: float) -> None:
        if learner.iteration % 50 == 0:
            loss = sum(learner.losses[-50:]) / len(learner.losses[-50:])
            print(f"{share:.0%}: iteration {learner.iteration}, loss {loss:.3f}", flush=True)

    name, adapter = adapter_for(entry, names)
    if name and learner.begin_with(adapter):
        print(f"begins with the adapter {name} of the bundle", flush=True)
    print(f"starting at iteration {learner.iteration}", flush=True)
    learner.run(progress=tell)
    path = learner.write_change(entry.sha256)
    print(f"finished at iteration {learner.iteration}; wrote {path}")
    return 0
