""".ci/run and the generated parts of the README: what CI relies on."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.readme import TOP, regenerate
from tests.support import git, make_repository

pytestmark = pytest.mark.ci
MARK = "<!-- test command -->\n\n```sh\n"
FRAMEWORKS = "<!-- framework test command -->\n\n```sh\n"
OLDEST = "<!-- oldest MLflow test command -->\n\n```sh\n"
LAST = f"\n{OLDEST}echo last\n```\n"
THEN = f"\n{FRAMEWORKS}echo then\n```\n{LAST}"


def ci_run(folder: Path, readme: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/run in a repository that holds only it and a README."""
    make_repository(folder)
    (folder / ".ci").mkdir()
    shutil.copy(TOP / ".ci" / "run", folder / ".ci" / "run")
    (folder / "README.md").write_text(f"# A project\n\n```sh\nexit 9\n```\n\n{readme}\n## More\n\n```sh\nexit 8\n```\n")
    # From another folder: it finds its own.
    command = ["env", *(f"{k}={v}" for k, v in env.items()), str(folder / ".ci" / "run")]
    return subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)


def test_the_readmes_commands_are_what_runs(tmp_path: Path) -> None:
    """The blocks behind the two marks run at the top of the repository, in order, and no other block does."""
    done = ci_run(tmp_path / "repo", f"{MARK}echo one && cat train.py\n```\n{THEN}")
    assert (0, "+ echo one && cat train.py\none\nprint('trained')\n+ echo then\nthen\n+ echo last\nlast\n", "") == (
        done.returncode,
        done.stdout.rpartition(".ci/run: passed in ")[0],
        done.stderr,
    )


@pytest.mark.parametrize(
    "command",
    ["true && false && true", "false\ntrue", "false | cat", "true && exit 5", "python3 -c 'import sys; sys.exit(3)'"],
)
def test_it_fails_when_any_step_fails(tmp_path: Path, command: str) -> None:
    """In a chain, on a line of its own, or in a pipe."""
    done = ci_run(tmp_path / "repo", f"{MARK}{command}\n```\n{THEN}")
    assert done.returncode not in (0, 2)
    assert f".ci/run: failed with exit code {done.returncode} after " in done.stderr
    assert "then" not in done.stdout


def test_it_fails_when_the_frameworks_fail(tmp_path: Path) -> None:
    """That the first command passed does not make up for the second."""
    done = ci_run(tmp_path / "repo", f"{MARK}true\n```\n\n{FRAMEWORKS}exit 7\n```\n{LAST}")
    assert 7 == done.returncode
    assert ".ci/run: failed with exit code 7 after " in done.stderr


@pytest.mark.parametrize(
    "readme", ["", "<!-- test command -->\n", f"{MARK}```\n", f"{MARK}true\n```\n\n{MARK}true\n```\n"]
)
def test_a_readme_without_exactly_one_test_command_is_refused(tmp_path: Path, readme: str) -> None:
    """None, an empty one and two are told apart from success, for either of the commands."""
    done = ci_run(tmp_path / "repo", f"{readme}{THEN}")
    assert (2, ".ci/run: README.md must have one fenced block after a line `<!-- test command -->`.\n") == (
        done.returncode,
        done.stderr,
    )
    second = readme.replace("test command", "framework test command")
    frameworks = ci_run(tmp_path / "other", f"{MARK}true\n```\n\n{second}")
    assert (2, ".ci/run: README.md must have one fenced block after a line `<!-- framework test command -->`.\n") == (
        frameworks.returncode,
        frameworks.stderr,
    )


def test_a_hooks_variables_do_not_reach_the_tests(tmp_path: Path) -> None:
    """Started from a git hook of another repository, git in the tests still speaks to this one."""
    other = make_repository(tmp_path / "other")
    done = ci_run(tmp_path / "repo", f"{MARK}git rev-parse --show-toplevel\n```\n{THEN}", GIT_DIR=str(other / ".git"))
    assert f"\n{git('rev-parse', '--show-toplevel', cwd=tmp_path / 'repo')}\n" in done.stdout


def test_an_old_python_is_refused_by_name(tmp_path: Path) -> None:
    """A first `python3` on the PATH that is too old gives a sentence, not a traceback."""
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin" / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1\nexit 1\n')
    old.chmod(0o755)
    done = ci_run(tmp_path / "repo", f"{MARK}true\n```\n{THEN}", PATH=f"{old.parent}:/usr/local/bin:/usr/bin:/bin")
    assert (2, ".ci/run: python3 must be 3.11 or newer, with venv; here it is: Python 3.8.1\n") == (
        done.returncode,
        done.stderr,
    )


def test_the_workflow_and_the_hooks_are_in_step_with_the_project() -> None:
    """The workflow calls .ci/run, and the hook for other projects calls a command that the package installs."""
    assert "run: .ci/run" in (TOP / ".github" / "workflows" / "ci.yml").read_text()
    assert "entry: runstone validate" in (TOP / ".pre-commit-hooks.yaml").read_text()
    assert 'runstone = "runstone.cli:main"' in (TOP / "pyproject.toml").read_text()


def test_text_without_generated_parts_is_left_alone() -> None:
    """Only what stands behind a mark is ever rewritten."""
    text = "# Title\n\n```sh\nrunstone --help\n```\n"
    assert text == regenerate(text)


def test_a_mark_without_a_block_is_refused() -> None:
    """A misplaced mark must not pass for a part that is in step."""
    with pytest.raises(RuntimeError, match="must be followed by a fenced block"):
        regenerate("<!-- output of: runstone --help -->\n\ntext\n")
