"""Before and after: Dice of two models after each click, on what was held out and elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.evaluation.cases import Structure
from CTSAM3DLib.evaluation.methods import ModelMethod
from CTSAM3DLib.evaluation.protocol import ClickProtocol, simulate
from CTSAM3DLib.evaluation.report import table_lines
from CTSAM3DLib.evaluation.summary import Result
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.training.learning_cases import LearningCase

CLICKS = (1, 3, 5)
BEFORE, AFTER = "before", "after"
LEARNT, OTHER = "learnt structures", "other anatomy"
MOST_WORSE = 0.01
"""Other anatomy may lose this much of mean Dice."""
LEAST_GAIN = 0.005
"""A smaller gain of mean Dice after the first click is chance."""
SHARES = (1.5, 1.25, 1.0, 0.75, 0.5, 0.25)
"""How far the model may go from the old weights towards the new ones (1), and beyond them."""
BEYOND = (1.25, 600)
"""After so many iterations it may go so far; see `furthest_share`."""
FURTHEST_BLIND = 0.75
"""It may go so far where no other patients are held out."""


@dataclass(frozen=True, eq=False)
class Question:
    """A structure that is clicked and scored."""

    volume: Volume
    structure: Structure
    seed: int = 0  # Another one has other clicks


def question(
    volume: Volume, case: str, family: str, anatomy: str, mask_kji: NDArray[np.bool_]
) -> Question:
    """Make a structure a question; `mask_kji` is (K, J, I) bool on the voxels of the volume."""
    spacing_mm = volume.geometry.spacing_mm
    return Question(volume, Structure.of(case, family, anatomy, mask_kji, spacing_mm))


def questions_of(cases: Iterable[LearningCase], family: str, most: int) -> list[Question]:
    """Return up to `most` structures of cases, as many cases as possible."""
    rounds: list[tuple[int, Question]] = []
    for case in cases:
        for number, (name, mask) in enumerate(sorted(case.masks.items())):
            rounds.append((number, question(case.volume, case.name, family, name, mask)))
    return [item for _, item in sorted(rounds, key=lambda pair: pair[0])][:most]


def asked_again(questions: Sequence[Question], most: int) -> list[Question]:
    """Ask few structures three times, from other first clicks, as long as `most` is kept."""
    times = min(3, max(1, most // max(1, len(questions))))
    return [replace(item, seed=n) for n in range(times) for item in questions]


def score(
    predictor: Predictor,
    questions: Sequence[Question],
    name: str,
    clicks: int = max(CLICKS),
    seed: int = 0,
    on_each: Callable[[], object] = lambda: None,
) -> list[Result]:
    """Click every structure with a model, on its own largest errors.

    `name` stands for the model in tables. `on_each` is called before each structure; it may raise
    to stop.
    """
    method = ModelMethod(predictor, name=name)
    results = []
    for item in sorted(questions, key=lambda q: id(q.volume)):  # patches of a CT are encoded once
        on_each()
        structure = item.structure
        # No checkpoints: surface scores are not wanted.
        protocol = ClickProtocol(seed=seed + item.seed, max_clicks=clicks, checkpoints=())
        attempt = method.start(item.volume, structure.anatomy)
        trace = simulate(attempt, structure, item.volume, protocol)
        facts = (structure.case_name, structure.family, structure.anatomy, "", name)
        results.append(Result(*facts, structure.volume_cm3, trace))
    return results


def mean_dice(results: Sequence[Result], family: str, clicks: int) -> float:
    """Return the mean Dice of a family after so many clicks; NaN without structures.

    However often a structure is asked, it counts once.
    """
    values = _dice_of(results, family, clicks)
    return float(values.mean()) if len(values) else float("nan")


def _dice_of(results: Sequence[Result], family: str, clicks: int) -> NDArray[np.float64]:
    """Return the mean Dice (N,) of each structure of a family after so many clicks."""
    found: dict[tuple[str, str], list[float]] = {}
    for r in results:
        if r.family == family:
            found.setdefault((r.case, r.anatomy), []).append(r.trace.dice_after(clicks))
    return np.array([np.mean(values) for values in found.values()])


def furthest_share(iterations: int) -> float:
    """Return how far a model may go beyond its new weights (1) where other patients are held out.

    Weights move about with the root of the iterations. After few of them, on a slow computer, they
    have come less far, and more of the same is still good. It is never less than `BEYOND` allows.

    Examples
    --------
    >>> [round(furthest_share(count), 2) for count in (1000, 600, 400, 200)]
    [1.25, 1.25, 1.53, 2.17]
    """
    share, enough = BEYOND
    return share * math.sqrt(enough / max(1, min(iterations, enough)))


def furthest_better(
    before: Sequence[Result],
    shares: Iterable[float],
    first_click: Callable[[float], Sequence[Result]],
    all_clicks: Callable[[float], Sequence[Result]],
) -> tuple[float, Sequence[Result]]:
    """Return how far a model should go towards what it has learnt, and its results there.

    `first_click` and `all_clicks` score it at one of the `shares`, on the structures of `before`.
    It is `chosen_share`; where the model is no better there after more clicks it is what would be
    chosen of the shares below, or else the last one that was tried. Returns 0 and `before` where
    the first click is nowhere better.
    """
    scored = {share: first_click(share) for share in shares}
    best, after = 0.0, before
    while further := chosen_share(before, scored):
        best, after = further, all_clicks(further)
        if verdict(before, after).is_better:
            break
        scored = {share: results for share, results in scored.items() if share < best}
    return best, after


def chosen_share(before: Sequence[Result], scored: Mapping[float, Sequence[Result]]) -> float:
    """Return how far a model should go towards what it has learnt, 0 for nowhere.

    `scored` are results after the first click by share of the way, `before` those of the model as
    it was, of the same structures. Of the shares that gain and that keep other anatomy it is the
    furthest that is as good as the best, see `furthest_as_good`.
    """
    was, others_were = _dice_of(before, LEARNT, 1), mean_dice(before, OTHER, 1)
    gains = {}
    for share, results in scored.items():
        gain = _dice_of(results, LEARNT, 1) - was
        lost = others_were - mean_dice(results, OTHER, 1)
        if gain.mean() >= LEAST_GAIN and not lost > MOST_WORSE:
            gains[share] = gain
    return furthest_as_good(gains)


def furthest_as_good(gains: Mapping[float, NDArray[np.float64]]) -> float:
    """Return the furthest share whose gains are as good as the best ones, 0 where there is none.

    `gains` are those of the same structures, (N,) float64, by share. They are as good where their
    mean is less by no more than the standard error of the difference: few scores tell little, and
    what is learnt holds for more than them. With one structure, which has no standard error, half
    of the best gain is as good.

    Examples
    --------
    >>> few = {1.0: np.array([0.0, 0.4]), 0.5: np.array([0.3, 0.2])}
    >>> many = {share: np.tile(gain, 50) for share, gain in few.items()}
    >>> furthest_as_good(few), furthest_as_good(many), furthest_as_good({})
    (1.0, 0.5, 0.0)
    >>> furthest_as_good({1.5: np.array([0.1]), 1.0: np.array([0.2]), 0.5: np.array([0.3])})
    1.0
    """
    if not gains:
        return 0.0
    best = max(gains.values(), key=lambda gain: float(gain.mean()))

    def as_good(gain: NDArray[np.float64]) -> bool:
        less = best - gain
        error = np.std(less, ddof=1) / math.sqrt(len(less)) if len(less) > 1 else best[0] / 2
        return bool(less.mean() <= error)

    return max(share for share, gain in gains.items() if as_good(gain))


@dataclass(frozen=True)
class Verdict:
    """Whether a model is better than the one it comes from."""

    gain: dict[int, float]  # Clicks to gain of mean Dice on the learnt structures
    loss: float  # Largest loss of mean Dice on other anatomy, 0 where there is none

    @property
    def is_better(self) -> bool:
        """Better after the first click, no worse after later ones, and other anatomy kept."""
        later = min(self.gain[n] for n in CLICKS)
        return self.gain[1] >= LEAST_GAIN and later > -MOST_WORSE and self.loss <= MOST_WORSE

    @property
    def text(self) -> str:
        """The verdict in one sentence."""
        gains = ", ".join(f"{self.gain[n]:+.3f}" for n in CLICKS)
        word = "better" if self.is_better else "not better"
        return (
            f"The new model is {word}: mean Dice {gains} after {CLICKS[0]}, {CLICKS[1]} and "
            f"{CLICKS[2]} clicks; other anatomy loses {self.loss:.3f} at most."
        )


def verdict(before: Sequence[Result], after: Sequence[Result]) -> Verdict:
    """Compare the results of two models on the same structures."""
    gain = {n: mean_dice(after, LEARNT, n) - mean_dice(before, LEARNT, n) for n in CLICKS}
    losses = [mean_dice(before, OTHER, n) - mean_dice(after, OTHER, n) for n in CLICKS]
    return Verdict(gain, max([0.0, *(x for x in losses if np.isfinite(x))]))


def table(before: Sequence[Result], after: Sequence[Result]) -> list[str]:
    """Return a Markdown table: means of the families, then each anatomy.

    ``n`` is how many first clicks there were; in means a structure counts once, see `mean_dice`.
    """
    head = ["structures", "n", *(f"{when} {n}" for n in CLICKS for when in (BEFORE, AFTER))]
    rows = []
    groups: list[tuple[str, str | None]] = [(LEARNT, None), (OTHER, None)]
    groups += sorted({(r.family, r.anatomy) for r in before})
    for family, anatomy in groups:
        sides = [
            [r for r in results if r.family == family and anatomy in (None, r.anatomy)]
            for results in (before, after)
        ]
        if not sides[0]:
            continue
        means = [f"{mean_dice(side, family, n):.3f}" for n in CLICKS for side in sides]
        name = family if anatomy is None else f"{family}: {anatomy}"
        rows.append([name, str(len(sides[0])), *means])
    return table_lines(head, rows)
