"""What `evaluate` returns: metrics, artifacts and tables, which can be saved to a folder and read again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from runstone.artifacts.descriptor import check_artifact_path
from runstone.errors import InvalidName, InvalidValue

_METRICS, _ARTIFACTS, _FOLDER = "metrics.json", "artifacts_metadata.json", "artifacts"


@dataclass(frozen=True, slots=True)
class EvaluationArtifact:
    """A file that an evaluation made.

    Attributes:
        uri: `runs:/<run id>/<path>`.
        content: Its bytes.
    """

    uri: str
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.uri.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The outcome of an evaluation.

    Attributes:
        metrics: Name → value, as in the run.
        artifacts: Name → file, as `roc_curve_plot`.
        run_id: The run that has it all.
        digest: `<algorithm>:<hex>` of the data.
        omitted: What could not be had, and why, a sentence each.
    """

    metrics: Mapping[str, float]
    artifacts: Mapping[str, EvaluationArtifact]
    run_id: str | None = None
    digest: str | None = None
    omitted: tuple[str, ...] = ()

    @property
    def tables(self) -> dict[str, Any]:
        """Name → DataFrame, of the artifacts that are tables."""
        import io

        import pandas as pd

        files = {name: file for name, file in self.artifacts.items() if file.name.endswith(".csv")}
        return {name: pd.read_csv(io.BytesIO(file.content)) for name, file in files.items()}

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a folder.

        Writes:
            `metrics.json`, `artifacts_metadata.json`, and the files in `artifacts/`, as MLflow names them.
        """
        folder = Path(path)
        (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / _METRICS).write_text(json.dumps(dict(self.metrics), indent=2), encoding="utf-8")
        about = {
            "run_id": self.run_id,
            "digest": self.digest,
            "omitted": list(self.omitted),
            "artifacts": {name: {"uri": file.uri} for name, file in self.artifacts.items()},
        }
        (folder / _ARTIFACTS).write_text(json.dumps(about, indent=2, ensure_ascii=False), encoding="utf-8")
        for file in self.artifacts.values():
            (folder / _FOLDER / file.name).write_bytes(file.content)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "EvaluationResult":
        """Read what `save` wrote.

        Raises:
            InvalidValue: The folder holds no evaluation.
        """
        folder = Path(path)
        try:
            metrics = json.loads((folder / _METRICS).read_text(encoding="utf-8"))
            about = json.loads((folder / _ARTIFACTS).read_text(encoding="utf-8"))
            artifacts = {}
            for name, file in about["artifacts"].items():
                read = EvaluationArtifact(str(file["uri"]), b"")
                data = (folder / _FOLDER / check_artifact_path(read.name)).read_bytes()
                artifacts[name] = EvaluationArtifact(read.uri, data)
            values = {str(name): float(value) for name, value in metrics.items()}
            return cls(values, artifacts, about["run_id"], about["digest"], tuple(about["omitted"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidName) as error:
            raise InvalidValue(f"{folder} holds no evaluation that `EvaluationResult.save` wrote: {error!r}") from error
