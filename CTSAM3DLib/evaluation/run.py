"""Go through cases, structures and methods, telling what is found as it is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from CTSAM3DLib.evaluation.cases import LabelledCase, load_case, structures_of
from CTSAM3DLib.evaluation.methods import Method
from CTSAM3DLib.evaluation.protocol import ClickProtocol, Trace, simulate
from CTSAM3DLib.evaluation.summary import Result
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.session.patches import choose_spacing_mm

_USUAL = ModelSettings("none", 64, (1.5, 4.0), 2.0, ((-160.0, 240.0),))  # when no model runs


def evaluate(
    cases: Sequence[LabelledCase],
    methods: Sequence[Method],
    protocol: ClickProtocol,
    settings: ModelSettings | None = None,
    spacing_mm: float | None = None,
    shared_clicks: bool = False,
    min_voxels: int = 300,
) -> Iterator[tuple[LabelledCase, list[Result], bool]]:
    """Measure every method on every labelled structure.

    After each structure it yields the case, one result for each method, and whether it was the
    case's last. `settings` decide what is larger than a patch; `spacing_mm` is the voxel size for
    the model. Structures below `min_voxels` are left out. Each method is corrected on its own
    mistakes after a common first click; with `shared_clicks` the first method is, and the others
    get its clicks. Raises VolumeError, GeometryError when a case cannot be read.
    """
    for case in cases:
        volume, labels = load_case(case)
        patch_mm = patch_extent_mm(volume, settings, spacing_mm)
        structures = structures_of(case, volume, labels, min_voxels)
        for number, structure in enumerate(structures, 1):
            traces: list[Trace] = []
            for method in methods:
                attempt = method.start(volume, structure.anatomy)
                again = shared_clicks and traces
                clicks = [step.click for step in traces[0].steps] if again else None
                traces.append(simulate(attempt, structure, volume, protocol, clicks))
            size_class = structure.size_class(patch_mm)
            results = [
                Result(
                    case=case.name,
                    family=case.family,
                    anatomy=structure.anatomy,
                    size_class=size_class,
                    method=method.name,
                    volume_cm3=structure.volume_cm3,
                    trace=trace,
                )
                for method, trace in zip(methods, traces, strict=True)
            ]
            yield case, results, number == len(structures)


def patch_extent_mm(
    volume: Volume, settings: ModelSettings | None, spacing_mm: float | None
) -> float:
    """Return the edge of one patch of the model in this volume, mm."""
    usual = settings or _USUAL
    return usual.patch_size * choose_spacing_mm(volume.geometry, usual, spacing_mm)
