"""A default branch made by hand, commit by commit, with whom and when the test says; and version tags likewise."""

from collections.abc import Mapping, Sequence

from runstone.git.objects import FILE, TreeEntry
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.names import decode_component
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.model import VersionBody
from runstone.records.stage import Stage

KIM, ANN, BOB = "Kim <kim@example.org>", "Ann <ann@example.org>", "Bob <bob@example.org>"
BEGIN = 1_760_000_000


def stage(*versions: int) -> str:
    """The text of a stage's file."""
    return yaml.dump(Stage.of(versions).to_document())


def alias(version: int) -> str:
    """The text of an alias' file."""
    return yaml.dump(Alias(version).to_document())


class Line:
    """The branch `main` of a repository; every commit is made a minute after the one before."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self.time = BEGIN
        self.tip = repo.refs.read("refs/heads/main")
        self.start = self.tip

    def write(
        self,
        files: Mapping[str, str | bytes | None],
        message: str = "Change",
        *,
        parents: Sequence[str] | None = None,
        author: str = KIM,
        committer: str | None = None,
        mode: str = FILE,
    ) -> str:
        """A commit on no branch: paths below `registry/`, or from the top with a `/` before → text, None removes."""
        self.time += 60
        bases = [self.tip] if parents is None and self.tip is not None else list(parents or ())
        before = self.repo.objects.commit(bases[0]).tree if bases else None
        entries = {
            (path[1:] if path[0] == "/" else f"registry/{path}"): None
            if text is None
            else TreeEntry(mode, self.repo.objects.write("blob", text if isinstance(text, bytes) else text.encode()))
            for path, text in files.items()
        }
        tree = self.repo.objects.update_tree(before, entries) or self.repo.objects.write_tree({})
        wrote, put = (f"{who} {self.time} +0000" for who in (author, committer or author))
        return self.repo.objects.write_commit(tree, bases, wrote, put, message)

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        message: str = "Change",
        author: str = KIM,
        committer: str | None = None,
    ) -> str:
        """A commit on the branch."""
        self.move(self.write(files, message, author=author, committer=committer))
        assert self.tip is not None
        return self.tip

    def merge(
        self,
        sides: Sequence[str],
        files: Mapping[str, str | bytes | None],
        message: str,
        *,
        author: str = BOB,
        committer: str | None = None,
    ) -> str:
        """A merge of commits into the branch, with what it changes."""
        assert self.tip is not None
        made = self.write(files, message, parents=[self.tip, *sides], author=author, committer=committer)
        self.move(made)
        return made

    def move(self, commit: str) -> None:
        """Move the branch."""
        self.repo.refs.update([RefUpdate("refs/heads/main", commit, self.tip)])
        self.tip = commit

    def tag(
        self,
        key: str,
        version: int,
        *,
        run: str = "run-1",
        at: int | None = None,
        retired: bool = False,
        target: str | None = None,
        tags: dict[str, str] | None = None,
        record: str = "experiments/e/2026-01-01/-1/run-1",
    ) -> str:
        """A version's git tag, or that of its retirement."""
        name = f"{key}@v{version}{'!' if retired else ''}"
        body = VersionBody(
            decode_component(key), run, record, "model", f"md5:{'0' * 32}.dir", tags=tags or {}, description="The one"
        )
        message = f"Retire {name}\n\nIt was wrong" if retired else f"{name}\n\n{yaml.dump(body.to_document())}"
        self.time += 60
        commit = target or self.start
        assert commit is not None
        oid = self.repo.objects.write_tag(commit, name, f"{ANN} {at or self.time} +0000", message)
        self.repo.refs.update([RefUpdate(f"refs/tags/{name}", oid, None)])
        return oid
