"""Command line: ``python -m CTSAM3DLib export``, from a training checkpoint to a bundle."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from CTSAM3DLib.bundles.export import check_target, export_model
from CTSAM3DLib.bundles.from_training import model_from_checkpoint, round_weights
from CTSAM3DLib.bundles.model_card import read_card


def main(argv: list[str] | None = None) -> int:
    """Write the bundle next to a manifest and update the manifest; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m CTSAM3DLib export",
        description="Make a model, a bundle with its entry in a manifest, of a checkpoint of "
        "training.",
    )
    parser.add_argument("checkpoint", type=Path, help="last.pt of a training run")
    parser.add_argument("manifest", type=Path, help="models.json to update")
    parser.add_argument("--id", default="ctsam3d-lite")
    parser.add_argument(
        "--average-with",
        type=Path,
        action="append",
        default=[],
        help="last.pt of another run from the same first weights, or the bundle with these: the "
        "mean of all is exported",
    )
    parser.add_argument("--share", type=_share, help="of the first in that mean; default: equal")
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
        "--card", type=Path, required=True, help="JSON: licence, training_data[, quality]"
    )
    args = parser.parse_args(argv)
    if args.share is not None and not args.average_with:
        parser.error("--share is that of the first in a mean: expected --average-with as well")
    card = read_card(args.card)
    check_target(args.manifest, args.id)
    model = model_from_checkpoint(
        args.checkpoint, args.id, args.cross_patch, args.average_with, args.share
    )
    rounded = args.significant_bits is not None
    if rounded:
        round_weights(model, args.significant_bits)
    path = export_model(model, args.manifest, card, compressed=rounded)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB) and its entry in {args.manifest}")
    return 0


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < (value := float(text)) < 1.0:
            return value
    raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text}")
