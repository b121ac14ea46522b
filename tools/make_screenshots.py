"""Draw the pictures of panel and effect: the real module in the test window, on a generated CT.

Run as ``make screenshots``. Clicks are real mouse events; the window is the tests' stand-in.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "Slicer")]

from Testing import HeadlessSlicer  # noqa: E402

WAIT_S = 120.0
ORGANS = ("liver", "kidney_left", "kidney_right", "lung_left", "gallbladder")


def main() -> int:
    """Write the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output-dir", type=Path, default=REPOSITORY / "build" / "screenshots")
    folder = parser.parse_args().output_dir
    missing = HeadlessSlicer.missing()
    if missing:
        print(f"No pictures: {missing}")
        return 1
    HeadlessSlicer.start()
    from Testing.HeadlessSlicer import window

    window.create_views()
    HeadlessSlicer.load_modules(sorted((REPOSITORY / "CTSAM3D").glob("*.py")))
    studio = Studio(window)
    for name, clicks in (("effect-1-click", 1), ("effect", 5)):
        studio.effect(folder / f"{name}.png", clicks)
    studio.panel(folder / "panel.png")
    print(f"wrote {len(list(folder.glob('*.png')))} pictures to {folder}")
    HeadlessSlicer.stop()
    return 0


class Studio:
    """A scene with the generated torso, a Segment Editor and a hand."""

    def __init__(self, window: Any) -> None:
        import slicer

        from CTSAM3DLib.io.clicks import read_clicks
        from CTSAM3DLib.phantom import torso_phantom

        self._window = window
        volume, _ = torso_phantom()
        self.volume = slicer.util.addVolumeFromArray(
            volume.array_kji, volume.geometry.ijk_to_ras, "Torso (generated)"
        )
        self.volume.CreateDefaultDisplayNodes()
        display = self.volume.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(400, 40)
        self.clicks = read_clicks(REPOSITORY / "Resources/SampleData/torso_phantom_clicks.json")

    def effect(self, path: Path, count: int, name: str = "liver") -> None:
        """Click in the slice views and draw the Segment Editor."""
        import slicer
        from segmentation_case import SegmentationCase
        from view_mouse import click, xy_of

        case = SegmentationCase(self.volume)
        segmentation = case.segmentation.GetSegmentation()
        segmentation.RemoveAllSegments()
        from CTSAM3DLib.mrml import add_segment

        segment_id = add_segment(case.segmentation, name)
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        case.editor.setCurrentSegmentID(segment_id)
        picture = self._window.TestWindow(case.editor)
        case.activate("CT-SAM3D")
        for one in self.clicks[name][:count]:
            click("Red", one.position_ras, [] if one.positive else ["Control"])
            self._settle()
        for view in ("Red", "Yellow", "Green"):
            xy_of(view, self.clicks[name][0].position_ras)
        case.segmentation.CreateClosedSurfaceRepresentation()
        self._centre_3d()
        picture.picture(path)
        picture.release()
        case.close()
        slicer.mrmlScene.RemoveNode(case.segmentation)

    def panel(self, path: Path, names: tuple[str, ...] = ORGANS) -> None:
        """Segment several organs from the stored clicks and draw the panel of the module."""
        import slicer

        logic = slicer.util.getModuleLogic("CTSAM3D")
        segmentation = logic.segment(self.volume, {name: self.clicks[name] for name in names})
        representation = slicer.modules.ctsam3d.widgetRepresentation()
        representation.enter()
        widget = representation.self()
        widget._parameterNode.volume = self.volume
        widget._parameterNode.segmentation = segmentation
        self._idle(3.0)
        widget.ui.segmentsTable.selectRow(0)
        picture = self._window.TestWindow(representation, 1280, 860)
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        xy_of = importlib.import_module("view_mouse").xy_of
        for view in ("Red", "Yellow", "Green"):
            xy_of(view, self.clicks[names[0]][0].position_ras)
        segmentation.CreateClosedSurfaceRepresentation()
        self._centre_3d()
        self._idle(1.0)
        picture.picture(path)
        picture.release()
        representation.exit()

    @staticmethod
    def _centre_3d() -> None:
        """As the buttons of Slicer's 3D view that centre it and reset it, then the wheel."""
        import slicer

        view = slicer.app.layoutManager().threeDWidget(0).threeDView()
        view.resetFocalPoint()
        view.resetCamera()
        renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
        renderer.GetActiveCamera().Dolly(1.35)
        renderer.ResetCameraClippingRange()

    @staticmethod
    def _idle(seconds: float) -> None:
        import slicer

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.01)

    @staticmethod
    def _settle() -> None:
        import slicer

        controller = slicer.util.getModuleLogic("CTSAM3D").controller
        end = time.monotonic() + WAIT_S
        slicer.app.processEvents()
        while controller.busy and time.monotonic() < end:
            time.sleep(0.01)
            slicer.app.processEvents()
        slicer.app.processEvents()


if __name__ == "__main__":
    raise SystemExit(main())
