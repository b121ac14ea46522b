"""Reports: table, JSON and plot."""

from __future__ import annotations

import json

import pytest
from evaluation_case import trace_of

from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.report import markdown, save_plot, write_json
from CTSAM3DLib.evaluation.summary import Result


@pytest.fixture
def results():
    return [
        Result("c", "torso, human labels", "liver", "medium", "model", 9.0, trace_of(0.5, 0.75)),
        Result("c", "torso, human labels", "liver", "medium", "walker", 9.0, trace_of(0.25)),
        Result("d", "head, machine labels", "eye", "small (< 5 cm3)", "model", 1.0, trace_of(1.0)),
    ]


def test_markdown_has_each_group_once(results):
    protocol = ClickProtocol(max_clicks=2, checkpoints=(1, 2))
    text = markdown(results, protocol, {"device": "cpu", "versions": {"numpy": "2"}}, False)
    assert "Not finished" in text
    assert "- versions: numpy 2" in text
    assert "| torso, human labels | model | 1 | 0.500 | 0.750 | 0.250 | 0.375 |" in text
    assert "| head, machine labels: eye | model | 1 | 1.000 | 1.000 |" in text
    assert "| 1.00 | - | 0 |" in text  # no second click, no time
    assert text.count("| torso, human labels: medium | walker |") == 1
    table_rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in table_rows} == {14, 7}
    assert "| torso, human labels | model | 0.0000 | 0 | 0 | 0 |" in text


def test_json_is_strict_and_complete(results, tmp_path):
    path = tmp_path / "new" / "out.json"
    write_json(path, results, ClickProtocol(max_clicks=2), {"seed": 1}, complete=True)

    def refuse(text):
        raise AssertionError(text)

    content = json.loads(path.read_text(), parse_constant=refuse)
    assert content["complete"] is True
    assert content["protocol"]["tolerance_mm"] == 2.0
    assert [s["anatomy"] for s in content["structures"]] == ["liver", "liver", "eye"]
    assert content["structures"][0]["steps"][1] == {
        "position_ras": [68.0, 56.0, 60.0],
        "positive": True,
        "seconds": 1.0,
        "dice": 0.75,
        "nsd": 0.375,
        "obeyed": True,
    }
    rows = content["means"]["case family"]["torso, human labels"]
    assert [row["method"] for row in rows] == ["model", "walker"]
    assert rows[1]["next_click_s"] is None


def test_plot_shows_one_panel_for_each_family(results, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    save_plot(tmp_path / "plot.png", results, ClickProtocol(max_clicks=2))
    pixels = image.imread(tmp_path / "plot.png")
    assert pixels.shape[1] > 1.8 * pixels.shape[0]
    assert pixels[..., :3].std() > 0.05
