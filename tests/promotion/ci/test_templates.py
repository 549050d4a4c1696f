"""The files that `runstone init --ci` writes: valid by the published schemas, and every line of them runs."""

import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runstone import templates
from runstone.promotion.ci.registering import register_merged
from runstone.promotion.ci.templates import write_ci, write_codeowners, write_guard
from runstone.promotion.ci.upstream import Upstream
from runstone.tracking.workspace import Workspace
from tests.cli.support import environment
from tests.promotion.merged import ci_checkout, log_and_share, merge, push_file, request_of
from tests.promotion.support import stage_file, write
from tests.readme import TOP
from tests.sharing import Team
from tests.support import git

pytestmark = pytest.mark.ci
INSTALL = re.compile(r"python3? -I -m (pip install|venv) |bin/python -I -m pip install ")
TRAIN = """\
from pathlib import Path

import runstone

runstone.set_experiment("nightly")
with runstone.start_run() as run:
    runstone.log_metric("auc", 0.9)
    Path("m").mkdir()
    Path("m/MLmodel").write_text("flavors: {}\\n")
    active = runstone.Client().workspace.open_runs[run.info.run_id]
    active.log_model(Path("m"), "model", ["sklearn"], None)
"""


@pytest.fixture
def runstone_on_path(tmp_path: Path) -> dict[str, str]:
    """The environment of a job in which `runstone` is installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "runstone"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m runstone "$@"\n')
    program.chmod(0o755)
    return environment({"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})


def written(repo: Path, system: Any) -> dict[str, str]:
    """What is written for a CI system, by path."""
    return {each.path: (repo / each.path).read_text() for each in write_ci(Workspace.open(repo).repo, system)}


def filled(text: str) -> str:
    """A template with its words put in."""
    for word, value in (("branch", "main"), ("registry", "registry"), ("install", "runstone[dvc]")):
        text = text.replace(f"@{word}@", value)
    return text


def github_lines(text: str) -> list[str]:
    """The scripts of a workflow's steps, but for those that install."""
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step and not INSTALL.search(step["run"])]


def gitlab_lines(text: str, job: str) -> list[str]:
    """The script of a job."""
    return list(yaml.safe_load(text)[job]["script"])


def jenkins_stages(text: str) -> dict[str, list[str]]:
    """The shell lines of each stage of a Jenkinsfile, but for those that install."""
    parts = re.split(r"stage\('([^']+)'\)", text)
    stages = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = {name: re.findall(r"\bsh '([^'\n]*)'", body) for name, body in stages.items()}
    return {name: [line for line in lines if not INSTALL.search(line)] for name, lines in found.items()}


def run_lines(lines: list[str], cwd: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run lines as a CI system does: in one shell that stops at the first failure."""
    command = ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("system", "schema", "files"),
    [("github", "vendor.github-workflows", r".github/workflows/.*"), ("gitlab", "vendor.gitlab-ci", r".*\.yml")],
)
def test_files_meet_the_published_schema(git_repo: Path, system: str, schema: str, files: str) -> None:
    """GitHub's for workflows and GitLab's for pipelines, as check-jsonschema carries them; a broken one is noticed."""
    pytest.importorskip("check_jsonschema")
    paths = [path for path in written(git_repo, system) if re.fullmatch(files, path)]
    assert 2 == len(paths)
    if system == "github":
        (git_repo / "train.yml").write_text(filled(templates.read("github/train.yml")))
        paths.append("train.yml")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*command, *paths], cwd=git_repo, capture_output=True, text=True, check=False)
    assert (0, "ok -- validation done\n") == (done.returncode, done.stdout)
    text = (git_repo / paths[0]).read_text()
    broken = text.replace("runs-on:", "runs-at:").replace("codequality:", "codequality: 1\n      quality:")
    assert broken != text
    (git_repo / "broken.yml").write_text(broken)
    done = subprocess.run([*command, "broken.yml"], cwd=git_repo, capture_output=True, text=True, check=False)
    assert 1 == done.returncode


def test_no_word_is_left_open(git_repo: Path) -> None:
    """Branch, registry and what to install stand in all of them; each extra that is installed there is."""
    known = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for system in ("github", "gitlab", "jenkins"):
        text = "".join(written(git_repo, system).values())
        assert [] == re.findall(r"@[a-z]+@", text), system
        extras = {extra for found in re.findall(r"runstone\[([a-z0-9,]+)\]", text) for extra in found.split(",")}
        assert extras, system
        assert set() == extras - known.keys(), system


def test_workflows_have_the_least_rights(git_repo: Path) -> None:
    """None by default but reading, no `pull_request_target`, no secret in the check, actions by a version."""
    files = written(git_repo, "github")
    check, register = (files[f".github/workflows/runstone-{name}.yml"] for name in ("check", "register"))
    document = yaml.safe_load(check)
    assert {"contents": "read"} == document["permissions"]
    assert "permissions" not in document["jobs"]["check"]
    assert "secrets." not in check
    assert "pull_request_target" not in check + register
    assert {"contents": "write", "pull-requests": "read"} == yaml.safe_load(register)["permissions"]
    assert False is yaml.safe_load(register)["concurrency"]["cancel-in-progress"]
    used = re.findall(r"uses: (.*)", check + register)
    assert used
    assert [] == [action for action in used if not re.fullmatch(r"actions/[a-z-]+@v[0-9]+", action)]
    for text in (check, register):  # what others choose never becomes part of a script
        assert [] == [line for line in github_lines(text) if "${{" in line]


def balanced(text: str) -> Iterator[str]:
    """What is not closed in a Groovy file of this kind: braces and brackets outside of strings and comments."""
    opened: list[str] = []
    for character in re.sub(r"//[^\n]*|'[^'\n]*'", "", text):
        if character in "({[":
            opened.append(character)
        elif character in ")}]" and (not opened or opened.pop() != {")": "(", "}": "{", "]": "["}[character]):
            yield character
    yield from opened


def test_the_jenkinsfile_is_a_declarative_pipeline(git_repo: Path) -> None:
    """Its form alone, as no Jenkins is at hand: one pipeline with an agent and stages, each with steps, all closed."""
    text = written(git_repo, "jenkins")["Jenkinsfile"]
    assert [] == list(balanced(text))
    assert ["}"] == list(balanced(text + "}"))
    bare = re.sub(r"//[^\n]*\n", "", text)
    assert re.match(r"\s*pipeline \{\s+agent any\s+options \{", bare)
    assert ["Install", "Check", "Register"] == list(jenkins_stages(text))
    assert 3 == len(re.findall(r"stage\('\w+'\) \{\s+(?:when \{[^}]*\}\s+)?steps \{", bare))
    assert "when { branch 'main' }" in text


@pytest.fixture
def asked(team: Team) -> Team:
    """A team whose request to register a run was merged."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"))
    return team


def test_the_lines_of_github_register(asked: Team, runstone_on_path: dict[str, str], tmp_path: Path) -> None:
    """In a checkout as actions/checkout makes it; the output tells later steps of the version."""
    text = written(asked.folder / "ann", "github")[".github/workflows/runstone-register.yml"]
    output = tmp_path / "output"
    variables = runstone_on_path | {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    done = run_lines(github_lines(text), ci_checkout(asked), variables)
    assert (0, "models:/churn/1\n") == (done.returncode, done.stdout), done.stderr
    assert 'versions=["models:/churn/1"]\n' == output.read_text()
    assert "github-actions[bot]" == git("tag", "-l", "--format=%(taggername)", "churn@v1", cwd=asked.remote)


def test_the_lines_of_gitlab_register(asked: Team, runstone_on_path: dict[str, str]) -> None:
    """With the project's URL as GitLab gives it; the token stands in no file."""
    text = written(asked.folder / "ann", "gitlab")[".gitlab/runstone.yml"]
    checkout = ci_checkout(asked)
    git("remote", "set-url", "origin", "https://gitlab-ci-token:x@nowhere.invalid/x.git", cwd=checkout)
    variables = runstone_on_path | {
        "CI_PROJECT_URL": f"file://{asked.remote}".removesuffix(".git"),
        "CI_SERVER_HOST": "gitlab.example.org",
        "RUNSTONE_TOKEN": "glpat-not-a-token",
    }
    done = run_lines(gitlab_lines(text, "runstone-register"), checkout, variables)
    assert (0, "models:/churn/1\n") == (done.returncode, done.stdout), done.stderr
    assert "glpat-not-a-token" not in (checkout / ".git" / "config").read_text()
    filled_in = subprocess.run(
        ["git", "credential", "fill"],
        cwd=checkout,
        input="protocol=https\nhost=gitlab.example.org\n\n",
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "username=oauth2\npassword=glpat-not-a-token\n" in filled_in.stdout


def test_the_lines_of_jenkins_register(asked: Team, runstone_on_path: dict[str, str]) -> None:
    """With the environment that the stage before has made."""
    text = written(asked.folder / "ann", "jenkins")["Jenkinsfile"]
    checkout = ci_checkout(asked)
    programs = checkout / ".git" / "runstone-venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "runstone").symlink_to(Path(runstone_on_path["PATH"].split(os.pathsep)[0]) / "runstone")
    done = run_lines(jenkins_stages(text)["Register"], checkout, runstone_on_path)
    assert (0, "models:/churn/1\n") == (done.returncode, done.stdout), done.stderr


def test_the_lines_of_the_example_that_trains(team: Team, runstone_on_path: dict[str, str]) -> None:
    """A run of the night becomes a version, once."""
    lines = github_lines(filled(templates.read("github/train.yml")))
    push_file(team, "train.py", TRAIN)
    checkout = ci_checkout(team)
    for each in (lines, lines[-1:]):
        done = run_lines(each, checkout, runstone_on_path)
        assert (0, "models:/churn/1\n") == (done.returncode, done.stdout), done.stderr
    assert ["churn@v1"] == team.tags()


def test_the_lines_of_the_checks(asked: Team, runstone_on_path: dict[str, str], tmp_path: Path) -> None:
    """A proposal that changes nothing of the registry passes in all of them, and its report is written."""
    ann = asked.folder / "ann"
    git("checkout", "-q", "-b", "mine", cwd=ann)
    write(ann, {"train.py": "print('better')\n"}, "Train better")
    git("push", "-q", "origin", "mine", cwd=ann)
    texts = {system: written(ann, system) for system in ("github", "gitlab", "jenkins")}
    workflow, gitlab = texts["github"][".github/workflows/runstone-check.yml"], texts["gitlab"][".gitlab/runstone.yml"]
    jenkins = jenkins_stages(texts["jenkins"]["Jenkinsfile"])["Check"]
    summary = tmp_path / "summary.md"
    jobs = {
        "github": [line for line in github_lines(workflow) if "--comment" not in line],
        "gitlab": gitlab_lines(gitlab, "runstone-check") + gitlab_lines(gitlab, "runstone-report"),
        "jenkins": [line.replace(".git/runstone-venv/bin/", "") for line in jenkins],
    }
    said = {
        "github": {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main", "GITHUB_STEP_SUMMARY": str(summary)},
        "gitlab": {"GITLAB_CI": "true", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"},
        "jenkins": {"JENKINS_URL": "https://jenkins.example.org", "CHANGE_TARGET": "main"},
    }
    for system, lines in jobs.items():
        checkout = asked.clone(system, "--depth=1", "-b", "mine", url=f"file://{asked.remote}")
        git("checkout", "-q", "--detach", cwd=checkout)
        done = run_lines(lines, checkout, runstone_on_path | said[system])
        assert 0 == done.returncode, done.stdout + done.stderr
    assert summary.read_text().strip()
    assert "[]" == (asked.folder / "gitlab" / "gl-code-quality-report.json").read_text().strip()
    assert (asked.folder / "jenkins" / "runstone-report.md").read_text().strip()


def test_the_guard_shuts_the_door_without_runstone(team: Team, tmp_path: Path) -> None:
    """On a server that lacks it no push is taken; the template is executable as it is."""
    assert (templates.folder() / "hooks" / "pre-receive").stat().st_mode & stat.S_IXUSR
    write_guard(Workspace.open(team.remote).repo)
    ann = team.folder / "ann"
    git("commit", "-q", "--allow-empty", "-m", "More", cwd=ann)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (programs / name).symlink_to(found)
    git_folder = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{git_folder}"}
    command = ["git", "push", "-q", "origin", "main"]
    done = subprocess.run(command, cwd=ann, env=env, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert "which is not installed here, so no push is taken." in done.stderr


def test_the_guard_of_a_bare_repository(asked: Team, runstone_on_path: dict[str, str]) -> None:
    """As `runstone init --guard` installs it: an unreviewed stage is refused with the reason, a proposal is taken."""
    ann = asked.folder / "ann"
    workspace = Workspace.open(ann)
    register_merged(workspace, Upstream(workspace.repo))
    push_file(asked, "runstone.yaml", "promotion: review\n")
    write_guard(Workspace.open(asked.remote).repo)
    write(ann, {"registry/churn/stages/Production.yaml": stage_file(1)}, "Promote churn v1 to Production")

    def push(refspec: str) -> "subprocess.CompletedProcess[str]":
        command = ["git", "push", "-q", "origin", refspec]
        return subprocess.run(command, cwd=ann, env=runstone_on_path, capture_output=True, text=True, check=False)

    done = push("HEAD:main")
    assert (1, True) == (done.returncode, "refused refs/heads/main: " in done.stderr), done.stderr
    assert 0 == push("HEAD:promote/churn-v1-production").returncode
    done = push(":churn@v1")
    assert (1, True) == (done.returncode, "refused refs/tags/churn@v1: " in done.stderr), done.stderr


def test_who_is_who_has_owners_as_settings_have(git_repo: Path) -> None:
    """A forge asks them before `.mailmap` changes, which says whose approval is whose."""
    model = "schema: runstone/registered-model/v1\nowners: ['@kim']\n"
    (git_repo / "registry" / "churn").mkdir(parents=True)
    (git_repo / "registry" / "churn" / "model.yaml").write_text(model)
    write_codeowners(Workspace.open(git_repo).repo, "github")
    rows = (git_repo / ".github" / "CODEOWNERS").read_text().splitlines()
    assert ["/registry/policy.yaml @kim", "/runstone.yaml @kim", "/.mailmap @kim"] == rows[1:4]
