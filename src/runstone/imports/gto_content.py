"""What a version of gto's is at its commit: its entry in `artifacts.yaml` or `dvc.yaml`, its files in git or DVC."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runstone.git.repository import Repository
from runstone.imports.dvc_files import Named, read_named, read_pipeline
from runstone.imports.dvc_outputs import DvcBytes, find_files, find_outputs, read_yaml
from runstone.imports.incoming import IncomingFile, Refusal, Unavailable
from runstone.imports.trees import CommitTree

FOLDER = "model"
"""Where the files of a version lie among the artifacts of its run."""

_FILE = "artifacts.yaml"
_NOTE, _NO_PATH = "README.md", "At this version `artifacts.yaml` named no path, so there are no files.\n"


@dataclass(slots=True)
class Content:
    """The files of one version.

    Attributes:
        entry: What is said of the artifact at its commit; None if nothing is.
        missing: What could not be had, once the files were asked for.
    """

    tree: CommitTree
    entry: Named | None
    data: DvcBytes
    missing: list[str] = field(default_factory=list)

    def files(self, refuse: Refusal) -> Iterator[IncomingFile]:
        """Its files, below `FOLDER`; of an artifact that has no path a note that says so."""
        path = self.entry.path if self.entry is not None else ""
        if not path:
            yield IncomingFile(f"{FOLDER}/{_NOTE}", lambda target: _write(target, _NO_PATH))
            return
        try:
            for file in find_files(self.tree, find_outputs(self.tree), self.data, path, FOLDER):
                yield file._replace(file=self._watched(file)) if callable(file.file) else file
        except Unavailable as error:
            self.missing.append(path)
            refuse(path, str(error))

    def _watched(self, file: IncomingFile) -> Callable[[Path], None]:
        write = file.file
        assert callable(write)

        def watched(target: Path) -> None:
            try:
                write(target)
            except Unavailable:
                self.missing.append(file.path)
                raise

        return watched


def _write(target: Path, text: str) -> None:
    target.write_text(text, encoding="utf-8")


def find_content(repo: Repository, data: DvcBytes, commit: str, name: str) -> Content:
    """What an artifact is at a commit.

    Args:
        repo: The repository.
        data: What DVC keeps for it.
        commit: The commit of a version.
        name: The artifact; one of a folder below is `folder:name`.
    """
    tree = CommitTree(repo, commit)
    named = {each.name: each for each in read_named(read_yaml(tree, _FILE), "")}
    pipeline = read_pipeline(tree, lambda *_: None)
    return Content(tree, named.get(name) or pipeline.artifacts.get(name), data)
