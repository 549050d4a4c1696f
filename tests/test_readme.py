"""Everything the README shows is done here: its files written, its commands run, in the order they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme import TOP
from tests.support import git, make_repository

README = (TOP / "README.md").read_text(encoding="utf-8")
FILES = re.findall(r"<!-- file: (\S+) -->\n\n```(?:python|yaml)\n(.*?)```", README, re.DOTALL)
SESSIONS = re.findall(r"<!-- runs -->\n\n```console\n(.*?)```", README, re.DOTALL)


def masked(line: str) -> str:
    """A line of output without what differs from run to run: ids, numbers, times, made-up names, spacing."""
    line = re.sub(r"\b[a-z]+-[a-z]+-\d+\b", "NAME", line)
    line = re.sub(r"\b[0-9a-f]{7,}\b", "ID", line)
    line = re.sub(r"/[0-9a-z]{2}/ID", "/XX/ID", line)
    line = re.sub(r"\b\d+(\.\d+)*(e-?\d+)?(?=[a-z]*\b)", "N", line)
    line = re.sub(r"\bN(ms|s|m|h|min)\b", "T", line)
    return re.sub(r"\s+", " ", line).strip()


def steps(session: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the output shown for it."""
    found: list[tuple[str, list[str]]] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh repository with the README's files and one commit."""
    repo = make_repository(tmp_path / "project")
    for name, text in FILES:
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(text)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "Add the scripts", cwd=repo)
    return repo


def test_what_the_readme_shows_works_and_prints_what_it_shows(project: Path) -> None:
    """Each command ends well, and each line of output shown is printed, but for ids, numbers and made-up names."""
    assert len(FILES) == 4
    assert len(SESSIONS) == 13
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    for command, shown in [step for session in SESSIONS for step in steps(session)]:
        done = subprocess.run(
            ["bash", "-c", command], cwd=project, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        expected_codes = (0, 1) if command.startswith("git grep") else (0,)  # 1: nothing found, as for no dirty run
        assert done.returncode in expected_codes, f"{command}\n{done.stderr}"
        printed = [masked(line.replace(str(project.parent), "/home/kim")) for line in done.stdout.splitlines()]
        for line in shown:
            assert masked(line) in printed, f"{command}\nprinted:\n{done.stdout}"


def test_the_links_of_the_readme_lead_somewhere() -> None:
    """Every relative link names a file of the repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [] == [link for link in links if not (TOP / link).exists()]
