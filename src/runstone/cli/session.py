"""What the commands of one command line share: the repository, arguments that name things in it, and progress bars."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from runstone.errors import RunNotFound, RunstoneError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from runstone.client import Client
    from runstone.git.repository import Repository
    from runstone.records.experiment import Experiment
    from runstone.tracking.workspace import Workspace

    TextType = click.ParamType[str]
    AnyType = click.ParamType[Any]
else:
    TextType = AnyType = click.ParamType  # no generic before click 8.4


class Session:
    """One command line at work on one repository. Nothing is opened before it is used."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._recorded: list[str] = []

    @cached_property
    def client(self) -> "Client":
        """Every verb; raises `NotARepository`."""
        from runstone.client import Client
        from runstone.git.carried import heal

        client = Client(self.path)
        heal(client.workspace.repo)
        return client

    @property
    def workspace(self) -> "Workspace":
        """The repository with its artifacts and rules, as it is."""
        return self.client.workspace

    @cached_property
    def repo(self) -> "Repository":
        """The repository, to read from: runs of dead processes are recorded first, where it can be written."""
        import warnings

        workspace = self.workspace  # outside any repository this is the error, and the only one
        try:
            self._recorded += workspace.recover()
        except RunstoneError as error:
            warnings.warn(f"Runs that were cut short could not be recorded: {error}", stacklevel=2)
        return workspace.repo

    @cached_property
    def light_repo(self) -> "Repository":
        """As `repo`, for lists, which need to be quick: what makes and changes runs is imported only if one waits."""
        if self.path is not None and ":" in self.path:  # `runstone:PATH`
            return self.repo
        from runstone.git import kept
        from runstone.git.repository import Repository
        from runstone.git.runs import journal

        repo = Repository.open(self.path)
        is_cut_short = any((repo.state_dir / "carrying").glob("*"))  # see `git.carried`
        return self.repo if is_cut_short or journal.list_entries(repo) or kept.needs_check(repo) else repo

    def run_id(self, prefix_or_name: str) -> str:
        """The id of the one run that this means; raises `RunNotFound`, `RunAmbiguous`, `RecordInvalid`."""
        from runstone.index.search import resolve_run

        try:
            return resolve_run(self.repo, prefix_or_name)
        except RunNotFound:  # or left out of searches, since its record cannot be read: then that is told
            from runstone.tracking.read import need_recorded

            return need_recorded(self.workspace, prefix_or_name).run.id

    def recovered(self, *, force: tuple[str, ...] = ()) -> list[str]:
        """Record the runs of dead processes; the ids of all that were recorded by this command line."""
        self._recorded += self.workspace.recover(force=force)
        return list(dict.fromkeys(self._recorded))

    def live_runs(self) -> list[str]:
        """The runs that a process logs to, or may."""
        from runstone.git.runs.live import list_live

        return list(list_live(self.workspace.repo))

    def say_share(self, branch: str | None = None) -> None:
        """Tell how to share what was changed, where there is a remote: on the branch of runs, or on one of the user."""
        from shlex import quote

        from runstone.cli.output import hint

        config = self.workspace.repo.git_config
        remotes = [key[7:-4] for key in config if key.startswith("remote.") and key.endswith(".url")]
        if not remotes:
            return
        remote = "origin" if "origin" in remotes else remotes[0]
        if branch is None:
            hint("Share it: `runstone sync`")
            return
        hint(f"Share it: `git push {quote(remote)} {quote(branch)}`")
        hint(
            "If that is rejected, others were faster: see what they changed (`git fetch`, `runstone models list`), "
            f"then `git pull --rebase {quote(remote)} {quote(branch)}`, and push again."
        )

    def say_share_tag(self, tag: str) -> None:
        """As `say_share`, of a git tag, which is on the remote already where that gives the numbers."""
        from runstone.cli.output import hint

        prefix = "refs/runstone/remote-tags/"
        known = [ref.removeprefix(prefix) for ref in self.workspace.repo.refs.list(prefix)]
        remotes = sorted(each.removesuffix(f"/{tag}") for each in known if each.endswith(f"/{tag}"))
        if remotes:
            hint(f"`{', '.join(remotes)}` has it already; others get it by `runstone pull`.")
        else:
            self.say_share()


pass_session = click.make_pass_decorator(Session)
"""A decorator: the command's first argument is the `Session`."""


def session_of(ctx: click.Context) -> Session:
    """The session of a command line, also of one that is only being completed."""
    root = ctx.find_root()
    if not isinstance(root.obj, Session):
        root.obj = Session(root.params.get("repo"))
    return root.obj


class Word(TextType):
    """A text that the shell completes; the value is the text.

    Args:
        name: What it is, for messages.
        words: The function of `cli.words` that knows what there is.
    """

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        self._words = words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """What begins with what is written; outside a repository there is nothing to offer, and nowhere to say so."""
        from click.shell_completion import CompletionItem

        from runstone.cli import words

        try:
            found = getattr(words, self._words)(session_of(ctx), ctx, incomplete)
        except RunstoneError:
            return []
        return [CompletionItem(word, help=help_) for word, help_ in found if word.startswith(incomplete)]


class RunType(Word):
    """A run by id, by an unambiguous beginning of one, or by name; the value is its id."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Find the run; raises `RunNotFound`, `RunAmbiguous`."""
        assert ctx is not None
        return session_of(ctx).run_id(str(value))


class ExperimentType(AnyType):
    """An experiment by name or id; the value is the `Experiment`."""

    name = "experiment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Experiment":
        """Find the experiment; raises `ExperimentNotFound`."""
        from runstone.index.experiments import find_experiment

        assert ctx is not None
        return find_experiment(session_of(ctx).light_repo, str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """Names of experiments."""
        return EXPERIMENT_NAME.shell_complete(ctx, param, incomplete)


RUN, EXPERIMENT, MODEL = RunType("run", "runs"), ExperimentType(), Word("model", "models")
RUN_BEFORE_EXPERIMENT = RunType("run", "runs_and_experiments")
RUN_OR_VERSION = Word("run", "runs_and_versions")
EXPERIMENT_NAME = Word("experiment", "experiments")
ALIAS, METRIC, REMOTE = Word("alias", "aliases"), Word("metric", "metrics"), Word("remote", "remotes")
VERSION, PLACE = Word("version", "versions"), Word("stage or alias", "places")
VERSION_URI = Word("uri", "version_uris")
FIELD, SECTIONS = Word("field", "fields"), Word("sections", "sections")


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error for long work.

    Returns:
        What to call with (done, all); None where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    bars: list[Any] = []

    def tell(done: int, total: int) -> None:
        if not bars:
            bars.append(click.progressbar(length=total, label=label, file=sys.stderr).__enter__())
        bars[0].length = total
        bars[0].update(done - bars[0].pos)

    try:
        yield tell
    finally:
        for bar in bars:
            bar.__exit__(None, None, None)


def wants_color(when: str) -> bool | None:
    """What `--color` means: True, False, or None for: on terminals. NO_COLOR turns `auto` off (no-color.org)."""
    if when == "auto":
        return False if os.environ.get("NO_COLOR") else None
    return when == "always"
