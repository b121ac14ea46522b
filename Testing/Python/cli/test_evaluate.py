"""The command: what it prints, writes and refuses."""

from __future__ import annotations

import json

import pytest
from evaluation_case import write_cases
from fake_predictor import BallPredictor

from CTSAM3DLib.cli import evaluate as command
from CTSAM3DLib.cli.main import FAILURE, main
from CTSAM3DLib.evaluation.methods import ModelMethod


@pytest.fixture
def data_folder(tmp_path):
    """Give two labelled cases (train and validation) and folders that are no cases."""
    return write_cases(tmp_path)


@pytest.fixture(autouse=True)
def no_threads(monkeypatch):
    """The command leaves the threads of this process alone."""
    monkeypatch.setattr(command, "use_threads", lambda _: None)


def test_command_writes_table_json_and_plot(data_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        command, "model_method", lambda *_: (ModelMethod(BallPredictor()), {"model": "fake"})
    )
    names = {kind: tmp_path / f"out.{kind}" for kind in ("json", "md", "png")}
    inputs = ["--data", str(data_folder), "--split", "all", "--clicks", "2"]
    outputs = ["--output", str(names["json"]), "--table", str(names["md"])]
    outputs += ["--plot", str(names["png"])]
    code = command.main([*inputs, *outputs, "--methods", "model,confidence_connected"])
    output = capsys.readouterr().out
    assert code == 0
    assert "[1/2] a__two liver: model" in output
    assert "[2/2] b__one liver: model" in output
    assert f"wrote {names['md']}" in output
    content = json.loads(names["json"].read_text())
    assert content["complete"] is True
    assert content["setting"]["model"] == "fake"
    assert {s["case"] for s in content["structures"]} == {"a__two", "b__one"}
    assert "torso, machine labels | model" in names["md"].read_text()
    assert names["png"].stat().st_size > 1000


def test_command_stops_at_the_limit(data_folder, capsys, monkeypatch):
    arguments = ["--data", str(data_folder), "--split", "all", "--clicks", "1"]
    assert command.main([*arguments, "--methods", "confidence_connected", "--limit", "1"]) == 0
    output = capsys.readouterr().out
    assert "a__two" in output
    assert "b__one" not in output


def test_structures_are_chosen_by_name(data_folder, capsys):
    words = ["--data", str(data_folder), "--split", "all", "--clicks", "1"]
    words += ["--methods", "confidence_connected", "--min-voxels", "1", "--structure-filter"]
    assert command.main([*words, "^dot"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert [line.split(":")[0] for line in lines] == ["[1/2] a__two dot", "[2/2] b__one dot"]
    assert main(["evaluate", *words, "^heart"]) == FAILURE
    assert "has '^heart' in its name, of absent, dot, liver" in capsys.readouterr().err


def test_all_simulated_users_stand_in_one_table(data_folder, tmp_path):
    table = tmp_path / "out.md"
    arguments = ["--data", str(data_folder), "--clicks", "1", "--strategy", "all"]
    arguments += ["--methods", "confidence_connected", "--table", str(table)]
    assert command.main(arguments) == 0
    for user in ("largest_error", "uniform_error", "hurried"):
        assert f"torso, human labels | confidence_connected, {user} | 1" in table.read_text()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--split", "nowhere"], "expected cases of split 'nowhere'"),
        (["--methods", "magic"], "expected a method of model"),
        (["--methods", "random_walker,random_walker"], "expected different methods"),
        (["--methods", "confidence_connected", "--min-voxels", "99999"], "no labelled structure"),
    ],
)
def test_command_names_what_is_wrong(data_folder, capsys, monkeypatch, extra, message):
    assert main(["evaluate", "--data", str(data_folder), *extra]) == FAILURE
    assert f"error: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--output", "--table", "--plot"])
def test_a_file_of_somebody_else_stays(data_folder, tmp_path, capsys, option):
    suffix = {"--output": "json", "--table": "md", "--plot": "png"}[option]
    file = tmp_path / f"mine.{suffix}"
    file.write_text("written by a person")
    words = ["evaluate", "--data", str(data_folder), "--clicks", "1", option, str(file)]
    words += ["--methods", "confidence_connected", "--limit", "1"]
    assert main(words) == FAILURE
    assert "was not written by this program" in capsys.readouterr().err
    assert file.read_text() == "written by a person"
    assert main([*words, "--overwrite"]) == 0
    assert main(words) == 0  # a file of its own is replaced


def test_no_ct_becomes_a_table(data_folder, capsys):
    ct = next(data_folder.rglob("ct.nii.gz"))
    before = ct.read_bytes()
    words = ["evaluate", "--data", str(data_folder), "--table", str(ct)]
    assert main(words) == FAILURE
    assert "Choose a name that ends with .md" in capsys.readouterr().err
    assert ct.read_bytes() == before


def test_no_label_names_become_a_report(data_folder, capsys):
    names = data_folder / "ct" / "b__one" / "labels.json"
    before = names.read_bytes()
    words = ["evaluate", "--data", str(data_folder), "--split", "all", "--overwrite"]
    assert main([*words, "--output", str(names)]) == FAILURE
    assert "is an input. Write the report to another file" in capsys.readouterr().err
    assert names.read_bytes() == before
