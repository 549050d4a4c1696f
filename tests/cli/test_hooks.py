"""`runstone hooks`, and `.pre-commit-hooks.yaml` through pre-commit itself."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from runstone.cli import main
from tests.cli.support import environment, run_cli
from tests.readme import TOP
from tests.support import git

IDS = ["runstone-validate", "runstone-secrets", "runstone-large-files", "runstone-stage-guard"]
TOKEN = "ghp_" + "a1B2" * 9  # not whole in this file, which would be refused itself


def hooks(repo: Path, *arguments: str) -> tuple[int, str]:
    """A hook's exit code and what it says."""
    with contextlib.chdir(repo):
        done = CliRunner().invoke(main, ["hooks", *arguments])
    assert "" == done.stderr
    return done.exit_code, done.stdout


def stage(repo: Path, files: dict[str, str | bytes]) -> None:
    """Write files and stage them."""
    for path, content in files.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    git("add", "-A", cwd=repo)


def review(repo: Path) -> None:
    """Make the project one that reviews promotions, with a version in Production."""
    stage(repo, {"runstone.yaml": "promotion: review\n", "registry/churn/stages/Production.yaml": "versions: [1]\n"})
    git("commit", "-q", "-m", "Review", cwd=repo)


def test_secrets_are_named_by_line_and_not_shown(git_repo: Path) -> None:
    """By their shape in any text; in files of settings by their key, too."""
    stage(
        git_repo,
        {
            "train.py": f"import os\nclient('{TOKEN}')\n",
            "config.yaml": "lr: 0.1\ndb:\n  password: hunter2hunter2\n",
            ".env": "export API_KEY=abcdef123456\n",
        },
    )
    code, said = hooks(git_repo, "secrets", "train.py", "config.yaml", ".env")
    expected = (
        "train.py:2: looks like a secret\nconfig.yaml:3: looks like a secret\n.env:1: looks like a secret\n"
        "Read it from the environment instead. If it is none, allow it in runstone.yaml: "
        "`secrets: {allow: ['PATTERN']}`\n"
    )
    assert (1, expected) == (code, said)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "token = read_token()\npassword = os.environ['PASSWORD']\n"),
        ("a.yaml", "password: ${DB_PASSWORD}\ntoken: '{{ token }}'\nsecret: null\npad_token: '[PAD]'\nlr: 0.1\n"),
        (".env", "API_KEY=\nAPI_KEY=<your key>\nAPI_KEY=change-me\n"),
        ("a.json", '{"max_tokens": 100, "token": "$TOKEN"}\n'),
        ("weights.bin", f"\0{TOKEN}"),
    ],
)
def test_what_is_no_secret_passes(git_repo: Path, name: str, text: str) -> None:
    """Code that reads one, placeholders, tokens of a vocabulary, bytes."""
    stage(git_repo, {name: text})
    assert (0, "") == hooks(git_repo, "secrets", name)


def test_the_projects_rules_hold(git_repo: Path) -> None:
    """What runstone.yaml allows passes, and what it adds is found."""
    stage(git_repo, {"runstone.yaml": "secrets: {values: [default, 'corp-[0-9]+'], allow: ['hunter2.*']}\n"})
    stage(git_repo, {"a.yaml": "password: hunter2hunter2\n", "b.txt": "the corp-1234\n"})
    code, said = hooks(git_repo, "secrets", "a.yaml", "b.txt")
    assert (1, "b.txt:1: looks like a secret") == (code, said.split("\n")[0])


def test_large_files_are_refused_with_the_way_to_keep_them(git_repo: Path) -> None:
    """More than the most; one of just the most passes, and so does a link."""
    stage(git_repo, {"a b.bin": bytes(2001), "small.bin": bytes(2000)})
    (git_repo / "link").symlink_to("a b.bin")
    code, said = hooks(git_repo, "large-files", "--max-size", "2KB", "a b.bin", "small.bin", "link")
    step = "Keep it with DVC: `git rm --cached -- 'a b.bin' && dvc add 'a b.bin'`"
    expected = f"a b.bin has 2.0 KiB. {step}\n1 file larger than 2.0 KiB, the most that git takes here.\n"
    assert (1, expected) == (code, said)


def test_what_is_staged_counts(git_repo: Path) -> None:
    """A file that a filter makes a small pointer, as Git LFS does, is as small as that."""
    (git_repo / ".gitattributes").write_text("*.bin filter=pointer\n")
    git("config", "filter.pointer.clean", "echo pointer", cwd=git_repo)
    stage(git_repo, {"a.bin": bytes(5000)})
    assert (0, "") == hooks(git_repo, "large-files", "--max-size", "1KB", "a.bin")


@pytest.mark.parametrize(("text", "size"), [("10MB", 10_000_000), ("1KiB", 1024), ("5", 5), ("2 GB", 2_000_000_000)])
def test_sizes_are_read(text: str, size: int) -> None:
    """With units of 1,000 and of 1,024, and without."""
    from runstone.cli.hooks import Size

    assert size == Size().convert(text, None, None)


def test_a_size_that_is_none(git_repo: Path) -> None:
    """A wrong call."""
    done = run_cli("hooks", "large-files", "--max-size", "much", "train.py", cwd=git_repo)
    assert 2 == done.returncode
    assert "'much' is no size such as 500KB, 10MB or 10MiB." in done.stderr


@pytest.mark.parametrize(
    "path", ["registry/churn/stages/Production.yaml", "registry/churn/aliases/champion.yaml", "registry/policy.yaml"]
)
def test_stages_aliases_and_the_policy_change_by_review(git_repo: Path, path: str) -> None:
    """On the default branch; on another the same is a proposal."""
    review(git_repo)
    stage(git_repo, {path: "versions: [2]\n", "registry/churn/model.yaml": "description: x\n", "train.py": "2\n"})
    code, said = hooks(git_repo, "stage-guard")
    assert (1, f"{path} changes by review only: `promotion: review` in runstone.yaml.") == (code, said.split("\n")[0])
    git("checkout", "-q", "-b", "mine", cwd=git_repo)
    assert (0, "") == hooks(git_repo, "stage-guard")


def test_a_removed_stage_file_is_a_change(git_repo: Path) -> None:
    """It is a demotion."""
    review(git_repo)
    git("rm", "-q", "registry/churn/stages/Production.yaml", cwd=git_repo)
    assert 1 == hooks(git_repo, "stage-guard")[0]


def test_review_does_not_end_by_hand(git_repo: Path) -> None:
    """runstone.yaml may change otherwise."""
    review(git_repo)
    stage(git_repo, {"runstone.yaml": "promotion: review\npush: auto\n"})
    assert 0 == hooks(git_repo, "stage-guard")[0]
    stage(git_repo, {"runstone.yaml": "promotion: direct\n"})
    assert (1, "runstone.yaml changes") == (lambda done: (done[0], done[1][:21]))(hooks(git_repo, "stage-guard"))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("runstone.yaml", "promotion: review\nbranch: other\n"),
        (".mailmap", "<a@example.org> <b@example.org>\n"),
    ],
)
def test_who_guards_what_does_not_change_by_hand(git_repo: Path, path: str, text: str) -> None:
    """Where the runs are, and who is who, are as guarded."""
    review(git_repo)
    stage(git_repo, {path: text})
    assert (1, f"{path} changes") == (lambda done: (done[0], done[1][: len(path) + 8]))(hooks(git_repo, "stage-guard"))


def test_broken_settings_can_be_mended(git_repo: Path) -> None:
    """Else nobody could commit any more."""
    stage(git_repo, {"runstone.yaml": "promotion: [\n"})
    git("commit", "-q", "-m", "Break", cwd=git_repo)
    stage(git_repo, {"runstone.yaml": "promotion: direct\n"})
    assert (0, "") == hooks(git_repo, "stage-guard")


def test_direct_projects_and_merges_are_left_alone(git_repo: Path) -> None:
    """Where nothing is reviewed, and where a reviewer merges."""
    stage(git_repo, {"registry/churn/stages/Production.yaml": "versions: [1]\n"})
    assert (0, "") == hooks(git_repo, "stage-guard")
    git("commit", "-q", "-m", "One", cwd=git_repo)
    review_branch = "promote/churn-v2-production"
    stage(git_repo, {"runstone.yaml": "promotion: review\n"})
    git("commit", "-q", "-m", "Review", cwd=git_repo)
    git("checkout", "-q", "-b", review_branch, cwd=git_repo)
    stage(git_repo, {"registry/churn/stages/Production.yaml": "versions: [2]\n"})
    git("commit", "-q", "-m", "Two", cwd=git_repo)
    git("checkout", "-q", "main", cwd=git_repo)
    git("merge", "-q", "--no-ff", "--no-commit", review_branch, cwd=git_repo)
    assert (0, "") == hooks(git_repo, "stage-guard")


@pytest.fixture
def pre_commit(git_repo: Path, tmp_path: Path) -> Path:
    """A project in which pre-commit runs our hooks: the same entries, from this environment instead of a fresh one."""
    pytest.importorskip("pre_commit")
    declared = yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text())
    ours = [hook | {"language": "system", "entry": f"{sys.executable} -m {hook['entry']}"} for hook in declared]
    config = {"repos": [{"repo": "local", "hooks": ours}]}
    review(git_repo)
    stage(git_repo, {".pre-commit-config.yaml": yaml.safe_dump(config)})
    git("commit", "-q", "-m", "Hooks", cwd=git_repo)
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], cwd=git_repo, check=True, capture_output=True)
    return git_repo


def commit(repo: Path, *options: str) -> tuple[int, list[str]]:
    """Commit, with hooks; the ids of those that failed."""
    variables = environment({"PRE_COMMIT_HOME": os.environ["HOME"] + "/pre-commit"})
    done = subprocess.run(
        ["git", "commit", "-m", "Try", *options], cwd=repo, env=variables, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    failed = [line.removeprefix("- hook id: ") for line in said.split("\n") if line.startswith("- hook id: ")]
    return done.returncode, failed


def test_pre_commit_accepts_our_hooks_file() -> None:
    """By pre-commit's own schema, and every entry is a command that there is."""
    clientlib = pytest.importorskip("pre_commit.clientlib")
    hooks_ = clientlib.load_manifest(str(TOP / ".pre-commit-hooks.yaml"))
    assert IDS == [hook["id"] for hook in hooks_]
    for hook in hooks_:
        _, *command = hook["entry"].split(" ")
        assert 0 == CliRunner().invoke(main, [*command, "--help"]).exit_code


def test_a_commit_through_pre_commit(pre_commit: Path) -> None:
    """Each hook stops a commit that it is for, and a good commit passes all of them."""
    stage(
        pre_commit,
        {
            "registry/churn/registrations/b.yaml": "schema: runstone/registration/v1\nrun: 7\n",
            "notes.txt": f"{TOKEN}\n",
            "big.bin": os.urandom(10_000_001),
            "registry/churn/stages/Production.yaml": "schema: runstone/stage/v1\nversions: [2]\n",
        },
    )
    assert (1, IDS) == commit(pre_commit)
    git("reset", "-q", "--hard", cwd=pre_commit)
    stage(pre_commit, {"train.py": "print('better')\n"})
    assert (0, []) == commit(pre_commit)


def test_what_is_committed_without_being_staged(pre_commit: Path) -> None:
    """`git commit -a` has an index of its own, which is the one that counts."""
    git("tag", "churn@v2", cwd=pre_commit)
    (pre_commit / "registry" / "churn" / "stages" / "Production.yaml").write_text(
        "schema: runstone/stage/v1\nversions: [2]\n"
    )
    assert (1, ["runstone-stage-guard"]) == commit(pre_commit, "-a")
