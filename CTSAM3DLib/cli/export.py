"""Command line: ``python -m CTSAM3DLib export``, from what was trained to a bundle."""

from __future__ import annotations

import argparse
import re
from contextlib import suppress
from pathlib import Path

import torch

from CTSAM3DLib.bundles.export import check_target, export_model
from CTSAM3DLib.bundles.from_training import (
    model_from_checkpoint,
    model_with_adapters,
    round_weights,
)
from CTSAM3DLib.bundles.model_card import read_card
from CTSAM3DLib.cli.options import at_least
from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.models.store import resolve_model


def main(argv: list[str] | None = None) -> int:
    """Write the bundle next to a manifest and update the manifest; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m CTSAM3DLib export",
        description="Make a model, a bundle with its entry in a manifest, of a checkpoint of "
        "training, or of a bundle and adapters.",
    )
    parser.add_argument(
        "checkpoint", type=Path, help="last.pt of a training run; with --adapter a bundle"
    )
    parser.add_argument("manifest", type=Path, help="models.json to update")
    parser.add_argument("--id", help="name of the model; without --adapter: ctsam3d-lite")
    parser.add_argument(
        "--average-with",
        type=Path,
        action="append",
        default=[],
        help="last.pt of another run from the same first weights, or the bundle with these: the "
        "mean of all is exported",
    )
    parser.add_argument(
        "--share",
        type=_share,
        help="of the first in that mean, default: equal; with --adapter: of what adapters have "
        "learnt, default: all",
    )
    parser.add_argument(
        "--cross-patch", type=Path, help="last.pt of a cross-patch run, or a bundle with one"
    )
    parser.add_argument(
        "--significant-bits",
        type=int,
        choices=range(4, 12),
        help="round the weights to so many and compress the file; default: all 11",
    )
    parser.add_argument(
        "--adapter",
        type=_adapter,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="adapter.pt of a training run from the bundle, under this name; may be repeated",
    )
    parser.add_argument("--rank", type=at_least(1), default=4, help="of adapters, default 4")
    parser.add_argument(
        "--card", type=Path, required=True, help="JSON: licence, training_data[, quality]"
    )
    args = parser.parse_args(argv)
    if args.share is not None and not (args.average_with or args.adapter):
        parser.error("--share is that of a mean or of adapters: expected one of them as well")
    if args.adapter:
        problem = _problem(args)
        if problem:
            parser.error(problem)
        return _with_adapters(args)
    args.id = args.id or "ctsam3d-lite"
    card = read_card(args.card)
    check_target(args.manifest, args.id)
    model = model_from_checkpoint(
        args.checkpoint, args.id, args.cross_patch, args.average_with, args.share
    )
    rounded = args.significant_bits is not None
    if rounded:
        round_weights(model, args.significant_bits)
    path = export_model(model, args.manifest, card, compressed=rounded)
    return _told(path, args.manifest)


def _problem(args: argparse.Namespace) -> str:
    """Say what is wrong with options beside --adapter; empty when nothing is."""
    if args.average_with or args.cross_patch or args.significant_bits:
        return "--adapter leaves the weights of the bundle as they are: expected it alone"
    if not args.id:
        return "--adapter makes a further model: expected --id with its name"
    names = [name for name, _ in args.adapter]
    if len(set(names)) != len(names):
        return f"--adapter: expected different names, got {', '.join(names)}"
    return ""


def _with_adapters(args: argparse.Namespace) -> int:
    card = read_card(args.card)
    check_target(args.manifest, args.id)
    entry = resolve_model(args.checkpoint)
    target = args.manifest.parent / f"{args.id}.pt"
    if target.resolve() == entry.path.resolve():
        raise BundleError(
            f"{target} is the bundle to begin with: expected another folder or --id, so that it "
            "is kept"
        )
    changes, share = dict(args.adapter), args.share or 1.0
    model, adapters = model_with_adapters(entry, changes, args.rank, args.id, share)
    half = next(iter(model.parameters())).dtype == torch.float16
    if entry.variant:
        card["variant"] = entry.variant
    path = export_model(model, args.manifest, card, half=half, adapters=adapters, compressed=True)
    return _told(path, args.manifest)


def _told(path: Path, manifest: Path) -> int:
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB) and its entry in {manifest}")
    return 0


def _adapter(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not path:
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, a lower-case name, got {text!r}")
    return name, Path(path)


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < (value := float(text)) < 1.0:
            return value
    raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text}")
