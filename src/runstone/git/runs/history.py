"""The line of the branch `runs`: its events, and when each run came onto it.

The first parents are the log: one commit an event. What an event says of itself stands in its message, which is for
display: other people wrote it. What it did is read from the trees. Order is that of the line, never of clocks.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

from runstone.errors import InvalidName
from runstone.git.pieces import git_pieces, split_pieces
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.names import check_run_id
from runstone.records.document import parse_seconds

_FORMAT = "%H%x00%P%x00%at%x00%an%x00%B%x00"
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]*): (.*)$", re.MULTILINE)
_NAMED = re.compile(r"(?P<name>.*?)(?:: (?P<status>[A-Z]+))?")
_KINDS = (
    ("Record run ", "recorded"),
    ("Add to run ", "added to"),
    ("Delete run ", "deleted"),
    ("Restore run ", "restored"),
    ("Amend run ", "amended"),
    ("Move run ", "moved"),
    ("Remove ", "removed"),
    ("Create experiment ", "experiment created"),
    ("Rename experiment ", "experiment renamed"),
    ("Delete experiment ", "experiment deleted"),
    ("Restore experiment ", "experiment restored"),
    ("Begin the runs of this repository", "begun"),
)
"""What subjects begin with → what happened, in a word. Another subject stands for itself."""

_SET_STATUS = re.compile(r"Set status (?P<status>[A-Z]+) of run (?P<name>.*)")


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A file that an event touched: `A`dded, `D`eleted or `M`odified, and its blobs before and after (None: none)."""

    status: str
    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Event:
    """One commit of the line.

    Attributes:
        commit: Its id.
        previous: The event before it; None for the first.
        code: Its second parent: the code of a run.
        time: Unix milliseconds, by the clock of who wrote it.
        author: Their name.
        message: Subject, empty line, body; any text.
        files: What it touched, where that was asked for.
    """

    commit: str
    previous: str | None
    code: str | None
    time: int
    author: str
    message: str
    files: tuple[FileEdit, ...] = ()

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]

    @cached_property
    def trailers(self) -> dict[str, str]:
        """`Run`, `Experiment`, `Reason` … as the message names them first; what a change was called may look alike."""
        return dict(reversed(_TRAILER.findall(self._body)))

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that the message names: several only of a removal, none where what it names cannot be one."""
        named = [text for key, text in _TRAILER.findall(self._body) if key == "Run"]
        return tuple(filter(_is_run_id, named if self.kind == "removed" else named[:1]))

    @property
    def run_id(self) -> str | None:
        """The run that the message names, if it names one."""
        ids = self.run_ids
        return ids[0] if len(ids) == 1 else None

    @property
    def _body(self) -> str:
        return self.message.partition("\n\n")[2]

    @property
    def replaced(self) -> tuple[str, ...]:
        """The values that a sync found changed on both sides and that lost: a line of the message each."""
        return tuple(line[10:] for line in self.message.split("\n") if line.startswith("Replaced: "))

    @property
    def kind(self) -> str | None:
        """What happened, as `recorded`; None for a subject that is not known."""
        if _SET_STATUS.fullmatch(self.subject):
            return "status set"
        return next((kind for start, kind in _KINDS if self.subject.startswith(start)), None)

    @property
    def title(self) -> str:
        """The subject without the words that `kind` stands for: the name of a run, of an experiment."""
        if self.run_name is not None:
            return self.run_name
        start = next((start for start, _ in _KINDS if self.subject.startswith(start)), "")
        return self.subject[len(start) :]

    @property
    def run_name(self) -> str | None:
        """The name of the run, as the subject has it."""
        return self._named()[0]

    @property
    def status(self) -> str | None:
        """The status that the run had then, where the subject tells."""
        return self._named()[1]

    def _named(self) -> tuple[str | None, str | None]:
        match = _SET_STATUS.fullmatch(self.subject)
        if match is None:
            start = next(
                (start for start, _ in _KINDS if start.endswith(" run ") and self.subject.startswith(start)), ""
            )
            match = _NAMED.fullmatch(self.subject[len(start) :]) if start else None
        return (match["name"], match["status"]) if match else (None, None)


def read_events(
    repo: Repository,
    *,
    paths: Sequence[str] = (),
    limit: int | None = None,
    with_files: bool = False,
    oldest_first: bool = False,
) -> Iterator[Event]:
    """The events of the line, the newest first, as git finds them.

    Args:
        repo: The repository.
        paths: git's pathspecs: only events that touched one of these.
        limit: So many at most, the newest.
        with_files: Whether to tell what each touched, within `paths`.
        oldest_first: The other way round; then git reads all before the first is given.
    """
    tip = repo.runs_tip()
    if tip is None:
        return
    options = ["-z", "--first-parent", f"--format={_FORMAT}", "--encoding=UTF-8", "--no-show-signature", "--no-color"]
    if with_files:
        options += ["--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff"]
    if limit is not None:
        options.append(f"--max-count={limit}")
    if oldest_first:
        options.append("--reverse")
    arguments = ["-c", "log.showRoot=true", "log", *options, "--end-of-options", tip, "--", *paths]
    with closing(git_pieces(repo, arguments)) as pieces:
        yield from _parse(split_pieces(pieces, b"\0"))


def run_paths(run_id: str) -> tuple[str, ...]:
    """The pathspec of a run's folder, in whichever experiment it was."""
    return (f":(top,glob){layout.EXPERIMENTS}/*/*/{run_id[-2:]}/{check_run_id(run_id)}/**",)


def experiment_paths(experiment_id: str) -> tuple[str, ...]:
    """The pathspec of an experiment's folder."""
    return (f":(top,literal){layout.experiment_folder(experiment_id)}",)


def read_recordings(repo: Repository) -> dict[str, Event]:
    """The event that brought each run onto the line, by run, in the order of the line, the oldest first.

    Runs that came with one event, as those of before the cut of a shallow history, are in the order of their ids.
    """
    found: dict[str, Event] = {}
    paths = (f":(top,glob){layout.EXPERIMENTS}/*/*/*/*/{layout.RECORD}",)
    for event in read_events(repo, paths=paths, with_files=True, oldest_first=True):
        for run_id in sorted(filter(None, (_added_run(edit) for edit in event.files))):
            found.setdefault(run_id, event)
    return found


def is_cut(repo: Repository, event: Event) -> bool:
    """Whether a shallow clone's history ends at this event."""
    if not repo.shallow:
        return False
    try:
        return event.commit in (repo.common_dir / "shallow").read_text().split()
    except FileNotFoundError:
        return False  # it was completed meanwhile


def _is_run_id(text: str) -> bool:
    try:
        check_run_id(text)
    except InvalidName:
        return False
    return True


def _added_run(edit: FileEdit) -> str | None:
    folder, _, name = edit.path.rpartition("/")
    path = layout.parse_run_folder(folder) if edit.status == "A" and name == layout.RECORD else None
    return None if path is None else path.run_id


def _parse(tokens: Iterator[bytes]) -> Iterator[Event]:
    token = next(tokens, b"")
    while token:
        fields = [token, *(next(tokens) for _ in range(4))]
        commit, parents, seconds, author, message = (field.decode("utf-8", "replace") for field in fields)
        next(tokens, None)  # what -z ends a commit with
        files = []
        token = next(tokens, b"")
        while token.startswith((b"\n:", b":")):
            _, _, before, after, status = token.decode().split(" ")
            path = next(tokens).decode("utf-8", "replace")
            files.append(FileEdit(status[0], path, _blob(before), _blob(after)))
            token = next(tokens, b"")
        previous, code = [*parents.split(), None, None][:2]
        time = parse_seconds(seconds)
        yield Event(commit, previous, code, time, author, message.rstrip("\n"), tuple(files))


def _blob(oid: str) -> str | None:
    return oid if oid.strip("0") else None
