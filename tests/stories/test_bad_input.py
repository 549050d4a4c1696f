"""What people type, push and break: each call gives a clear error or a correct record, and nothing else is lost.

Source: the list "Bad input and faults" of the report these tests answer to.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runstone
from runstone.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    InvalidName,
    InvalidUri,
    InvalidValue,
    NotARepository,
    RecordInvalid,
    RecordsSkipped,
    RefBlocked,
    RunstoneError,
)
from runstone.git.runs.commit import JournalDamagedWarning
from tests.cli.support import run_cli
from tests.support import git, make_repository, run_python

pytestmark = pytest.mark.usefixtures("here")

LONG = "n" * 300
NAMES = [
    "two words",
    "a/b",
    "../up",
    "..",
    "a..b",
    "-x",
    "--json",
    "été",
    "日本語 🚀",
    LONG,
    "Case",
    "case",
    "CASE",
    "~^:?*[@{u}",
    "x.lock",
    "con",
    "HEAD",
    'it\'s "so"',
    "100%2F",
]
NO_KEYS = {
    "../up": "The {kind} '../up' cannot be used: it would be a path such as `../x` or `/x`.",
    "..": "The {kind} '..' cannot be used: it would be a path such as `../x` or `/x`.",
    LONG: f"The {{kind}} '{'n' * 77}…' cannot be used: it has 300 characters, and 1 to 250 are allowed.",
}
NO_PATHS = {
    "../up": "The artifact path '../up' cannot be used: it leaves the folder of artifacts.",
    "..": "The artifact path '..' cannot be used: it leaves the folder of artifacts.",
    LONG: f"The artifact path '{'n' * 77}…' cannot be used: "
    "a part of it is longer than the 255 bytes that file systems allow.",
}


def refusal(call: Callable[[], object], error: type[Exception] = RunstoneError) -> str:
    """The message of the error that a call raises."""
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def check_sound(path: Path) -> None:
    """Nothing is wrong for git, and the work tree is as it was."""
    assert ["", ""] == [
        git("fsck", "--strict", "--no-dangling", "--no-progress", cwd=path),
        git("status", "--porcelain", cwd=path),
    ]


# --- places that cannot be tracked in


def test_not_in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way in says the same, once, with what to do; nothing is made there."""
    (tmp_path / "nowhere").mkdir()
    monkeypatch.chdir(tmp_path / "nowhere")
    expected = (
        f"{tmp_path}/nowhere is not in a git repository. Make one there: `git init`; "
        "or work in one: `cd DIR`, `--repo DIR`."
    )
    calls: list[Callable[[], object]] = [
        runstone.start_run,
        runstone.search_runs,
        runstone.Client,
        lambda: runstone.log_metric("m", 1),
        lambda: runstone.set_experiment("e"),
    ]
    for call in calls:
        assert expected == refusal(call, NotARepository)
    for command in (
        ["runs", "list"],
        ["artifacts", "list", "x"],
        ["log", "-p", "a=1"],
        ["doctor"],
        ["index", "rebuild"],
    ):
        done = run_cli(*command, cwd=tmp_path / "nowhere")
        assert (1, "", f"error: {expected}\n") == (done.returncode, done.stdout, done.stderr)
    assert [] == list((tmp_path / "nowhere").iterdir())


def test_a_branch_in_the_way(here: Path) -> None:
    """With a branch `runs/x` nothing is begun; once it is renamed, or another branch named, all works."""
    git("branch", "runs/x", cwd=here)
    expected = (
        "git refused to write `refs/heads/runs`: `refs/heads/runs/x` stands in its way. Rename that branch "
        "(`git branch -m`), or keep runs on another one: `branch: runstone-runs` in runstone.yaml"
    )
    for call in (runstone.start_run, lambda: runstone.log_param("p", 1)):
        assert expected == refusal(call, RefBlocked)
    done = run_cli("log", "-p", "a=1", cwd=here)
    assert (1, f"error: {expected}\n") == (done.returncode, done.stderr)
    assert (None, []) == (runstone.active_run(), runstone.search_runs(output_format="list"))
    assert "runs/x" == git("for-each-ref", "--format=%(refname:short)", "refs/heads/runs", cwd=here)
    git("branch", "-m", "runs/x", "x", cwd=here)
    with runstone.start_run():
        runstone.log_param("p", 1)
    assert [{"p": 1}] == [run.params for run in runstone.search_runs(output_format="list")]
    check_sound(here)


# --- names


def test_names_of_experiments_and_runs(here: Path) -> None:
    """Any text is a name: kept as it is, found by search and command line, no two of them mixed up."""
    for name in NAMES:
        runstone.set_experiment(name)
        with runstone.start_run(run_name=name):
            runstone.log_param("name", name)
    assert set(NAMES) == {experiment.name for experiment in runstone.search_experiments()}
    folders = git("ls-tree", "--name-only", "runs:experiments", cwd=here).splitlines()
    assert len(NAMES) == len({folder.lower() for folder in folders})
    for name in NAMES:
        (found,) = runstone.search_runs(experiment_names=[name], output_format="list")
        assert (name, name, {"name": name}) == (found.experiment, found.name, found.params)
        quoted = name.replace("'", "''")
        by_filter = runstone.search_runs(
            search_all_experiments=True, filter_string=f"run_name = '{quoted}'", output_format="list"
        )
        assert [found.id] == [run.id for run in by_filter]
    for name in ("-x", "--json", "Case", "case", 'it\'s "so"', LONG):
        done = run_cli("runs", "list", f"--experiment={name}", "--json", "-c", "name", cwd=here)
        assert [{"name": name}] == json.loads(done.stdout)
        assert name in run_cli("runs", "show", "--", name, cwd=here).stdout
    check_sound(here)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        (" \u3000", "it is empty"),
        ("x" * 501, "it has 501 characters, and 500 are allowed"),
        ("a\nb", "it holds a control character"),
        ("a\x1b[2J", "it holds a control character"),
        ("\udc80", "it holds a control character"),
    ],
)
def test_names_that_are_refused(here: Path, name: str, why: str) -> None:
    """Empty ones, overlong ones, control characters: the same words for experiments, runs and models."""
    shown = repr(name if len(name) <= 80 else f"{name[:77]}…")
    at = runstone.Client()
    assert f"The experiment {shown} cannot be used: {why}." == refusal(lambda: at.create_experiment(name), InvalidName)
    model = refusal(lambda: runstone.register_model("runs:/none/model", name), InvalidName)
    assert f"The model {shown} cannot be used: {why}." == model
    if name:  # an empty one means: make one up
        run = refusal(lambda: runstone.start_run(run_name=name), InvalidName)
        assert f"The run name {shown} cannot be used: {why}." == run
    assert "" == git("branch", "--list", "runs", cwd=here) or [] == at.search_runs()


def test_names_of_models(here: Path, tmp_path: Path) -> None:
    """Every name but one that differs by case alone gets versions and aliases, as refs and files that git takes."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    with runstone.start_run(run_id="maker") as run:
        run.log_model(tmp_path / "model", "model", ["odd"], None)
    at, fine = runstone.Client(), [name for name in NAMES if name not in ("case", "CASE")]
    for name in fine:
        assert 1 == runstone.register_model("runs:/maker/model", name).version
        at.set_registered_model_alias(name, "best", 1)
    for name in ("case", "CASE"):
        assert f"The model '{name}' cannot be used: it differs from the model 'Case' by case alone." == refusal(
            lambda name=name: runstone.register_model("runs:/maker/model", name),  # type: ignore[misc]
            InvalidName,
        )
    assert sorted(fine) == sorted(model.name for model in at.search_registered_models())
    for name in fine:
        version = at.get_model_version_by_alias(name, "best")
        assert (name, 1, "maker", ("best",)) == (version.name, version.version, version.run_id, version.aliases)
    for alias, why in {
        "a b": "letters, digits, `_`, `-` and `.` are allowed, 255 at most",
        "../x": "letters, digits, `_`, `-` and `.` are allowed, 255 at most",
        "-x": "letters, digits, `_`, `-` and `.` are allowed, 255 at most",
        "latest": "`latest`, numbers and `v<number>` already mean a version",
        "V3": "`latest`, numbers and `v<number>` already mean a version",
        "Best": "it differs from the alias 'best' by case alone",
        "é" * 100: "it has more than 150 bytes",
    }.items():
        shown = repr(alias if len(alias) <= 80 else f"{alias[:77]}…")
        message = refusal(lambda alias=alias: at.set_registered_model_alias("Case", alias, 1), InvalidName)  # type: ignore[misc]
        assert f"The alias {shown} cannot be used: {why}." == message
    check_sound(here)


def test_keys_of_params_metrics_and_tags(here: Path) -> None:
    """What is a key is kept apart from every other, by case too, and found by a filter; the rest is refused whole."""
    keys = [name for name in NAMES if name not in NO_KEYS]
    with runstone.start_run() as run:
        for number, key in enumerate(keys):
            runstone.log_param(key, number)
            runstone.log_metric(key, number)
            runstone.set_tag(key, number)
        for key, message in NO_KEYS.items():
            for kind, call in {
                "param": lambda key=key: runstone.log_params({"fine": 1, key: 1}),
                "metric": lambda key=key: runstone.log_metrics({"fine": 1, key: 1}),
                "tag": lambda key=key: runstone.set_tags({"fine": 1, key: 1}),
            }.items():
                assert message.format(kind=kind) == refusal(call, InvalidName)
    found = runstone.get_run(run.id)
    expected = {key: number for number, key in enumerate(keys)}
    assert expected == found.params == {key: summary.last for key, summary in found.metrics.items()}
    assert {key: str(number) for key, number in expected.items()} == found.tags
    frame = runstone.search_runs()
    for key, number in expected.items():
        assert str(number) == frame[f"params.{key}"][0] == frame[f"tags.{key}"][0]
        quoted = key.replace('"', '""')
        text = f'metrics."{quoted}" = {number} AND params."{quoted}" = {number} AND tags."{quoted}" = \'{number}\''
        assert 1 == len(runstone.search_runs(filter_string=text, output_format="list")), text
    check_sound(here)


def test_names_of_artifacts(here: Path, tmp_path: Path) -> None:
    """Whatever a file is called it comes back under its name, but where it would leave its folder or fit on no disk."""
    paths = [name for name in NAMES if name not in NO_PATHS]
    with runstone.start_run() as run:
        for path in paths:
            runstone.log_text(path, f"folder/{path}")
        for path, message in NO_PATHS.items():
            assert message == refusal(lambda path=path: runstone.log_text("x", path), InvalidName)  # type: ignore[misc]
    out = Path(runstone.Client().download_artifacts(run.id, "folder", tmp_path))
    assert {path: path for path in paths} == {
        file.relative_to(out).as_posix(): file.read_text() for file in out.rglob("*") if file.is_file()
    }
    check_sound(here)


@pytest.mark.parametrize(
    "run_id", ["../up", "-x", "Case", "a/b", "a b", "été", ".x", "x" * 101, "con", "x.lock"], ids=lambda x: x[:8]
)
def test_ids_of_ones_own(run_id: str) -> None:
    """A run's id is a folder's name on every disk, so it is stricter than a name, and says how."""
    why = (
        "it is reserved on some systems"
        if run_id in ("con", "x.lock")
        else "it must be 2 to 100 of the characters a-z 0-9 . _ - and begin with a letter or digit"
    )
    shown = run_id if len(run_id) <= 80 else f"{run_id[:77]}…"
    assert f"The run id {shown!r} cannot be used: {why}." == refusal(
        lambda: runstone.start_run(run_id=run_id), InvalidName
    )
    assert runstone.active_run() is None


# --- values


def test_a_param_of_a_megabyte_and_five_thousand_params(here: Path) -> None:
    """They are kept to the last character, searched, shown and tabled; a run of more than 8 MiB of text is refused."""
    big, many = "ab c\n" * 210_000, {f"p{n}": n / 8 for n in range(5000)}
    with runstone.start_run() as run:
        runstone.log_param("big", big)
        runstone.log_params(many)
        message = refusal(lambda: runstone.log_param("bigger", "x" * 8 * 1024**2), InvalidValue)
    assert (
        f"The params and tags of run {run.id} would hold more than 8 MiB of text. "
        "Log long text as a file: `log_text(text, 'name.txt')`." == message
    )
    assert {"big": big, **many} == runstone.get_run(run.id).params
    (found,) = runstone.search_runs(
        filter_string="params.p4999 = 624.875 AND params.big LIKE 'ab c%'", output_format="list"
    )
    assert run.id == found.id
    assert (1, "624.875", big) == (
        len(frame := runstone.search_runs()),
        frame["params.p4999"][0],
        frame["params.big"][0],
    )
    shown = run_cli("runs", "show", run.id, cwd=here)
    assert 0 == shown.returncode
    assert re.search(r"^ *p4999 +624\.875$", shown.stdout, re.MULTILINE)
    check_sound(here)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("high", 'the text "high"'),
        ("0.5", 'the text "0.5"'),
        (None, "nothing"),
        ([1.0], "a list"),
        ({}, "a map"),
        (1j, "a complex"),
        (np.array([1.0, 2.0]), "a ndarray"),
        (10**5000, "a number of 16610 bits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_metric_that_is_no_number(value: Any, shown: str) -> None:
    """Refused by every verb that takes it, with what it is; of a batch nothing is kept."""
    expected = f"The metric 'm' must be a number, but is {shown}. Log text as a tag or a param."
    with runstone.start_run() as run:
        calls: list[Callable[[], object]] = [
            lambda: runstone.log_metric("m", value),
            lambda: runstone.log_metrics({"fine": 1, "m": value}),
            lambda: runstone.Client().log_metric(run.id, "m", value),
        ]
        for call in calls:
            assert expected == refusal(call, InvalidValue)
    assert {} == runstone.get_run(run.id).metrics


def test_numbers_and_texts_that_nothing_can_hold() -> None:
    """Steps of more than 64 bits, whole numbers of thousands of digits, text that is no Unicode."""
    with runstone.start_run() as run:
        messages = {
            "The step of metric 'm' must be a whole number, but is the number 1.5.": lambda: runstone.log_metric(
                "m",
                1,
                step=1.5,  # type: ignore[arg-type]  # the point
            ),
            "The step of metric 'm' must fit in 64 bits, but is the number 9223372036854775808.": (
                lambda: runstone.log_metric("m", 1, step=2**63)
            ),
            "The param 'p' is a number of 16610 bits. Log it as a file: `log_text(text, 'name.txt')`.": (
                lambda: runstone.log_params({"fine": 1, "p": [10**5000]})
            ),
            r"The param 'p' holds text that is not valid Unicode: '\udc80'.": lambda: runstone.log_param("p", "\udc80"),
            r"The artifact 'a.txt' holds text that is not valid Unicode: '\udc80'.": (
                lambda: runstone.log_text("\udc80", "a.txt")
            ),
        }
        for expected, call in messages.items():
            assert expected == refusal(call, InvalidValue)
        runstone.log_param("digits", 10**3900)
    found = runstone.get_run(run.id)
    assert ({"digits": 10**3900}, {}) == (found.params, found.metrics)


# --- artifacts that lead elsewhere


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../x.json", "it leaves the folder of artifacts"),
        ("a/../../x.json", "it leaves the folder of artifacts"),
        ("/etc/x.json", "it is absolute; write it relative to the folder of artifacts"),
        ("C:/x.json", "it is absolute; write it relative to the folder of artifacts"),
        ("..\\x.json", "it holds a backslash; write `/`"),
        ("a//x.json", "it has an empty part"),
        ("a/.git/hooks/x.json", "`.git` means something to git or DVC"),
    ],
)
def test_an_artifact_path_that_escapes(here: Path, tmp_path: Path, path: str, why: str) -> None:
    """Refused by every verb that keeps a file, and nothing is kept, here or elsewhere; reading it finds nothing."""
    (tmp_path / "file").write_text("x")
    expected = f"The artifact path {path!r} cannot be used: {why}."
    at = runstone.Client()
    with runstone.start_run() as run:
        calls: list[Callable[[], object]] = [
            lambda: runstone.log_text("x", path),
            lambda: runstone.log_dict({}, path),
            lambda: runstone.log_table({"a": [1]}, path),
            lambda: runstone.log_artifact(tmp_path / "file", path),
            lambda: runstone.log_artifacts(tmp_path, path),
            lambda: at.log_artifact(run.id, tmp_path / "file", path),
        ]
        for call in calls:
            assert expected == refusal(call, InvalidName)
    if ":" not in path:  # on the command line FILE:C:/x would be the file `FILE:C`
        done = run_cli("log", "--artifact", f"{tmp_path / 'file'}:{path}", cwd=here)
        assert (2, f"error: {expected}\n") == (done.returncode, done.stderr)
    assert (1, []) == (len(at.search_runs()), at.list_artifacts(run.id))
    with pytest.raises((InvalidUri, ArtifactNotFound)):
        at.download_artifacts(run.id, path, tmp_path)
    assert [] == [found for found in (here / ".git" / "runstone").rglob("files/md5/*/*") if found.is_file()]
    check_sound(here)


def test_a_link_out_of_the_folder(here: Path, tmp_path: Path) -> None:
    """A folder with a link that leads out of it is not logged at all; links within it are files, as is one named."""
    outside, folder = tmp_path / "secret", tmp_path / "folder"
    outside.write_text("secret")
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "same").symlink_to("a.txt")
    (folder / "out").symlink_to("../secret")
    expected = (
        f"{folder}/out cannot be logged: it is a symbolic link that leads out of {folder}. "
        "Log the files themselves: `log_artifact(FILE)`"
    )
    with runstone.start_run() as run:
        assert expected == refusal(lambda: runstone.log_artifacts(folder), ArtifactRefused)
        assert expected == refusal(lambda: runstone.log_artifact(folder), ArtifactRefused)
        assert [] == run.artifacts()
        (folder / "out").unlink()
        runstone.log_artifacts(folder, "fine")
        (tmp_path / "named").symlink_to(outside)
        runstone.log_artifact(tmp_path / "named")
    at = runstone.Client()
    out = Path(at.download_artifacts(run.id))
    assert {"fine/a.txt": "a", "fine/same": "a", "named": "secret"} == {
        path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()
    }
    message = f"Run {run.id} has no artifact 'none'. List them: `runstone artifacts list {run.id}`"
    assert message == refusal(lambda: at.download_artifacts(run.id, "none"), ArtifactNotFound)
    check_sound(here)


# --- files that were damaged

KILLED = """
import os, runstone
runstone.start_run(run_id="torn")
runstone.log_params({"lr": 0.1})
for step in range(10):
    runstone.log_metric("loss", step / 2, step=step)
runstone.set_tag("last", "x" * 100)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("cut", [1, 40, 90])
def test_a_torn_journal_line(here: Path, cut: int) -> None:
    """Power loss tore the last line: all before it is recorded, the run is FAILED, and nobody is troubled."""
    assert -9 == run_python(KILLED, cwd=here, check=False).returncode
    (journal,) = (here / ".git" / "runstone" / "journal").glob("*.live")
    data = journal.read_bytes()
    journal.write_bytes(data[:-cut])
    done = run_cli("runs", "list", "--json", cwd=here)
    assert (0, "") == (done.returncode, done.stderr)
    run = runstone.get_run("torn")
    assert ("FAILED", {"lr": 0.1}, {}) == (run.status, run.params, run.tags)
    assert [step / 2 for step in range(10)] == [point.value for point in runstone.get_metric_history("torn", "loss")]
    assert [] == list((here / ".git" / "runstone" / "journal").glob("*.live"))
    check_sound(here)


def test_a_damaged_journal_line(here: Path) -> None:
    """A line in the middle was overwritten: it is told, the rest is recorded, and the file is kept to be looked at."""
    run_python(KILLED, cwd=here, check=False)
    (journal,) = (here / ".git" / "runstone" / "journal").glob("*.live")
    lines = journal.read_bytes().split(b"\n")
    lines[-5] = b"\0" * len(lines[-5])
    journal.write_bytes(b"\n".join(lines))
    with pytest.warns(JournalDamagedWarning) as caught:
        run = runstone.get_run("torn")
    kept = here / ".git" / "runstone" / "journal" / "damaged"
    assert [
        f"1 lines of the journal of run torn could not be read. The rest is recorded; the file is kept in {kept}."
    ] == [str(warning.message) for warning in caught]
    assert ("FAILED", 9, {"last": "x" * 100}) == (run.status, run.metrics["loss"].count, run.tags)
    (file,) = kept.iterdir()
    assert file.read_bytes().startswith(b"\n".join(lines))
    check_sound(here)


def edit_by_hand(repo: Path, scratch: Path, path: str, change: Callable[[str], str], message: str) -> None:
    """Edit a file on the branch of runs as a person does: in a work tree, and committed."""
    git("worktree", "add", "-q", scratch, "runs", cwd=repo)
    (scratch / path).write_text(change((scratch / path).read_text()))
    git("commit", "-q", "-a", "-m", message, cwd=scratch)
    git("worktree", "remove", scratch, cwd=repo)


def test_a_record_edited_by_hand(here: Path, tmp_path: Path) -> None:
    """One that breaks the schema is told by every command, stands in no other run's way, and can be put right."""
    for number in range(2):
        with runstone.start_run(run_id=f"run-{number}"):
            runstone.log_metric("loss", number)
    recorded = git("ls-tree", "-r", "--name-only", "runs", cwd=here).splitlines()
    (path,) = (name for name in recorded if name.endswith("/run-0/run.yaml"))
    edit_by_hand(
        here, tmp_path / "edit", path, lambda text: text.replace("status: FINISHED", "status: DONE"), "By hand"
    )
    broken = (
        f"`{path}`: `status` must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED, but is the text "
        f'"DONE". Correct it, then: `runstone validate {path}`'
    )
    skipped = f"1 record is left out of searches. See them all: `runstone doctor`. It is: {broken}"
    with pytest.warns(RecordsSkipped) as caught:
        found = runstone.search_runs(output_format="list")
    assert (["run-1"], {skipped}) == ([run.id for run in found], {str(warning.message) for warning in caught})
    calls: list[Callable[[], object]] = [
        lambda: runstone.get_run("run-0"),
        lambda: runstone.start_run("run-0"),
        lambda: runstone.get_metric_history("run-0", "loss"),
        lambda: runstone.log_metric("loss", 1, run_id="run-0"),
        lambda: runstone.delete_run("run-0"),
    ]
    for call in calls:
        assert broken == refusal(call, RecordInvalid)
    done = run_cli("validate", "--runs", cwd=here)
    assert (1, f"{broken}\n5 files checked: 1 broken\n") == (done.returncode, done.stdout)
    done = run_cli("runs", "show", "run-0", cwd=here)
    assert (1, "", f"error: {broken}") == (done.returncode, done.stdout, done.stderr.splitlines()[-1])
    done = run_cli("doctor", cwd=here)
    assert 1 == done.returncode
    assert f"fail  records: 1 record left out of searches, since unreadable. The first: {broken}\n" in done.stdout
    with runstone.start_run(run_id="run-2"):
        runstone.log_metric("loss", 2)
    edit_by_hand(here, tmp_path / "edit", path, lambda text: text.replace("status: DONE", "status: FAILED"), "Mend it")
    assert {"run-0": "FAILED", "run-1": "FINISHED", "run-2": "FINISHED"} == {
        run.id: run.status for run in runstone.search_runs(output_format="list")
    }
    assert 0 == run_cli("validate", "--runs", cwd=here).returncode
    check_sound(here)


def test_settings_that_break_their_schema(here: Path) -> None:
    """A broken runstone.yaml stops a run before it begins, and says what is wrong with it."""
    (here / "runstone.yaml").write_text("schema: runstone/config/v1\npush: sometimes\n")
    message = refusal(runstone.start_run, RecordInvalid)
    assert (
        '`runstone.yaml`: `push` must be one of manual, auto, but is the text "sometimes". '
        "Correct it, then: `runstone validate runstone.yaml`" == message
    )
    assert "" == git("branch", "--list", "runs", cwd=here)


def test_two_repositories_with_one_name_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that was deleted and made anew in its place has no run of the old one."""
    again = make_repository(tmp_path / "again")
    monkeypatch.chdir(again)
    runstone.start_run().end()
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(again)
    make_repository(again)
    monkeypatch.chdir(again)
    assert [] == runstone.search_runs(output_format="list")
    with runstone.start_run() as run:
        runstone.log_param("p", 1)
    assert [run.id] == [found.id for found in runstone.search_runs(output_format="list")]
    check_sound(again)
