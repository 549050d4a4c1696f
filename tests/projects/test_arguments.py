"""Command lines as params."""

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.cli.pairs import parse_params
from runstone.projects.arguments import is_python, parse_arguments, python_script


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train.py --lr 0.1 --name first", {"lr": 0.1, "name": "first"}),
        ("train.py --lr=0.1 --name='a b' --empty=", {"lr": 0.1, "name": "a b", "empty": ""}),
        ("train.py -x 3 -n4 -y=2 -abc", {"x": 3, "n": 4, "y": 2, "abc": True}),
        ("train.py --verbose --lr 1e-3 --cuda", {"verbose": True, "lr": 0.001, "cuda": True}),
        ("train.py --no-cuda --no-decay 0.5 --no", {"cuda": False, "no_decay": 0.5, "no": True}),
        ("train.py lr=0.1 model.depth=3 +a=1 ++b.c=null ~d", {"lr": 0.1, "model.depth": 3, "a": 1, "b.c": None}),
        ("train.py --no-cuda seed=1 --multirun lr=2 --set x=3", {"cuda": False, "seed": 1, "multirun": True, "lr": 2,
                                                                 "set": "x=3"}),
        ("train.py --a 1 --a 2 --a 3", {"a": [1, 2, 3]}),
        ("train.py --layers 64 32 --layers 8", {"layers": [64, 32, 8]}),
        ("train.py --layers 64 32 --lr 0.1 data.csv", {"layers": [64, 32], "lr": 0.1}),
        ("train.py --bias -0.5 --low -.5 --min -1e-3 --far -inf -5", {"bias": -0.5, "low": -0.5, "min": -0.001,
                                                                     "far": [float("-inf"), -5]}),
        ("train.py --learning-rate 3 --zip 00123 --yes true", {"learning_rate": 3, "zip": "00123", "yes": True}),
        ("train.py --quoted '\"1\"' --path a/b=c", {"quoted": "1", "path": "a/b=c"}),
        ("train.py --lr 1 -- --seed 2 x=3", {"lr": 1}),
        ("train.py data.csv https://x.org/?a=1 - --", {}),
        ("train.py --in - --out", {"in": "-", "out": True}),
        ("train.py -- --lr 1", {}),
        ("train.py", {}),
    ],
)  # fmt: skip
def test_arguments_are_params(line: str, expected: dict[str, Any]) -> None:
    """Options in every usual form, and `key=value`; positional arguments and what follows `--` are none."""
    assert expected == parse_arguments(["python", *shlex.split(line)])
    assert expected == parse_arguments(["./train", *shlex.split(line)[1:]])


@pytest.mark.parametrize(
    "line",
    [
        "python -u -W ignore -Xdev -O train.py --lr 1",
        "python3.11 -m pkg.train --lr 1",
        "python -um pkg.train --lr 1",
        "python -mpkg.train --lr 1",
        "/usr/bin/python -c 'import x --y 3' --lr 1",
        "python -- train.py --lr 1",
        "python --check-hash-based-pycs never train.py --lr 1",
        "C:\\Python\\python.exe train.py --lr 1",
        "./train.sh data.csv --lr 1",
        "bash -e -c 'train --x 3' --lr 1",
        "Rscript --vanilla fit.R --lr 1",
        "uv run --with pandas train.py --lr 1",
        "uv run --python 3.12 -- python -m train --lr 1",
        "env CUDA=0 torchrun --nproc_per_node 2 train.py --lr 1",
        "env LR=3 ./train --lr 1",
        "mpirun -n 4 python train.py --lr 1",
        "accelerate launch --config_file a.yaml train.py --lr 1",
        "torchrun --nproc_per_node 2 -m pkg.train --lr 1",
        "time nice -n 5 python3 -u train.py --lr 1",
        "train-model --lr 1",
    ],
)
def test_what_a_wrapper_or_interpreter_is_told_is_no_param(line: str) -> None:
    """Only what stands behind the program or the script is read."""
    assert {"lr": 1} == parse_arguments(shlex.split(line, posix="\\" not in line))


@pytest.mark.parametrize("line", ["", "python", "python -V", "python -c", "env A=1", "bash", "uv run", "time"])
def test_commands_without_arguments_of_their_own(line: str) -> None:
    """Whatever is cut short gives no params and no error."""
    assert {} == parse_arguments(line.split()) or {"V": True} == parse_arguments(line.split())


@given(st.lists(st.text(max_size=12), max_size=8))
def test_no_command_line_is_too_odd(words: list[str]) -> None:
    """Any texts at all are read without an error, and every key is text."""
    assert all(isinstance(key, str) and key for key in parse_arguments(["python", "train.py", *words]))
    parse_arguments(words)


@given(st.text(max_size=20) | st.floats().map(repr) | st.integers().map(str))
def test_values_are_typed_as_those_of_options(text: str) -> None:
    """A value is the same whether it comes by `-p key=value` or is read from the command."""
    assert repr(parse_params([f"n={text}"])) == repr(parse_arguments(["train", f"--n={text}"]))


def test_a_number_of_thousands_of_digits_stays_a_text() -> None:
    """Python would refuse to read it, and the command has long run."""
    assert "9" * 5000 == parse_arguments(["x", "--n", "9" * 5000])["n"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python -u train.py --lr 1", ("script", "train.py")),
        ("python3 -m pkg.train", ("-m", "pkg.train")),
        ("python -c pass", ("-c", "pass")),
        ("python", None),
        ("bash train.py", None),
    ],
)
def test_what_python_runs(line: str, expected: tuple[str, str] | None) -> None:
    """Script, module or code: so that a rerun can tell what a record names."""
    assert expected == python_script(line.split())


@pytest.mark.parametrize(
    ("program", "expected"),
    [("python", True), ("/opt/bin/python3.12", True), ("python.exe", True), ("pypy3", True), ("python3.13t", True),
     ("pythonista", False), ("ipython", False), ("./python.sh", False)],
)  # fmt: skip
def test_which_programs_are_python(program: str, expected: bool) -> None:
    """By the name alone, whatever its version."""
    assert expected is is_python(program)
