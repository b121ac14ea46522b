"""Build whole models from sizes: the one place where parts are put together."""

from __future__ import annotations

from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.network.cross_patch import ContinuationPredictor
from CTSAM3DLib.network.lite import LiteConfig, LiteSegmenter
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import OfficialConfig
from CTSAM3DLib.network.segmenters import ConcatSegmenter

LITE_WINDOWS_HU = ((-160.0, 240.0), (-1024.0, 1400.0))
OFFICIAL_WINDOW_HU = ((-125.0, 225.0),)


def build_lite(
    config: LiteConfig | None = None,
    model_id: str = "ctsam3d-lite",
    patch_size: int = 64,
) -> PromptableModel:
    """Build our own network with random weights, in evaluation mode.

    `patch_size` is the edge of a patch in voxels. The attribute ``settings`` of the model belongs
    into the bundle.
    """
    segmenter = LiteSegmenter(config or LiteConfig())
    return build_promptable(segmenter, model_id, patch_size, LITE_WINDOWS_HU)


def build_promptable(
    segmenter: LiteSegmenter | ConcatSegmenter | OfficialSegmenter,
    model_id: str,
    patch_size: int,
    windows_hu: tuple[tuple[float, float], ...],
) -> PromptableModel:
    """Build the model round a segmenter that was trained here, in evaluation mode.

    Each HU window is one input channel; `build_lite` has the other arguments. The cross-patch
    predictor has random weights.
    """
    settings = ModelSettings(
        model_id, patch_size, (1.5, 4.0), 2.5, windows_hu, cross_patch_aligned=True
    )
    cross_patch = ContinuationPredictor(len(windows_hu))
    # The finest map of the official architecture is at 1/4; elsewhere it is the last one, whole.
    finest = (0, 4) if isinstance(segmenter, OfficialSegmenter) else (-1, 1)
    return PromptableModel(segmenter, cross_patch, settings, *finest).eval()


def build_official(config: OfficialConfig, model_id: str) -> PromptableModel:
    """Build an official network with random weights, in evaluation mode.

    It has the official window, spacing of 1.5 mm and click quirks. Raises ValueError when the
    configuration has no cross-patch predictor.
    """
    segmenter = OfficialSegmenter(config)
    if not config.cross_patch_widths:
        raise ValueError("expected a configuration with cross-patch widths, got none")
    settings = ModelSettings(model_id, 64, (1.5, 1.5), 1.5, OFFICIAL_WINDOW_HU, official=True)
    # Its finest map is at 1/4.
    return PromptableModel(segmenter, segmenter.cpp_predictor, settings, 0, 4).eval()
