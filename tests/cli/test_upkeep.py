"""`index rebuild`, `recover`, `validate` and `completion`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.benchmarks.synthetic import commit_files
from tests.cli.support import complete, environment, run_cli
from tests.support import git, run_python

Invoke = Callable[..., Result]
CUT_SHORT = "import os, runstone; r = runstone.start_run(run_name='cut'); print(r.info.run_id, flush=True); os._exit(9)"
RUN_YAML = "experiments/churn/2026-01-01/aa/{id}/run.yaml"


def test_rebuild_says_how_many(invoke: Invoke, three_runs: list[str], git_repo: Path) -> None:
    """The number of runs; and a word where records cannot be read."""
    assert ("indexed 3 runs\n", "") == (invoke("index", "rebuild").stdout, invoke("index", "rebuild").stderr)
    commit_files(git_repo, {RUN_YAML.format(id="0" * 30 + "aa"): "status: [\n"})
    done = run_cli("index", "rebuild", cwd=git_repo)
    assert "indexed 3 runs\n" == done.stdout
    assert "1 record cannot be read. See them: `runstone validate --runs`\n" in done.stderr


def test_recover(git_repo: Path) -> None:
    """A dead process's run is recorded and its id printed; then there is nothing more."""
    run_id = run_python(CUT_SHORT, cwd=git_repo, check=False).stdout.strip()
    done = run_cli("recover", cwd=git_repo)
    assert (0, f"{run_id}\n", "") == (done.returncode, done.stdout, done.stderr)
    assert "" == run_cli("recover", cwd=git_repo).stdout
    assert "Record run cut: FAILED" == git("log", "-1", "--format=%s", "runs", cwd=git_repo)


def test_recover_force_ends_what_may_live_elsewhere(git_repo: Path) -> None:
    """A run of another machine is left alone and named; --force, with its name, ends it."""
    run_id = run_python(CUT_SHORT, cwd=git_repo, check=False).stdout.strip()
    [journal] = (git_repo / ".git" / "runstone" / "journal").glob("*.live")
    text = journal.read_text()
    host = json.loads(text.splitlines()[0].split("\t", 2)[2])["host"]
    journal.write_text(text.replace(json.dumps(host), '"another-machine"', 1))
    done = run_cli("recover", cwd=git_repo)
    assert ("", f"Still running, as far as can be known from here: {run_id}\n") == (done.stdout, done.stderr)
    assert f"{run_id}\n" == run_cli("recover", "--force", "cut", cwd=git_repo).stdout


def test_validate_the_project(invoke: Invoke, git_repo: Path) -> None:
    """runstone.yaml and the registry; each broken file with its sentence, and exit code 1."""
    assert "0 files checked: none broken\n" == invoke("validate").stdout
    alias = git_repo / "registry" / "churn" / "aliases" / "champion.yaml"
    alias.parent.mkdir(parents=True)
    alias.write_text("schema: runstone/alias/v1\nversion: 3\n")
    (git_repo / "runstone.yaml").write_text("push: auto\n")
    absent = (
        "`registry/churn/aliases/champion.yaml`: version 3 is not here: there is no git tag churn@v3; if others made "
        "it: `runstone pull`. Correct it, then: `runstone validate registry/churn/aliases/champion.yaml`\n"
    )
    assert f"{absent}2 files checked: 1 broken\n" == invoke("validate", code=1).stdout
    alias.unlink()
    assert "1 file checked: none broken\n" == invoke("validate").stdout
    alias.write_text("schema: runstone/alias/v1\nversion: three\n")
    result = invoke("validate", code=1)
    expected = (
        '`registry/churn/aliases/champion.yaml`: `version` must be a whole number, but is the text "three". Correct '
        "it, then: `runstone validate registry/churn/aliases/champion.yaml`\n2 files checked: 1 broken\n"
    )
    assert expected == result.stdout


@pytest.mark.ci
def test_validate_paths_outside_a_repository(tmp_path: Path) -> None:
    """As a pre-commit hook calls it; a folder is searched, and a broken runstone.yaml is told, not tripped over."""
    (tmp_path / "runstone.yaml").write_text("push: sometimes\n")
    done = run_cli("validate", "runstone.yaml", cwd=tmp_path)
    assert 1 == done.returncode
    assert "`push` must be one of manual, auto" in done.stdout
    done = run_cli("validate", ".", "--json", cwd=tmp_path)
    assert (1, 1, "runstone.yaml") == (
        done.returncode,
        json.loads(done.stdout)["files"],
        json.loads(done.stdout)["problems"][0]["file"],
    )
    assert "error: " in run_cli("validate", "nowhere.yaml", cwd=tmp_path).stderr


def test_a_broken_runstone_yaml_can_be_validated_in_its_repository(git_repo: Path) -> None:
    """The file that other commands stumble over is the one that this one must read."""
    (git_repo / "runstone.yaml").write_text("push: sometimes\n")
    for words in (["validate"], ["validate", "runstone.yaml"]):
        done = run_cli(*words, cwd=git_repo)
        assert (1, "1 file checked: 1 broken") == (done.returncode, done.stdout.splitlines()[-1])


def test_validate_runs(invoke: Invoke, three_runs: list[str], git_repo: Path) -> None:
    """Every record of the branch is read strictly; every broken one is listed."""
    good = invoke("validate", "--runs").stdout
    assert "8 files checked: none broken\n" == good
    broken = RUN_YAML.format(id="0" * 30 + "aa")
    record = git(
        "show",
        f"runs:{git('ls-tree', '-r', '--name-only', 'runs', cwd=git_repo).split('run.yaml')[0].split()[-1]}run.yaml",
        cwd=git_repo,
    )
    commit_files(
        git_repo,
        {
            broken: record,
            broken.replace(
                "run.yaml", "metrics.tsv"
            ): "# schema: runstone/metrics/v1\nkey\tstep\ttimestamp\tvalue\na\tb\tc\td\n",
            broken.replace("run.yaml", "artifacts.dvc"): "outs: []\n",
        },
    )
    result = invoke("validate", "--runs", code=1)
    lines = result.stdout.splitlines()
    assert "11 files checked: 3 broken" == lines[-1]
    assert "must have `outs:` with exactly one entry" in lines[0]
    assert "line 3 must be key, step, timestamp and value" in lines[1]
    assert "`id` must be the name of its folder, but is " in lines[2]
    one = invoke("validate", broken, code=1)
    assert "1 file checked: 1 broken" == one.stdout.splitlines()[-1]
    found = json.loads(invoke("validate", "--runs", "--json", code=1).stdout)
    assert (11, 3) == (found["files"], len(found["problems"]))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(tmp_path: Path, shell: str) -> None:
    """The script for standard output, how to install it beside it; no repository is needed."""
    done = run_cli("completion", shell, cwd=tmp_path)
    assert 0 == done.returncode
    assert f"_RUNSTONE_COMPLETE={shell}_complete" in done.stdout
    assert "runstone completion" in done.stderr
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_completion_of_commands_runs_and_experiments(three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """Commands, verbs, options, names and ids of runs, experiments; outside a repository there is nothing to offer."""
    assert ["recover", "register", "render", "rerun", "rollback", "run", "runs"] == sorted(
        complete("runstone r", git_repo)
    )
    assert ["restore", "rm"] == sorted(complete("runstone runs r", git_repo))
    assert ["--reason"] == complete("runstone runs rm --r", git_repo)
    assert ["odd-newt-3", "calm-fox-2", "brave-otter-1"] == complete("runstone runs show ", git_repo)
    assert ["brave-otter-1"] == complete("runstone runs show br", git_repo)
    assert set(three_runs) == set(complete(f"runstone runs show {three_runs[0][:4]}", git_repo))
    assert ["churn"] == complete("runstone experiments show ch", git_repo)
    assert ["odd-newt-3"] == complete(f"runstone --repo {git_repo} runs show o", tmp_path)
    assert [] == complete("runstone runs show br", tmp_path)


def test_completion_of_all_that_has_a_name(three_runs: list[str], git_repo: Path) -> None:
    """Metrics, fields, sections, remotes, and an experiment where runs are moved to one."""
    git("remote", "add", "backup", "/nowhere", cwd=git_repo)
    assert ["loss"] == complete("runstone bisect-metric l", git_repo)
    assert ["metrics.loss"] == complete("runstone runs list -s metrics.l", git_repo)
    assert ["+params.depth"] == complete("runstone runs list -c +params.d", git_repo)
    assert ["name,tags.team"] == complete("runstone runs search x -c name,ta", git_repo)
    assert ["params,packages", "params,params"] == sorted(complete("runstone diff a b --only params,pa", git_repo))
    assert ["backup"] == complete("runstone sync -r b", git_repo)
    assert ["churn"] == complete("runstone runs mv brave-otter-1 ch", git_repo)
    assert ["churn"] == complete("runstone log -e ch", git_repo)
    assert ["calm-fox-2"] == complete("runstone rerun ca", git_repo)


def test_completion_imports_no_command_that_is_not_asked_for(tmp_path: Path) -> None:
    """Completing the name of a command is as light as `--help`."""
    code = (
        "import sys\nfrom runstone.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('runstone.cli.')))"
    )
    variables = {"COMP_WORDS": "runstone r", "COMP_CWORD": "1", "_RUNSTONE_COMPLETE": "bash_complete"}
    out = run_python(code, cwd=tmp_path, env=variables).stdout.splitlines()
    assert "['runstone.cli.command', 'runstone.cli.outcome']" == out[-1]


def test_bash_really_completes(three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """The script, sourced in bash with `runstone` on the PATH, fills in the one run that fits."""
    import sys

    program = tmp_path / "bin" / "runstone"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m runstone "$@"\n')
    program.chmod(0o755)
    script = """
    eval "$(runstone completion bash 2>/dev/null)"
    COMP_WORDS=(runstone runs show cal) COMP_CWORD=3
    _runstone_completion runstone cal show
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    variables = environment({"PATH": f"{program.parent}:{environment()['PATH']}"})
    done = subprocess.run(
        ["bash", "-c", script], cwd=git_repo, env=variables, capture_output=True, text=True, check=True
    )
    assert "calm-fox-2\n" == done.stdout
