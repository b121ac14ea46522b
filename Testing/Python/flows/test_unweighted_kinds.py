"""Training tells which packed targets are never drawn."""

from __future__ import annotations

import json

import pytest
from packed_case import write_case

from CTSAM3DLib.cli.train import main

pytest.importorskip("torch")


@pytest.mark.parametrize(("weights", "warned"), [({"human": 1}, True), (None, False)])
def test_kinds_without_a_weight_are_named(tmp_path, capsys, weights, warned):
    write_case(tmp_path / "data" / "ct" / "one", 1)
    write_case(tmp_path / "data" / "ct" / "two", 2, origin="model-made, by human (one reader)")
    packed, config = tmp_path / "train.npz", tmp_path / "config.json"
    main(["pack", str(tmp_path / "data"), str(packed), "--pseudo-cases", "0"])
    small = {"widths": [4, 4, 8, 8, 8], "hidden": 4, "patch_size": 16}
    config.write_text(json.dumps(small | ({"source_weights": weights} if weights else {})))
    run = [str(packed), str(tmp_path / "run"), "--iterations", "0", "--config", str(config)]
    assert main(["run", *run]) == 0
    assert ("warning: 'machine' targets are never drawn" in capsys.readouterr().out) is warned
