"""Command lines as params: what stands behind a program or script, read as most argument parsers would.

Nobody can know how a program reads its arguments, so the rules are few and stand in `parse_arguments`. What a wrapper
or an interpreter is told is not what the experiment is told: those arguments are left out.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from runstone.records.scalar import is_number, parse_scalar

_PYTHON = re.compile(r"(?:python|pypy)w?[0-9.]*t?")
_INTERPRETERS = frozenset("bash dash julia ksh lua node octave perl rscript ruby sh zsh".split())
_LAUNCHERS = frozenset(
    "accelerate conda coverage deepspeed env hatch ionice kernprof mamba micromamba mpiexec mpirun nice nohup numactl "
    "pdm pipenv pixi poetry rye srun stdbuf taskset time timeout torchrun uv xvfb-run".split()
)
_SCRIPT = re.compile(r".+\.(?:py|pyc|pyz|sh|bash|r|jl|js|pl|rb|lua|m)", re.IGNORECASE)
_ATTACHED = re.compile(r"-([A-Za-z])(-?\.?\d.*)", re.DOTALL)
_ASSIGNED = re.compile(r"\+{0,2}([A-Za-z_][\w.@/-]*)=(.*)", re.DOTALL)


def parse_arguments(command: Sequence[str]) -> dict[str, Any]:
    """The params that a command line gives to the program or script it runs.

    `--lr 0.1`, `--lr=0.1`, `-x 3`, `-x3`, `lr=0.1`, `+lr=0.1` and `++lr=0.1` are params. An option that no value
    follows is true, and `--no-cuda` then is `cuda: false`. Several numbers behind one option, and an option that is
    repeated, are a list; negative numbers are values. Hyphens within the name of an option become underscores, as
    argument parsers do it. Other arguments are none, nor is anything behind `--`.
    """
    given = list(_own_arguments(list(command)))
    params: dict[str, Any] = {}
    repeated: set[str] = set()
    for key, value in _pairs(given):
        if key not in params:
            params[key] = value
            continue
        if key not in repeated:
            repeated.add(key)
            params[key] = _as_list(params[key])
        params[key] += _as_list(value)
    return params


def is_python(program: str) -> bool:
    """Whether a program is a Python interpreter by its name: `python`, `/usr/bin/python3.11`, `pypy3`."""
    return _PYTHON.fullmatch(_name(program)) is not None


def python_script(command: Sequence[str]) -> tuple[str, str] | None:
    """What a Python interpreter is told to run: (`-m`, module), (`-c`, code) or (`script`, path); None if nothing."""
    if not command or not is_python(command[0]):
        return None
    found, _ = _split_python(list(command))
    return found


# --- where the program's own arguments begin


def _own_arguments(command: list[str]) -> list[str]:
    while command:
        program = _name(command[0])
        if _PYTHON.fullmatch(program):
            return _split_python(command)[1]
        if program in _INTERPRETERS:
            return _behind_script(command)
        if program not in _LAUNCHERS:
            return command[1:]
        at = next((i for i, word in enumerate(command) if i and _is_program(word)), None)
        if at is None:
            return _behind_module(command)
        if _SCRIPT.fullmatch(command[at]):
            return command[at + 1 :]
        command = command[at:]
    return []


def _is_program(word: str) -> bool:
    name = _name(word)
    known = _PYTHON.fullmatch(name) is not None or name in _INTERPRETERS or name in _LAUNCHERS
    return not word.startswith("-") and (known or _SCRIPT.fullmatch(word) is not None)


def _split_python(command: list[str]) -> tuple[tuple[str, str] | None, list[str]]:
    """What the interpreter runs, and the arguments behind it. Source: `python --help`."""
    at = 1
    while at < len(command):
        word = command[at]
        at += 1
        if word == "--":
            return (("script", command[at]), command[at + 1 :]) if at < len(command) else (None, [])
        if not word.startswith("-") or word == "-":
            return ("script", word), command[at:]
        if word.startswith("--"):
            at += word == "--check-hash-based-pycs"
            continue
        for i, letter in enumerate(word[1:], 2):
            if letter not in "cmWX":
                continue
            value = word[i:] or next(iter(command[at:]), "")
            at += not word[i:]
            if letter in "cm":
                return (f"-{letter}", value), command[at:]
            break
    return None, []


def _behind_script(command: list[str]) -> list[str]:
    for i, word in enumerate(command[1:], 1):
        if word in ("-c", "-e"):
            return command[i + 2 :]
        if not word.startswith("-"):
            return command[i + 1 :]
    return []


def _behind_module(command: list[str]) -> list[str]:
    """Of a launcher without a script: what stands behind `-m MODULE`, else all but the variables of `env`."""
    for i, word in enumerate(command):
        if word in ("-m", "--module"):
            return command[i + 2 :]
    rest = command[1:]
    while rest and _name(command[0]) == "env" and "=" in rest[0]:
        rest = rest[1:]
    return rest


def _name(program: str) -> str:
    return PurePath(program.replace("\\", "/")).name.lower().removesuffix(".exe")


# --- the arguments themselves


def _pairs(given: list[str]) -> Iterator[tuple[str, Any]]:
    at = 0
    while at < len(given):
        word = given[at]
        at += 1
        if word == "--":
            return
        if not _is_option(word):
            assigned = _ASSIGNED.fullmatch(word)
            if assigned:
                yield assigned[1], parse_scalar(assigned[2])
            continue
        attached = _ATTACHED.fullmatch(word)
        if attached and _is_number(attached[2]):
            yield attached[1], parse_scalar(attached[2])
            continue
        name, equals, value = word.lstrip("-").partition("=")
        key = name.replace("-", "_")
        if not key:
            continue
        if equals:
            yield key, parse_scalar(value)
            continue
        # What stands behind `--no-cuda`, and behind Hydra's `--multirun`, as `key=value` is a param of its own.
        is_flag = name.startswith("no-") or name in ("multirun", "m")
        values = [] if is_flag and _ASSIGNED.fullmatch(next(iter(given[at:]), "")) else _values(given, at)
        at += len(values)
        if not values and name.startswith("no-") and len(name) > 3:
            yield key[3:], False
        else:
            found = [parse_scalar(each) for each in values]
            yield key, True if not found else found[0] if len(found) == 1 else found


def _values(given: list[str], at: int) -> list[str]:
    """The value of an option; further ones only where all are numbers, as in `--layers 64 32`."""
    if at == len(given) or _is_option(given[at]) or given[at] == "--":
        return []
    end = at + 1
    while end < len(given) and _is_number(given[at]) and _is_number(given[end]):
        end += 1
    return given[at:end]


def _is_option(word: str) -> bool:
    return word.startswith("-") and word not in ("-", "--") and not _is_number(word)


def _is_number(word: str) -> bool:
    return is_number(word) or word in ("-inf", "-.inf")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
