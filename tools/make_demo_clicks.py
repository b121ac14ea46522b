"""Choose the stored clicks of the demo: a simulated user with the bundled model on the torso.

Each structure gets up to eight clicks, each at the largest error of the result before; a click that
makes the result worse is left out, and so is every one after a Dice of 0.93. Where that is not
reached, other such users try, and the best of them is taken.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from CTSAM3DLib import open_session  # noqa: E402
from CTSAM3DLib.evaluation.simulated_user import next_click  # noqa: E402
from CTSAM3DLib.geometry.overlap import dice  # noqa: E402
from CTSAM3DLib.io.clicks import write_clicks  # noqa: E402
from CTSAM3DLib.phantom import torso_phantom  # noqa: E402
from CTSAM3DLib.prompts import Click, ClickHistory  # noqa: E402

STORED = REPOSITORY / "Resources" / "SampleData" / "torso_phantom_clicks.json"
STRUCTURES = (
    "liver",
    "spleen",
    "stomach",
    "gallbladder",
    "kidney_right",
    "kidney_left",
    "heart",
    "aorta",
    "lung_right",
    "lung_left",
    "vertebrae_L1",
)
MOST_CLICKS = 8
GOOD_ENOUGH = 0.93
USERS = 10


def main() -> int:
    """Write the clicks and print the Dice of each structure; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=STORED)
    output = parser.parse_args().output
    volume, truth = torso_phantom()
    shared = open_session(volume)
    clicks = {}
    for name in STRUCTURES:
        clicks[name], score = chosen(shared, volume, truth[name])
        print(f"{name}: {len(clicks[name])} clicks, Dice {score:.3f}", flush=True)
    write_clicks(output, clicks)
    return 0


def chosen(shared, volume, truth) -> tuple[ClickHistory, float]:
    """Return the clicks of the first user who is content, or of the best one, and the Dice."""
    tries = []
    for seed in range(USERS):
        tries.append(clicked(shared, volume, truth, seed))
        if tries[-1][1] > GOOD_ENOUGH:
            return tries[-1]
    return max(tries, key=lambda one: one[1])


def clicked(shared, volume, truth, seed: int) -> tuple[ClickHistory, float]:
    """Click until nothing gets better."""
    session = shared.for_another_structure()
    rng = np.random.default_rng(seed)
    best = 0.0
    for _ in range(2 * MOST_CLICKS):
        found = next_click(truth, session.mask, volume.geometry.spacing_mm, rng)
        if found is None or best > GOOD_ENOUGH or len(session.clicks) >= MOST_CLICKS:
            break
        ijk, positive = found
        session.add_click(volume.geometry.ras_from_ijk(ijk), positive)
        score = dice(session.mask, truth)
        if score <= best:
            session.undo()
        else:
            best = score
    rounded = [
        Click(tuple(round(v, 1) for v in c.position_ras), c.positive) for c in session.clicks
    ]
    return ClickHistory(rounded), best


if __name__ == "__main__":
    sys.exit(main())
