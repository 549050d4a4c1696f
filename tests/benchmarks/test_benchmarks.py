"""The benchmarks run and give figures; how good the figures are is not asked here."""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import workload
from tests.benchmarks.measure import Report, interleave
from tests.benchmarks.setting import Setting, random_file
from tests.benchmarks.worker import Unavailable, Worker

SERVED = ("one row, 4 connections", "one row, 32 connections", "a thousand rows")
NEEDED = {
    "package": ("sklearn",),
    "predict": ("sklearn", "cloudpickle", "pyarrow"),
    "serve": ("sklearn", "cloudpickle", "uvicorn", "httptools", "uvloop", "orjson", "prometheus_client"),
}
"""What a benchmark imports that the plain test command does not install."""


@pytest.mark.parametrize(
    ("name", "certain"),
    [
        ("imports", []),
        ("index", ["runs in the index"]),
        ("registry", []),
        ("log", ["kept of 500 calls after kill -9"]),
        ("run", []),
        ("package", []),
        ("predict", []),
        ("plugin", []),
        ("search", []),
        ("serve", [f"runstone serve: {what}, plain: answers that are no 200, or none" for what in SERVED]),
        ("snapshot", []),
        ("size", ["bytes a run, packed"]),
        ("sync", ["runs lost, doubled or out of line, or complaints of git fsck --strict"]),
        ("writers", ["runs lost", "complaints of git fsck --strict"]),
    ],
)
def test_a_quick_benchmark_gives_figures_and_bounds(name: str, certain: list[str], tmp_path: Path) -> None:
    """Each cheap benchmark runs in its quick form; bounds that are no matter of speed are met at any size."""
    missing = [module for module in NEEDED.get(name, ()) if find_spec(module) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    report = benchmarks.measure(name, Setting(tmp_path, quick=True, peers=False))
    if "all" in report.skipped:
        pytest.skip(report.skipped["all"])
    assert all(sample > 0 for series in report.series for sample in series.samples)
    assert all(math.isfinite(bound.figure) for bound in report.bounds)
    assert dict.fromkeys(certain, True) == {b.what: b.is_met for b in report.bounds if b.what in certain}


@pytest.mark.parametrize("kind", ["mlflow", "sacred", "trackio"])
def test_a_peer_tracks_what_we_track(kind: str, tmp_path: Path) -> None:
    """Each peer that is installed does the same work as ours: calls in one run, and whole runs."""
    setting = Setting(tmp_path, quick=True)
    try:
        worker = Worker(setting, kind, setting.new_folder(kind))
    except Unavailable as error:
        pytest.skip(str(error))
    with worker:
        assert [3, 2] == [len(worker("log", 3, 1)), len(worker("track", 2))]


def test_the_figures_are_printed_and_written_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a table of one benchmark, writes the same as JSON, and leaves no scratch folder behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    file = tmp_path / "figures.json"
    assert 0 == benchmarks.main(["index", "--quick", "--alone", "--json", str(file), "--folder", str(scratch)])
    found = json.loads(file.read_text())["benchmarks"]["index"]
    assert ["index from nothing", "after one new run"] == [series["who"] for series in found["series"]]
    assert "index from nothing" in capsys.readouterr().out
    assert [] == list(scratch.iterdir())


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is no benchmark ends the command with the names there are."""
    with pytest.raises(SystemExit):
        benchmarks.main(["speed"])
    assert "no benchmark 'speed'; there are log, run," in capsys.readouterr().err


def test_stripping_removes_what_tracks_and_keeps_the_rest() -> None:
    """Statements that use the tracker, or what was got from it, go; the bodies of its `with` blocks stay."""
    script = """
api = importlib.import_module("runstone")
client = api.Client()
for depth in (3, 5):
    with api.start_run() as run:
        model = fit(depth)
        api.log_metric("error", error(model))
        with open("plot.png", "w") as file:
            file.write(plot(model))
        if depth == 3:
            print(depth)
            api.set_tag("depth", 3)
    api.end_run()
best = client.search_runs()[0]
print(best.info.run_id)
if best:
    client.delete_run(best)
"""
    assert workload.strip(script).splitlines() == [
        "for depth in (3, 5):",
        "    model = fit(depth)",
        "    with open('plot.png', 'w') as file:",
        "        file.write(plot(model))",
        "    if depth == 3:",
        "        print(depth)",
    ]


def test_the_stripped_workload_knows_no_tracker() -> None:
    """Our own workload, stripped, still trains and plots, and names no tracker."""
    text = workload.strip(workload.DEFAULT.read_text())
    compile(text, "plain.py", "exec")
    assert [] == [word for word in ("api.", "flavor", "client", "import_module", "start_run") if word in text]
    assert {"forest.fit(", "savefig("} == {word for word in ("forest.fit(", "savefig(") if word in text}


def test_a_report_compares_and_judges() -> None:
    """A report divides each median by the one it is compared with, and says of each bound whether it is met."""
    report = Report("Speed")
    report.add("ours", [0.001, 0.002, 0.003])
    report.add("theirs", [0.010], against="ours")
    report.at_most("ours", 2, 1, "ms")
    report.at_least("times", 5, 5)
    report.skipped["other"] = "not installed"
    assert report.format().splitlines() == [
        "Speed",
        "=====",
        "          median  least  samples  ratio",
        "  ours      2 ms   1 ms        3      1",
        "  theirs   10 ms  10 ms        1      5",
        "",
        "  bound  figure   limit        ",
        "  ours     2 ms  ≤ 1 ms  MISSED",
        "  times       5     ≥ 5     met",
        "  without other: not installed",
    ]


def test_contenders_take_turns_in_alternating_order() -> None:
    """Each round asks everybody once, and the next one in the opposite order, so that no one always comes second."""
    order: list[str] = []

    def contender(who: str) -> float:
        order.append(who)
        return float(len(order))

    samples = interleave({"a": lambda: contender("a"), "b": lambda: contender("b")}, 2)
    assert ["a", "b", "b", "a"] == order
    assert {"a": [1.0, 4.0], "b": [2.0, 3.0]} == samples


def test_random_files_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """A file of a seed always has the same bytes, another seed's has others, and no two blocks are equal."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        random_file(tmp_path / name, (8 << 20) + 5, seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert (8 << 20) + 5 == len(a)
    assert a == b
    assert a != c
    assert a[: 4 << 20] != a[4 << 20 : 8 << 20]
