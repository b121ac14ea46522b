"""From a click to the displayed segment in Slicer, part by part.

Runs the module on Slicer's own core, off screen (`Testing/HeadlessSlicer`), with the bundled model.
Run by `make bench`; alone, from the root of the repository:

    PYTHONPATH=. .venv/bin/python Testing/Benchmarks/bench_segment_write.py [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import numpy as np
from measuring import RESULTS, SPACING_MM, generated_ct, hardware, seconds_of, table

from CTSAM3DLib.models.contract import Predictor
from Testing import HeadlessSlicer

SHAPE, QUICK_SHAPE = (400, 512, 512), (48, 64, 64)
ORGAN_MM = (60.0, 60.0, 75.0)
OFFSETS_MM = [(0, 0, 0), (8, 3, 5), (-9, 4, -6), (3, -10, 8), (-5, 9, 10), (11, 6, -9)]
DECODE = "decode"
PARTS = (
    "encode",
    DECODE,
    "resample, blend, changed box",
    "ask (checks, digest)",
    "state for undo",
    "Slicer changes the labelmap",
    "rest of writing",
    "check what was written (digest)",
    "slice views drawn",
)
Times = dict[str, float]


class Clock:
    """Adds up the time in functions that are replaced by timed ones."""

    def __init__(self) -> None:
        self.ms: Times = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time added to a name."""

        def run(*arguments: Any, **named: Any) -> Any:
            started = perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.ms[name] = self.ms.get(name, 0.0) + 1000 * (perf_counter() - started)

        return run

    @contextmanager
    def watching(self, controller: Any) -> Iterator[None]:
        """Time the parts of writing an answer."""
        from CTSAM3DModuleLib.editing import target as targets
        from CTSAM3DModuleLib.editing.fingerprints import Fingerprints

        from CTSAM3DLib.mrml import writing

        plan, known, undo = writing.Plan, Fingerprints, controller.undo
        with (
            mock.patch.object(plan, "modify", self.timed("modify", plan.modify)),
            mock.patch.object(known, "remember", self.timed("remember", known.remember)),
            mock.patch.object(undo, "save", self.timed("undo", undo.save)),
            mock.patch.object(targets, "mask_digest", self.timed("digest", targets.mask_digest)),
            mock.patch.object(targets, "write_segment", self.timed("write", targets.write_segment)),
        ):
            yield


class Workplace:
    """A volume, a segmentation and the module's controller, without timers."""

    def __init__(self, shape_kji: tuple[int, int, int]) -> None:
        import slicer

        self.slicer = slicer
        self.ct = generated_ct(
            shape_kji, [min(a, 0.3 * b) for a, b in zip(ORGAN_MM, shape_kji[::-1], strict=True)]
        )
        slicer.mrmlScene.Clear()
        self.volume = slicer.util.addVolumeFromArray(
            self.ct.array_kji, self.ct.geometry.ijk_to_ras, "CT"
        )
        self.volume.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.logic = slicer.util.getModuleLogic("CTSAM3D")
        self.node = self.logic.editorNode()
        self.node.SetAndObserveSegmentationNode(self.segmentation)
        self.node.SetAndObserveSourceVolumeNode(self.volume)
        self.node.SetOverwriteMode(self.node.OverwriteNone)
        self.controller = self.logic.controller

    def target(self, name: str) -> Any:
        """Return a new, empty segment as the target of clicks."""
        from CTSAM3DModuleLib.editing.target import EditTarget

        self.segmentation.GetSegmentation().AddEmptySegment(name, name)
        return EditTarget(self.segmentation, name, self.volume, self.node)

    def fill(self, name: str, mask: np.ndarray) -> None:
        """Write a whole mask, as an import or a simple program does."""
        self.slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), self.segmentation, name, self.volume
        )

    def click(self, target: Any, offset: Sequence[float], positive: bool = True) -> Times:
        """Click near the middle and return the time of each part, in ms."""
        clock, outcomes = Clock(), []
        middle = (np.array(self.ct.geometry.size_ijk) - 1) / 2 * SPACING_MM
        reach = middle - 2
        position = middle + np.clip(offset, -reach, reach)
        self.controller.finished.append(outcomes.append)
        with clock.watching(self.controller):
            ask = seconds_of(lambda: self._ask(target, position, positive))
            while not outcomes:  # another task may end before the answer is there
                self.controller.engine.wait(60.0)
                clock.ms.pop("digest", None)
                drain = seconds_of(self.controller.drain)
        self.controller.finished.remove(outcomes.append)
        draw = seconds_of(self._draw)
        answer = outcomes[0].answer
        if answer is None:
            raise RuntimeError(f"no answer: {outcomes[0].error}")
        ms = {**dict.fromkeys(("digest", "remember", "undo", "modify", "write"), 0.0), **clock.ms}
        resample = answer.timings_ms.get("resample_ms", 0.0)
        return dict(
            zip(
                PARTS,
                (
                    answer.timings_ms.get("encode_ms", 0.0),
                    answer.timings_ms.get("decode_ms", 0.0),
                    resample,
                    1000 * ask,
                    ms["undo"],
                    ms["modify"],
                    ms["write"] - ms["undo"] - ms["modify"],
                    1000 * drain - ms["write"],
                    1000 * draw,
                ),
                strict=True,
            )
        )

    def _ask(self, target: Any, position: Sequence[float], positive: bool) -> None:
        from CTSAM3DLib.engine import ModelChoice
        from CTSAM3DLib.mrml import click_from_world_ras

        click = click_from_world_ras(position, target.volume_node, positive)
        prompts = self.controller.prompts(target).added(click)
        self.controller.put(target, prompts, ModelChoice())

    def _draw(self) -> None:
        self.slicer.app.processEvents()
        self.slicer.util.forceRenderAllViews()


def large_mask(shape_kji: tuple[int, int, int]) -> np.ndarray:
    """Return an ellipsoid that fills a third of the volume."""
    axes = [((np.arange(size) - (size - 1) / 2) / (0.43 * size)) ** 2 for size in shape_kji]
    return np.asarray(axes[0][:, None, None] + axes[1][:, None] + axes[2] < 1)


def warm_up(predictor: Predictor) -> None:
    """Load the model and make the plans and buffers of PyTorch."""
    patch = np.zeros((predictor.settings.patch_size,) * 3, np.float32)
    for _ in range(2):
        embedding = predictor.encode(patch)
        predictor.decode(embedding, np.array([[9, 9, 9]], np.float32), np.array([1]), None)


def measured(shape_kji: tuple[int, int, int], clicks: int) -> tuple[dict[str, Times], str]:
    """Return the times of three kinds of clicks, and of the naive way, by name."""
    place = Workplace(shape_kji)
    organ = place.target("organ")
    place.logic.engine.run(warm_up).result()
    first = place.click(organ, OFFSETS_MM[0])
    later = [place.click(organ, offset) for offset in OFFSETS_MM[1:clicks]]
    large, mask = place.target("large"), large_mask(shape_kji)
    place.fill("large", mask)
    place.click(large, OFFSETS_MM[0], positive=False)  # takes the mask over, once
    on_large = [place.click(large, offset, positive=False) for offset in OFFSETS_MM[1:clicks]]
    naive = 1000 * seconds_of(lambda: place.fill("large", mask))
    columns = {
        "first click": first,
        "later click": _best(later),
        f"click on a segment of {mask.sum() / 1e6:.0f} million voxels": _best(on_large),
    }
    return columns, f"{naive:.0f} ms"


def _best(times: Sequence[Times]) -> Times:
    return {part: min(one[part] for one in times) for part in PARTS}


def report(columns: dict[str, Times], naive: str, shape_kji: Sequence[int]) -> str:
    """Return the text of results/segment-write.md."""
    import torch

    rows = [[part, *[f"{times[part]:.0f}" for times in columns.values()]] for part in PARTS]
    rows.append(["all", *[f"{sum(times.values()):.0f}" for times in columns.values()]])
    worst = {
        name: max((times[part] / times[DECODE], part) for part in PARTS[2:])
        for name, times in columns.items()
        if times[DECODE] > 0
    }
    lines = [
        f"- **{name}**: the dearest part beside the model is *{part}*, {ratio:.2f} of the decode."
        for name, (ratio, part) in worst.items()
    ]
    # In a very small volume, one click outside may leave nothing of the segment.
    lines += [f"- **{name}**: nothing was left to decode." for name in columns if name not in worst]
    size = " x ".join(map(str, shape_kji[::-1]))
    kept = all(ratio <= 1 for ratio, _ in worst.values())
    bar = "is kept" if kept else "is missed"
    reading = "\n".join(lines)
    return f"""# From a click to the displayed segment

Made by `make bench` (bench_segment_write.py): {hardware(torch.get_num_threads())},
bundled model, {size} voxels of 0.7 x 0.7 x 1 mm. Slicer's own core off screen, views drawn in
software; in ms, of later clicks the best of five. The bar "no part costs more than the decode, once
the volume is open" {bar}.

{reading}
- Writing the labelmap of the whole volume instead, as a simple program would, takes {naive}.

{table(["part, ms", *columns], rows)}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write results/segment-write.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small volume; numbers mean nothing")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    missing = HeadlessSlicer.missing()
    if missing:
        print(f"left out: {missing}")
        return 0
    HeadlessSlicer.start()
    from Testing.HeadlessSlicer import window

    window.create_views()
    HeadlessSlicer.load_modules(sorted(Path("CTSAM3D").glob("*.py")))
    shape = QUICK_SHAPE if options.quick else SHAPE
    text = report(*measured(shape, 2 if options.quick else 6), shape)
    print(text)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "segment-write.md").write_text(text, encoding="utf-8")
    HeadlessSlicer.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
