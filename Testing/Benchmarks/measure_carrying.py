"""Print the Dice of each frame of a breathing torso: carried on against clicks repeated.

Usage, from the root of the repository (a few minutes on one core):

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/measure_carrying.py

The clicks are those that are stored for the organs of the generated torso that move. "repeated"
asks the model in each frame with the same clicks; "carried" moves them with the mask and shows the
model the mask before.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from breathing_torso import breathing_torso

from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.resources import resource_path
from CTSAM3DLib.session import InteractiveSession
from CTSAM3DLib.session.carrying import Drift, followed_prompts
from CTSAM3DLib.session.state import SessionState

SHIFTS_MM = (0.0, -7.0, -14.0, -20.0, -7.0)
ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "pancreas", "gallbladder")


def mask_of(state: SessionState) -> MaskUpdate:
    """Return the mask of a state."""
    empty = SessionState.empty(state.geometry, state.grid)
    return state.changes_since(empty)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="id or file; default: the bundled model")
    parser.add_argument("--spacing-mm", type=float, default=3.0)
    options = parser.parse_args(argv)
    predictor = load_predictor(options.model, "cpu")
    stored = read_clicks(resource_path("SampleData/torso_phantom_clicks.json"))
    clicks = {name: prompts for name, prompts in stored.items() if name in ORGANS}
    before: dict[str, MaskUpdate] = {}
    moved = dict(clicks)
    found: dict[tuple[str, str], list[float]] = {}
    drifts: dict[str, list[bool]] = {}
    seconds = {"repeated": 0.0, "carried": 0.0}
    for number, (volume, truth) in enumerate(breathing_torso(SHIFTS_MM, options.spacing_mm)):
        shared = InteractiveSession.for_volume(volume, predictor)
        for name, prompts in clicks.items():
            started = perf_counter()
            repeated = shared.for_another_structure(prompts)
            seconds["repeated"] += perf_counter() - started
            carried = repeated
            if number > 0:
                started = perf_counter()
                geometry = volume.geometry
                carried = shared.for_another_structure()
                update = carried.carry(moved[name], before[name])
                moved[name] = followed_prompts(moved[name], before[name], update, geometry)
                seconds["carried"] += perf_counter() - started
                drift = Drift.between(before[name], update, geometry)
                drifts.setdefault(name, []).append(drift.is_suspicious)
            before[name] = mask_of(carried.state)
            for way_name, session in (("repeated", repeated), ("carried", carried)):
                score = dice(truth[name], session.mask)
                found.setdefault((name, way_name), []).append(score)
    print("| structure | way | " + " | ".join(f"{shift:g} mm" for shift in SHIFTS_MM) + " | told |")
    print("|---|---|" + "---|" * (len(SHIFTS_MM) + 1))
    for (name, way_name), scores in found.items():
        told = sum(drifts[name]) if way_name == "carried" else ""
        print(f"| {name} | {way_name} | " + " | ".join(f"{s:.3f}" for s in scores) + f" | {told} |")
    for way_name in seconds:
        means = np.mean([scores for (_, one), scores in found.items() if one == way_name], axis=0)
        print(f"| mean | {way_name} | " + " | ".join(f"{one:.3f}" for one in means) + " | |")
    print("\nSeconds in all: " + ", ".join(f"{name} {one:.0f}" for name, one in seconds.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
