"""Settings of a training run: one frozen dataclass, one JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, together with the packed data and the seed.

    Parameters
    ----------
    patch_size : int
        Edge of a cubic patch in voxels, a multiple of 16.
    batch_size : int
        Samples an iteration.
    learning_rate : float
        Peak rate; constant after the warm-up, so that a run can be prolonged.
    muon : bool
        Orthogonalised momentum for convolution kernels, AdamW for the rest; False: AdamW for all.
    muon_rate : float
        Rate of the orthogonalised updates.
    warmup : int
        Iterations of linear warm-up.
    cooldown_start, cooldown_end : int
        The rates fall linearly to 0 between these iterations; 0 for none.
    clip : float
        Largest gradient norm.
    ema : float
        Decay of the weight average that is evaluated and bundled.
    spacing_range_mm : tuple of float
        Isotropic patch spacing is drawn log-uniformly from this range.
    source_weights : dict
        How often a kind of target is drawn: ``human``, ``machine``, ``synthetic``, ``pseudo``.
    typical_synthesis : float
        Share of CT made from label maps that has the HU of its anatomies
        (`CTSAM3DLib.training.synthesis`); the rest has random contrasts.
    bend_probability : float
        Share of patches that are bent smoothly, image and target alike.
    most_bend_voxels : float
        The strength of a bend (`CTSAM3DLib.training.sampling.random_bend`) is drawn up to this.
    extra_round_probability : float
        Probability of a second decode with gradient after simulated corrections.
    most_silent_rounds : int
        Most corrections without gradient before that second decode.
    prior_probability : float
        Share of samples that start from a partly right previous mask.
    architecture : str
        ``psap``, or a control: see `CTSAM3DLib.network.segmenters.build_segmenter`.
    prompt_resize : str
        ``max``, ``area`` or ``trilinear``.
    widths, hidden
        See `CTSAM3DLib.network.lite.LiteConfig`.
    windows_hu : tuple
        HU windows of the image channels.
    seed : int
        Every random draw of iteration n depends on ``(seed, n)`` alone.

    Examples
    --------
    >>> TrainConfig.from_dict(TrainConfig(seed=3).to_dict()).seed
    3
    """

    patch_size: int = 48
    batch_size: int = 2
    learning_rate: float = 1e-3
    muon: bool = True
    muon_rate: float = 0.003
    warmup: int = 100
    cooldown_start: int = 0
    cooldown_end: int = 0
    clip: float = 5.0
    ema: float = 0.998
    spacing_range_mm: tuple[float, float] = (1.5, 4.5)
    source_weights: dict[str, float] = field(
        default_factory=lambda: {"human": 0.3, "machine": 0.35, "synthetic": 0.2, "pseudo": 0.15}
    )
    typical_synthesis: float = 0.0
    bend_probability: float = 0.0
    most_bend_voxels: float = 3.0
    extra_round_probability: float = 0.5
    most_silent_rounds: int = 4
    prior_probability: float = 0.12
    architecture: str = "psap"
    prompt_resize: str = "max"
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    hidden: int = 24
    windows_hu: tuple[tuple[float, float], ...] = ((-160.0, 240.0), (-1024.0, 1400.0))
    seed: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> TrainConfig:
        """Build from plain values, lists becoming tuples.

        Raises
        ------
        TypeError
            When a key is not a setting.
        """
        return cls(**{key: _tuples(value) for key, value in values.items()})  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """Read a JSON file."""
        return cls.from_dict(json.loads(path.read_text()))


def _tuples(value: object) -> object:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value
