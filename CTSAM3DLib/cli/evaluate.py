"""Command line: ``python -m CTSAM3DLib evaluate --data DIR``."""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CTSAM3DLib.cli.options import at_least, positive
from CTSAM3DLib.cli.process import use_threads
from CTSAM3DLib.cli.segment import add_overwrite_option
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.evaluation.cases import LabelledCase, find_cases
from CTSAM3DLib.evaluation.methods import (
    MODEL,
    Method,
    ModelMethod,
    baseline_method,
    model_options,
    split_methods,
)
from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.report import markdown, save_plot, write_json
from CTSAM3DLib.evaluation.run import evaluate
from CTSAM3DLib.evaluation.simulated_user import STRATEGIES
from CTSAM3DLib.io.content_mark import BLANK, KEY, write_marked_text
from CTSAM3DLib.io.outputs import check_outputs, check_replaceable
from CTSAM3DLib.version import versions

if TYPE_CHECKING:
    from CTSAM3DLib.evaluation.summary import Result

ALL = "all"
_DEFAULT_METHODS = f"{MODEL},confidence_connected,grow_from_seeds"


def main(argv: list[str] | None = None) -> int:
    """Compare methods on labelled CTs; returns the exit code."""
    args = _parser().parse_args(argv)
    cases = find_cases(args.data, args.split, args.case_filter, args.limit_cases, args.annotations)
    cases = _with_structures(cases, args.structure_filter)
    _check_files(args, cases)
    users = STRATEGIES if args.strategy == ALL else (args.strategy,)
    protocols = [
        ClickProtocol(strategy=user, seed=args.seed, max_clicks=args.clicks) for user in users
    ]
    use_threads(args.threads)
    methods, setting = _methods(args)
    return _run(args, cases, methods, protocols, setting)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m CTSAM3DLib evaluate",
        description="Measure a model and classical methods on labelled CTs, by simulated clicks.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled cases")
    parser.add_argument("--split", default="validation", help="as in meta.json, or all")
    parser.add_argument(
        "--case-filter", type=_expression, help="regular expression in the name of a case"
    )
    parser.add_argument(
        "--structure-filter", type=_expression, help="regular expression in the name of a structure"
    )
    parser.add_argument(
        "--annotations", type=Path, help="folder with other label maps, a folder a case"
    )
    parser.add_argument("--limit", type=at_least(1), help="most structures to score")
    parser.add_argument("--limit-cases", type=at_least(1), help="most cases to read")
    parser.add_argument(
        "--methods",
        default=_DEFAULT_METHODS,
        help="with commas: model, model:FILE or model:ID for further ones, model[grow=auto], "
        "confidence_connected, grow_from_seeds, random_walker; options "
        f"as in grow_from_seeds[margin_mm=40,locality=0.1]; default: {_DEFAULT_METHODS}",
    )
    parser.add_argument(
        "--strategy",
        default=STRATEGIES[0],
        choices=(*STRATEGIES, ALL),
        help="the simulated user; all: each of them in turn, as rows of the same tables",
    )
    parser.add_argument(
        "--shared-clicks", action="store_true", help="give the first's clicks to all"
    )
    parser.add_argument("--clicks", type=at_least(1), default=10, help="clicks for each structure")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument(
        "--min-voxels", type=at_least(1), default=300, help="smaller ones are left out"
    )
    parser.add_argument("--model", help="id or file of a model; default: the bundled one")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--spacing-mm", type=positive, help="voxel size at which the model looks")
    parser.add_argument("--threads", type=at_least(1), default=1)
    parser.add_argument("--output", type=Path, help="JSON with every click and score")
    parser.add_argument("--table", type=Path, help="Markdown tables")
    parser.add_argument("--plot", type=Path, help="PNG: Dice against clicks")
    add_overwrite_option(parser)
    return parser


def _check_files(args: argparse.Namespace, cases: list[LabelledCase]) -> None:
    """Raise OutputFileError for a file that must not be written."""
    kinds = {"report": args.output, "Markdown table": args.table, "picture": args.plot}
    files = {kind: path for kind, path in kinds.items() if path is not None}
    inputs = [case.folder / "meta.json" for case in cases]
    check_outputs([files], [*inputs, *(case.labels_folder / "labels.json" for case in cases)])
    if not args.overwrite:
        check_replaceable(files.values())


def _with_structures(cases: list[LabelledCase], pattern: str | None) -> list[LabelledCase]:
    """Return the cases with the structures of a name, without the cases that have none."""
    if pattern is None:
        return cases
    names = {name for case in cases for name in case.anatomies.values()}
    chosen = {name for name in names if re.search(pattern, name)}
    if not chosen:
        raise CTSAM3DError(
            f"--structure-filter: no labelled structure has {pattern!r} in its name, of "
            f"{', '.join(sorted(names))}"
        )
    kept = (
        replace(case, anatomies={v: n for v, n in case.anatomies.items() if n in chosen})
        for case in cases
    )
    return [case for case in kept if case.anatomies]


def _expression(text: str) -> str:
    """Return a regular expression of the command line."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"expected a regular expression, got {text!r}: {error}"
        ) from error
    return text


def _methods(args: argparse.Namespace) -> tuple[list[Method], dict[str, Any]]:
    """Return the methods and what the report says about them."""
    names = split_methods(args.methods)
    if not names or len(set(names)) != len(names):
        raise CTSAM3DError(f"expected different methods, got {args.methods!r}")
    setting: dict[str, Any] = {
        "data": f"{args.data.name}, split {args.split}",
        "methods": names,
        "clicks": f"those of {names[0]} for all" if args.shared_clicks else "each method its own",
        "limit": args.limit or "none",
        "threads": args.threads,
        "versions": versions(),
    }
    methods: list[Method] = []
    for name in names:
        if re.match(rf"{MODEL}\b", name):
            other, grow = model_options(name)
            method, about = model_method(args, name, other or args.model)
            methods.append(replace(method, grow=grow))
            setting.update(about)
        else:
            baseline = baseline_method(name)
            methods.append(baseline)
            setting[name] = str(baseline.baseline)
    return methods, setting


def model_method(
    args: argparse.Namespace, name: str, model: str | None
) -> tuple[ModelMethod, dict[str, Any]]:
    """Return a model as a method, and what the report says about it."""
    from CTSAM3DLib.bundles.predictor import TorchPredictor
    from CTSAM3DLib.models.store import resolve_model

    entry = resolve_model(model)
    predictor = TorchPredictor(entry.path, args.device)
    shown = name.replace(f"{MODEL}:{model}", entry.model_id)
    method = ModelMethod(predictor, args.spacing_mm, shown)
    about = {
        method.name: entry.model_id,
        f"{method.name} sha256": entry.sha256,
        "device": f"{predictor.device}, float32",
        "model spacing": f"{args.spacing_mm:g} mm" if args.spacing_mm else "chosen by the session",
    }
    return method, about


def _run(
    args: argparse.Namespace,
    cases: list[LabelledCase],
    methods: list[Method],
    protocols: list[ClickProtocol],
    setting: dict[str, Any],
) -> int:
    # In the report, what all users have in common.
    protocol = replace(protocols[0], strategy=", ".join(p.strategy for p in protocols))
    results: list[Result] = []
    start = time.perf_counter()
    model = next((method for method in methods if isinstance(method, ModelMethod)), None)
    known = model.predictor.settings if model else None
    for user in protocols:
        stream = evaluate(
            cases, methods, user, known, args.spacing_mm, args.shared_clicks, args.min_voxels
        )
        for done, (case, found, is_last) in enumerate(stream, 1):
            name = "" if len(protocols) == 1 else f", {user.strategy}"
            results += [replace(result, method=f"{result.method}{name}") for result in found]
            limited = args.limit is not None and done >= args.limit
            print(_line(case, found, cases, done, time.perf_counter() - start), flush=True)
            if is_last or limited:
                _write(args, results, protocol, setting, complete=False)
            if limited:
                break
    if not results:
        raise CTSAM3DError(f"no labelled structure has {args.min_voxels} voxels or more")
    setting["seconds in all"] = round(time.perf_counter() - start, 1)
    _write(args, results, protocol, setting, complete=True)
    print("\n" + markdown(results, protocol, setting))
    for path in (args.output, args.table, args.plot):
        if path is not None:
            print(f"wrote {path}")
    return 0


def _write(
    args: argparse.Namespace,
    results: list[Result],
    protocol: ClickProtocol,
    setting: dict[str, Any],
    complete: bool,
) -> None:
    if args.output is not None:
        write_json(args.output, results, protocol, setting, complete)
    if args.table is not None:
        text = markdown(results, protocol, setting, complete)
        write_marked_text(args.table, f"<!-- {KEY}: {BLANK} -->\n{text}")
    if args.plot is not None and complete:
        save_plot(args.plot, results, protocol)


def _line(
    case: LabelledCase, found: list[Result], cases: list[LabelledCase], done: int, seconds: float
) -> str:
    marks = (1, 3, 5, 10)
    scores = "; ".join(
        f"{result.method} "
        + (result.trace.error or " ".join(f"{result.trace.dice_after(n):.2f}" for n in marks))
        for result in found
    )
    place = f"[{cases.index(case) + 1}/{len(cases)}]"
    return f"{place} {case.name} {found[0].anatomy}: {scores} ({done} done, {seconds:.0f} s)"
