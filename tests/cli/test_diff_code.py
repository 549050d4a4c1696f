"""`runstone diff` on the code of runs, and its forms for pull requests and browsers, hostile content included."""

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import Result

from runstone.client import Client
from runstone.registry.version import register_version
from runstone.tracking.source import SnapshotIncomplete
from runstone.tracking.workspace import Workspace
from tests.cli.support import COMMAND, environment, run_cli, run_on_terminal
from tests.registry.support import log_model
from tests.support import git

Invoke = Callable[..., Result]


def record(repo: Path, name: str) -> str:
    """Record a run of the work tree as it is."""
    client = Client(repo)
    run_id = client.create_run("0", run_name=name, start_time=1_700_000_000_000).info.run_id
    client.set_terminated(run_id, end_time=1_700_000_001_000)
    return run_id


@pytest.fixture
def runs(git_repo: Path) -> tuple[str, str]:
    """`owl` ran what is committed, `fox` edits that are not, with a new file."""
    owl = record(git_repo, "owl")
    (git_repo / "train.py").write_text("print('trained')\nprint('well')\n")
    (git_repo / "data.bin").write_bytes(b"\0\1")
    return owl, record(git_repo, "fox")


def test_the_summary_has_the_statistics(git_repo: Path, runs: tuple[str, str], invoke: Invoke) -> None:
    """Which files, how much, and how to see it."""
    assert (
        f"""
Code
  data.bin | Bin
  train.py |   1 +
  2 files changed, 1 insertion(+)
  See it: runstone diff {runs[0]} {runs[1]} --code
"""
        in invoke("diff", "owl", "fox").stdout
    )


def test_only_the_statistics(git_repo: Path, runs: tuple[str, str], invoke: Invoke) -> None:
    """`--stat` alone; long changes are drawn in proportion; renames show both names."""
    assert (
        " data.bin | Bin\n train.py |   1 +\n 2 files changed, 1 insertion(+)\n"
        == invoke("diff", "owl", "fox", "--stat").stdout
    )
    (git_repo / "long.txt").write_text("x\n" * 400)
    (git_repo / "train.py").rename(git_repo / "fit.py")
    record(git_repo, "cat")
    lines = invoke("diff", "fox", "cat", "--stat").stdout.splitlines()
    assert [" train.py => fit.py |   0", f" long.txt           | 400 {'+' * 40}"] == sorted(lines[:2], reverse=True)
    assert " 2 files changed, 400 insertions(+)" == lines[2]


def test_the_patch_can_be_applied(git_repo: Path, runs: tuple[str, str], tmp_path: Path) -> None:
    """In a pipe it is git's own patch, binary files included, whatever the user's settings."""
    git("config", "diff.noprefix", "true", cwd=git_repo)
    git("config", "color.ui", "always", cwd=git_repo)
    patch = subprocess.run(
        [*COMMAND, "diff", "owl", "fox", "--code"], cwd=git_repo, env=environment(), capture_output=True, check=True
    ).stdout
    assert patch.startswith(b"diff --git a/data.bin b/data.bin\n")
    git("clone", "-q", str(git_repo), "clone", cwd=tmp_path)
    subprocess.run(["git", "apply"], cwd=tmp_path / "clone", input=patch, check=True)
    assert b"\0\1" == (tmp_path / "clone" / "data.bin").read_bytes()
    assert (git_repo / "train.py").read_text() == (tmp_path / "clone" / "train.py").read_text()
    run_cli("diff", "owl", "fox", "--code", "-o", str(tmp_path / "it.patch"), cwd=git_repo)
    assert patch == (tmp_path / "it.patch").read_bytes()


def test_paths_restrict_the_code(git_repo: Path, runs: tuple[str, str]) -> None:
    """From where one stands, as in git."""
    (git_repo / "src").mkdir()
    (git_repo / "src" / "a.py").write_text("1\n")
    record(git_repo, "cat")
    done = run_cli("diff", "owl", "cat", "--stat", "--", "a.py", cwd=git_repo / "src")
    assert " src/a.py | 1 +\n 1 file changed, 1 insertion(+)\n" == done.stdout
    assert "  same code in these paths\n" in run_cli("diff", "owl", "owl", "--", "train.py", cwd=git_repo).stdout
    assert (0, "", "same code in these paths\n") == (
        (same := run_cli("diff", "owl", "owl", "--code", "--", "train.py", cwd=git_repo)).returncode,
        same.stdout,
        same.stderr,
    )
    for words in (("--stat", "--", "nope", "*.md"), ("--code", "--", "nope", "*.md")):
        missed = run_cli("diff", "owl", "cat", *words, cwd=git_repo)
        assert ("", "no file of either matches nope *.md\n") == (missed.stdout, missed.stderr)
    assert "\n  no file of either matches nope\n" in run_cli("diff", "owl", "owl", "--", "nope", cwd=git_repo).stdout
    refused = run_cli("diff", "owl", "fox", "--stat", "--", "../..", cwd=git_repo)
    assert (1, "") == (refused.returncode, refused.stdout)
    assert "outside repository" in refused.stderr


def test_code_on_a_terminal(git_repo: Path, tmp_path: Path) -> None:
    """It has git's colours and goes through git's pager; content cannot steer the terminal."""
    record(git_repo, "owl")
    (git_repo / "train.py").write_text("print('\x1b[2J\x1b]0;evil\x07\tx')\n--- a/passwd\n")
    record(git_repo, "fox")
    code, shown = run_on_terminal("diff", "owl", "fox", "--code", cwd=git_repo, env={"PAGER": "cat"})
    assert 0 == code
    assert "\x1b[1mdiff --git a/train.py b/train.py\x1b[0m\n" in shown
    assert "\x1b[31m-print('trained')\x1b[0m\n" in shown
    assert "\x1b[32m+print('\\x1b[2J\\x1b]0;evil\\x07\tx')\x1b[0m\n" in shown
    assert "\x1b[32m+--- a/passwd\x1b[0m\n" in shown
    assert {"0", "1", "31", "32", "36"} == set(re.findall(r"\x1b\[(\d+)m", shown))
    assert not re.search(r"\x1b[^\[]|\x1b\[[\d;]*[^\dm;]|\x07", shown)
    git("config", "core.pager", f"sed 's/^/paged: /' | tee '{tmp_path}/paged'", cwd=git_repo)
    _, shown = run_on_terminal("--color", "never", "diff", "owl", "fox", "--code", cwd=git_repo)
    assert "paged: diff --git a/train.py b/train.py\n" in shown
    assert "\x1b" not in (tmp_path / "paged").read_text()
    code, shown = run_on_terminal("diff", "owl", "fox", "--code", cwd=git_repo, env={"GIT_PAGER": "head -n 1 >&2"})
    assert (0, ["\x1b[1mdiff --git a/train.py b/train.py\x1b[0m"]) == (code, shown.splitlines())


def test_a_patch_in_a_pipe_is_left_alone(git_repo: Path) -> None:
    """Bytes that are no UTF-8 and control characters pass, since `git apply` needs them."""
    record(git_repo, "owl")
    (git_repo / "train.py").write_bytes(b"caf\xe9 \x1b[31m\r\n")
    record(git_repo, "fox")
    command = [*COMMAND, "diff", "owl", "fox", "--code"]
    patch = subprocess.run(command, cwd=git_repo, env=environment(), capture_output=True, check=True).stdout
    assert b"+caf\xe9 \x1b[31m\r\n" in patch


def test_code_that_is_not_here(git_repo: Path, runs: tuple[str, str], tmp_path: Path) -> None:
    """The summary says so with the command that fetches it, and shows the rest; `--code` has nothing to show."""
    git("clone", "-q", "--depth", "1", "-b", "runs", f"file://{git_repo}", "clone", cwd=tmp_path)
    done = run_cli("diff", "owl", "fox", cwd=tmp_path / "clone")
    ids = [git("rev-parse", each, cwd=git_repo)[:12] for each in ("runs^^2", "runs^2")]
    assert f"\nCode\n  not in this repository: {', '.join(ids)}. Fetch: git fetch --unshallow\n" in done.stdout
    assert "\nSource\n" in done.stdout
    patch = run_cli("diff", "owl", "fox", "--code", cwd=tmp_path / "clone")
    assert (1, "") == (patch.returncode, patch.stdout)
    assert (
        f"error: The code of the two runs cannot be compared: {', '.join(ids)} are not in this repository. "
        "Fetch it: `git fetch --unshallow`\n"
    ) == patch.stderr
    for form in ("--md", "--html", "--json"):
        assert 0 == run_cli("diff", "owl", "fox", form, cwd=tmp_path / "clone").returncode


def test_what_a_snapshot_left_out_is_told(git_repo: Path, invoke: Invoke) -> None:
    """A secret file is in no snapshot, and the comparison says whose."""
    record(git_repo, "owl")
    (git_repo / ".env").write_text("TOKEN=1\n")
    with pytest.warns(SnapshotIncomplete):
        record(git_repo, "fox")
    assert "  not in the snapshot of fox: .env (" in invoke("diff", "owl", "fox").stdout


def test_json(git_repo: Path, runs: tuple[str, str], invoke: Invoke) -> None:
    """Commits, files and counts."""
    code = json.loads(invoke("diff", "owl", "fox", "--json").stdout)["code"]
    assert (git("rev-parse", "HEAD", cwd=git_repo), git("rev-parse", "runs^2", cwd=git_repo)) == (code["a"], code["b"])
    assert (False, 1, 0, []) == (code["same"], code["insertions"], code["deletions"], code["missing"])
    assert {
        "path": "train.py",
        "old_path": None,
        "change": "changed",
        "insertions": 1,
        "deletions": 0,
        "old_mode": "100644",
        "new_mode": "100644",
    } == code["files"][1]


def test_exit_code(git_repo: Path, runs: tuple[str, str], invoke: Invoke) -> None:
    """1 only when asked, and only if something of what is compared differs."""
    for arguments, code in (
        (("--stat",), 1),
        (("--stat", "--", "nothing"), 0),
        (("--only", "params"), 0),
        (("--json",), 1),
    ):
        invoke("diff", "owl", "fox", "--exit-code", *arguments, code=code)
    invoke("diff", "owl", "owl", "--exit-code")


def test_versions_of_models(git_repo: Path, workspace: Workspace, invoke: Invoke) -> None:
    """A version or an alias stands for its run; a run that bears such a name comes first."""
    run_id = "0" * 31 + "1"
    register_version(workspace, "churn", log_model(workspace, run_id))
    Client(git_repo).set_registered_model_alias("churn", "champion", "1")
    other = record(git_repo, "owl")
    for name in ("churn@v1", "churn@champion"):
        assert run_id == json.loads(invoke("diff", name, "owl", "--json", "--only", "tags").stdout)["a"]["run_id"]
    record(git_repo, "churn@champion")
    assert "- churn@champion  " in invoke("diff", "churn@champion", other, "--only", "tags").stdout
    assert "error: No model version `churn/7`." in invoke("diff", "churn@v7", "owl", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--code", "--stat"), "--code and --stat cannot be used together."),
        (("--md", "--html"), "--md and --html cannot be used together."),
        (("--stat", "--json"), "--stat and --json cannot be used together."),
        (("--code", "--only", "params"), "--code is of the code alone; leave out --only."),
        (("-o", "x"), "-o needs a form that is for files: --md, --html, --json or --code."),
    ],
)
def test_wrong_calls(runs: tuple[str, str], invoke: Invoke, arguments: tuple[str, ...], message: str) -> None:
    """Forms that exclude each other are usage."""
    assert message in invoke("diff", "owl", "fox", *arguments, code=2).stderr


# --- Markdown and HTML

HOSTILE = "<script>alert(1)</script> @team | `x` ``` [a](http://evil) ![b](c) **d**\x1b[2J"


@pytest.fixture
def hostile_runs(git_repo: Path) -> None:
    """Two runs whose every text tries to be something else."""
    client = Client(git_repo)
    for number in (1, 2):
        run_id = client.create_run("0", run_name=f"{HOSTILE[:-4]}{number}").info.run_id
        client.set_tag(run_id, "tag <b> | x", f"{HOSTILE} {number}")
        client.log_param(run_id, "p", f"{HOSTILE} {number}")
        client.set_terminated(run_id)
        (git_repo / "train.py").write_text(f"```\n</details>\n{HOSTILE}{number}\n````\n")
        (git_repo / "a<b>|c`d.py").write_text(HOSTILE)
        git("add", "-A", cwd=git_repo)
        git("commit", "-q", "-m", HOSTILE.replace("\x1b", ""), cwd=git_repo)


def hostile_ids(repo: Path) -> list[str]:
    """The ids of these runs, the older first."""
    out = git("log", "--first-parent", "--reverse", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=repo)
    return out.split()


def without_code(line: str) -> str:
    """A line of Markdown without its code spans, as CommonMark reads them."""
    return re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", line)


def test_markdown(git_repo: Path, runs: tuple[str, str], invoke: Invoke) -> None:
    """Tables, statistics, and the patch folded away."""
    Client(git_repo).set_tag(runs[1], "team", "x")
    text = invoke("diff", "owl", "fox", "--md").stdout
    head = "### `owl` → `fox`\n\n|  | run | id | experiment |\n| --- | --- | --- | --- |\n"
    assert text.startswith(f"{head}| − | `owl` | `{runs[0]}` | `Default` |\n")
    assert "\n#### Tags\n\n|  |  | `owl` | `fox` |\n| --- | --- | --- | --- |\n| `+` | `team` |  | `x` |\n" in text
    assert "\n#### Code\n\n2 files changed, 1 insertion(+)\n\n| file |  |  |\n" in text
    assert "| `data.bin` | binary |  |\n| `train.py` | +1 | −0 |\n" in text
    assert "<details>\n<summary>Patch</summary>\n\n```diff\ndiff --git a/data.bin b/data.bin\n" in text
    assert "+print('well')\n```\n\n</details>\n" in text


def test_markdown_holds_what_others_wrote_as_code(git_repo: Path, hostile_runs: None, invoke: Invoke) -> None:
    """No mention, link, image, HTML, or end of the patch comes from a record, a commit or a file."""
    text = invoke("diff", *hostile_ids(git_repo), "--md").stdout
    assert "\x1b" not in text
    before, fence, patch = text.partition("`````diff\n")
    assert fence
    inside, _, after = patch.partition("\n`````\n")
    assert "+</details>" in inside
    assert "\n</details>" == after.rstrip()
    for line in before.splitlines():
        outside = without_code(line)
        assert not re.search(r"@|evil|<script|<b>|\*\*|\[a\]", outside), line
        if line.startswith("| "):
            assert outside.count("|") - outside.count("\\|") in (4, 5, 7), line


def test_a_long_patch_and_many_rows_are_cut_in_markdown(git_repo: Path, invoke: Invoke) -> None:
    """A comment has room for 65,536 characters; what was cut is said."""
    record(git_repo, "owl")
    (git_repo / "train.py").write_text("".join(f"line {i}\n" for i in range(20_000)))
    client = Client(git_repo)
    run_id = client.create_run("0", run_name="fox").info.run_id
    client.log_batch(run_id, params={f"p{i:03}": "x" * 10 for i in range(30)})
    client.set_terminated(run_id)
    text = invoke("diff", "owl", "fox", "--md").stdout
    assert 65_536 > len(text)
    assert "<details>\n<summary>Params: 30</summary>\n" in text
    assert "<summary>Patch, its beginning</summary>" in text
    assert re.search(r"The whole patch: `runstone diff [0-9a-f]{32} [0-9a-f]{32} --code`\n\n</details>\n$", text)


class Page(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts += data


def test_html(git_repo: Path, runs: tuple[str, str], invoke: Invoke, tmp_path: Path) -> None:
    """One page that needs nothing else, allowed nothing but its own style."""
    target = tmp_path / "diff.html"
    result = invoke("diff", "owl", "fox", "--html", "-o", str(target))
    assert ("", f"wrote {target}\n") == (result.stdout, result.stderr)
    text = target.read_text()
    page = Page(text)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert ("content", f"default-src 'none'; style-src 'sha256-{digest}'") in page.attributes
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href", "style", "onclick"} & {name for name, _ in page.attributes}
    assert "2 files changed, 1 insertion(+)" in page.texts
    assert '<span class="new">+print(&#x27;well&#x27;)</span>' in text


def test_html_escapes_what_others_wrote(git_repo: Path, hostile_runs: None, invoke: Invoke) -> None:
    """All of it is text."""
    plain = set(Page(invoke("diff", "--html", *hostile_ids(git_repo)[:1] * 2).stdout).tags)
    page = Page(invoke("diff", *hostile_ids(git_repo), "--html").stdout)
    assert {"details", "summary", "pre", "span", "p", "code"} >= set(page.tags) - plain
    assert HOSTILE.replace("\x1b", "\\x1b") in page.texts
