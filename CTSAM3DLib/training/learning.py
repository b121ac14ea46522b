"""Learn from a user's corrected segmentations: cases in, a model with its report out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from CTSAM3DLib.bundles.adapters import Adapter
from CTSAM3DLib.bundles.export import check_target, export_model, write_bundle
from CTSAM3DLib.bundles.from_training import frozen_network
from CTSAM3DLib.bundles.predictor import TorchPredictor, resolve_device
from CTSAM3DLib.errors import LearningError, ModelExistsError
from CTSAM3DLib.evaluation.summary import Result
from CTSAM3DLib.io.outputs import check_replaceable
from CTSAM3DLib.io.safe_write import check_writable
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.folder import locked_folder
from CTSAM3DLib.models.manifest import MANIFEST_NAME
from CTSAM3DLib.models.store import check_new_id, resolve_model, user_models_folder
from CTSAM3DLib.models.tuning import inherited
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DLib.training.learner import Learner
from CTSAM3DLib.training.learning_cases import (
    Division,
    LearningCase,
    divide,
    find_learning_cases,
    one_patient_where_equal,
    read_learning_case,
    structures_of,
)
from CTSAM3DLib.training.learning_report import PLOT, REPORT, SCORES, LearningReport
from CTSAM3DLib.training.learning_scan import LearningScan
from CTSAM3DLib.training.learning_score import (
    AFTER,
    BEFORE,
    CLICKS,
    FURTHEST_BLIND,
    LEARNT,
    OTHER,
    SHARES,
    Question,
    Verdict,
    asked_again,
    furthest_better,
    furthest_share,
    question,
    questions_of,
    score,
)
from CTSAM3DLib.training.lessons import LearnerConfig
from CTSAM3DLib.training.precision import cpu_has_bfloat16

MOST_LEARNT, MOST_OTHER, MOST_TORSO = 12, 12, 8
TORSO, TORSO_MM = "generated torso", 3.0
CANDIDATE = "candidate.pt"


class LearningStopped(Exception):  # noqa: N818 - asked for, no error
    """The user has stopped it; it can go on later."""


@dataclass(frozen=True)
class LearningRequest:
    """What is to be learnt, from what, and what becomes of it."""

    cases: Path  # Folder or table, see `find_learning_cases`
    model_id: str  # Name of the new model
    parent: str | None = None  # Id or file of the model it begins with; None: the default
    structures: tuple[str, ...] = ()  # Names to learn; empty: all
    minutes: float = 10.0  # Of learning; scoring comes on top
    device: str = "auto"
    install_anyway: bool = False  # Also a model that is not better
    restart: bool = False  # Forget what an earlier run has learnt, also if it made a model
    work_dir: Path | None = None  # Folder of state and report; default: in the user's data
    models_dir: Path | None = None  # Folder of models; default: the user's
    patch_size: int = 0  # Edge of a learnt patch; 0: chosen by the device
    rate: float = LearnerConfig.rate
    torso: bool = True  # Keep and score a generated torso as well
    seed: int = 0
    overwrite: bool = False  # Also a report that somebody changed

    @property
    def folder(self) -> Path:
        """Folder of state and report."""
        return self.work_dir or user_models_folder().parent / "learning" / self.model_id

    @property
    def manifest(self) -> Path:
        """Manifest in which the model is listed."""
        return (self.models_dir or user_models_folder()) / MANIFEST_NAME


@dataclass(frozen=True)
class LearningProgress:
    """How far a run is."""

    stage: str  # ``reading``, ``scoring before``, ``learning``, ``choosing``, ``scoring after``
    share: float  # Of this stage, 0 to 1
    seconds_left: float | None = None  # Of learning


@dataclass(frozen=True)
class LearningOutcome:
    """What came out."""

    verdict: Verdict
    report: Path
    share: float  # How far the model went towards the new weights (1), see `furthest_share`
    installed: Path | None  # The bundle; None where the model was not installed
    iterations: int


Tell = Callable[[LearningProgress], object]


def learn(
    request: LearningRequest,
    tell: Tell = lambda _progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> LearningOutcome:
    """Run everything, or go on with a run that was stopped.

    `tell` gets the progress, `should_stop` is asked often, `clock` gives seconds. Raises
    LearningStopped: `should_stop` said so. A further call with the same request goes on;
    LearningError: no cases, no structure of these names, or the folder holds another run;
    BundleError: the model to begin with cannot be used, or the id cannot be taken; OutputFileError:
    a file cannot be written, or another run is at work in the folder.
    """
    run = _Run(request, tell, should_stop, clock)
    with locked_folder(request.folder, wait_s=0.0):
        return run.go()


class _Run:
    def __init__(
        self,
        request: LearningRequest,
        tell: Tell,
        should_stop: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self.request, self._tell, self._should_stop, self.clock = request, tell, should_stop, clock
        check_target(request.manifest, request.model_id)
        for path in (request.manifest, request.folder / REPORT):
            check_writable(path)
        if not request.overwrite:
            check_replaceable(request.folder / name for name in (REPORT, SCORES, PLOT))
        self.parent = resolve_model(request.parent)
        self._check_name()
        self.device = resolve_device(request.device)

    def go(self) -> LearningOutcome:
        request = self.request
        request.folder.mkdir(parents=True, exist_ok=True)
        self.check_stop()
        division, others = self._read()
        questions = self._questions(division, others)
        parent = self._predictor(self.parent.path)
        self.adapters = parent.adapters
        own = replace(self.parent.settings, adapters=parent.settings.adapters)
        self.parent = replace(self.parent, settings=own)  # a manifest may lack them
        before = self._score("scoring before", parent, questions, BEFORE)
        learner = self._learner(division)
        self.tell("learning", learner.share)
        finished = learner.run(
            self._should_stop, lambda share, left: self.tell("learning", share, left)
        )
        if not finished:
            raise LearningStopped
        share, after = self._choose(learner, questions, before, division.kind == "patients")
        after = [replace(result, method=AFTER) for result in after]
        report = LearningReport(
            self.parent, division, learner, tuple(before), tuple(after), share, request.folder
        )
        installed = None
        if share and (report.verdict.is_better or request.install_anyway):
            model = learner.student.cpu()
            model.settings = self._settings(learner.names)
            adapters = self._adapters(model.settings)
            installed = export_model(model, request.manifest, report.card(), adapters=adapters)
        report.write(request.model_id, installed)
        for name in (learner.state_file, request.folder / CANDIDATE):
            name.unlink(missing_ok=True)
        return LearningOutcome(
            report.verdict, request.folder / REPORT, share, installed, learner.iteration
        )

    # ---- parts

    def check_stop(self) -> None:
        if self._should_stop():
            raise LearningStopped

    def tell(self, stage: str, share: float, seconds_left: float | None = None) -> None:
        self._tell(LearningProgress(stage, share, seconds_left))

    def _check_name(self) -> None:
        name = self.request.model_id
        check_new_id(name, self.request.manifest.parent, self.request.restart)
        if self.parent.model_id == name:
            raise ModelExistsError(
                f"expected another id than that of the model to begin with, got {name!r}"
            )

    def _read(self) -> tuple[Division, list[LearningCase]]:
        """Return the division, and what else is labelled in the cases that are held out."""
        found = find_learning_cases(self.request.cases)
        cases = []
        for number, paths in enumerate(found):
            self.check_stop()
            self.tell("reading", number / len(found))
            cases.append(read_learning_case(paths))
        cases = one_patient_where_equal(cases)
        wanted = self.request.structures
        if not wanted:
            return divide(cases, self.request.seed), []
        names = structures_of(cases)
        missing = [name for name in wanted if name not in names]
        if missing:
            lacking, there = (", ".join(map(repr, some)) for some in (missing, names))
            raise LearningError(f"no case has {lacking}; choose from {there}")
        chosen = [case.only(wanted) for case in cases]
        division = divide([case for case in chosen if case.masks], self.request.seed)
        scored = {case.patient for case in division.held_out}
        rest = [n for n in names if n not in wanted]
        others = [case.only(rest) for case in cases if case.patient in scored]
        return division, others

    def _questions(self, division: Division, others: Sequence[LearningCase]) -> list[Question]:
        by_structure = division.kind == "structures"
        known = structures_of(division.learnt)
        asked = division.learnt if by_structure else [c.only(known) for c in division.held_out]
        found = asked_again(questions_of(asked, LEARNT, MOST_LEARNT), MOST_LEARNT)
        rest = [c.only([n for n in c.masks if n not in known]) for c in division.held_out]
        found += questions_of([*rest, *others], OTHER, MOST_OTHER)
        if self.request.torso:
            volume, truth = torso_phantom(TORSO_MM)
            large = sorted(truth, key=lambda name: -int(truth[name].sum()))[:MOST_TORSO]
            torso = [question(volume, TORSO, OTHER, name, truth[name]) for name in large]
            found += asked_again(torso, 3 * MOST_TORSO)  # few clicks tell little of a small loss
        return found

    def _score(
        self, stage: str, predictor: TorchPredictor, questions: Sequence[Question], name: str
    ) -> list[Result]:
        done = iter(range(len(questions)))

        def on_each() -> None:
            self.check_stop()
            self.tell(stage, next(done) / len(questions))

        # Other clicks than those of the lessons: a seed of their own.
        return score(predictor, questions, name, max(CLICKS), self.request.seed + 1, on_each)

    def _predictor(self, path: Path) -> TorchPredictor:
        return TorchPredictor(path, str(self.device))

    def _learner(self, division: Division) -> Learner:
        request, settings = self.request, self.parent.settings
        size = request.patch_size or settings.patch_size
        if not (request.patch_size or settings.official or self.device.type != "cpu"):
            size = min(size, 48)  # more lessons in the time
        config = LearnerConfig(60.0 * request.minutes, size, request.rate, seed=request.seed)
        if self.device.type == "cpu" and not cpu_has_bfloat16():  # many small steps teach more
            config = replace(config, lessons=1, clicks=1)
        others = []
        if request.torso:
            volume, truth = torso_phantom(TORSO_MM, seed=request.seed + 1)
            others = [LearningScan.of(LearningCase(TORSO, TORSO, volume, truth), settings)]
        if request.restart:
            (request.folder / "learner.pt").unlink(missing_ok=True)
        scans = [LearningScan.of(case, settings) for case in division.learnt]
        student, folder = self._network(), request.folder
        teacher = deepcopy(student)
        config = replace(config, mark=self._mark(division, config))
        return Learner(student, teacher, settings, scans, others, config, folder, clock=self.clock)

    def _network(self) -> Any:
        return frozen_network(self.parent.path, self.device)

    def _settings(self, learnt: Sequence[str]) -> ModelSettings:
        """Return those of the new model: as the parent's, without adapters for what is learnt."""
        own = inherited(self.parent.settings, self.request.model_id)
        known = {anatomy.name for anatomy in map(find, learnt) if anatomy is not None}
        kept = {name: adapter for name, adapter in own.adapters.items() if name not in known}
        return replace(own, adapters=kept)

    def _adapters(self, settings: ModelSettings) -> dict[str, Adapter]:
        return {name: self.adapters[name] for name in sorted(set(settings.adapters.values()))}

    def _mark(self, division: Division, config: LearnerConfig) -> str:
        digest = hashlib.sha256(self.parent.sha256.encode())
        digest.update(json.dumps([asdict(config), self.request.torso]).encode())
        for case in (*division.learnt, *division.held_out):
            digest.update(case.volume.array_kji.tobytes())
            for name, mask in sorted(case.masks.items()):
                digest.update(name.encode() + mask.tobytes())
        return digest.hexdigest()

    def _choose(
        self, learner: Learner, asked: Sequence[Question], before: Sequence[Result], held_out: bool
    ) -> tuple[float, Sequence[Result]]:
        """Return how far the model goes, less far without `held_out` patients, and its scores."""
        learnt = learner.learnt()
        furthest = furthest_share(learner.iteration) if held_out else FURTHEST_BLIND
        shares = [share for share in SHARES if share <= furthest]

        def predictor(share: float) -> TorchPredictor:
            learner.put(learnt)
            return self._predictor(self._candidate(learner, share))

        def first_clicks(share: float) -> list[Result]:
            self.tell("choosing", shares.index(share) / len(shares))
            seed = self.request.seed + 1
            return score(predictor(share), asked, "", 1, seed, self.check_stop)

        def all_clicks(share: float) -> list[Result]:
            return self._score("scoring after", predictor(share), asked, AFTER)

        best, after = furthest_better(before, shares, first_clicks, all_clicks)
        if not best and self.request.install_anyway:
            return shares[-1], all_clicks(shares[-1])
        return best, after

    def _candidate(self, learner: Learner, share: float) -> Path:
        """Write the model at a share as a bundle; the learner then stands there."""
        learner.set_share(share)
        path = self.request.folder / CANDIDATE
        network = self._network().cpu()
        own = network.segmenter.state_dict()
        own.update({k: v.cpu() for k, v in learner.student.segmenter.state_dict().items()})
        network.segmenter.load_state_dict(own)
        # Voxel sizes and weights of rules are looked up by the parent's id.
        adapters = self._settings(learner.names).adapters
        network.settings = replace(self.parent.settings, adapters=adapters)
        write_bundle(network, path, adapters=self._adapters(network.settings))
        return path
