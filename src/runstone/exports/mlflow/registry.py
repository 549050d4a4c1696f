"""Registered models into MLflow's registry, by its client: versions with their numbers, stages, aliases."""

import warnings
from typing import Any

from runstone.exports.mlflow.target import Lost
from runstone.imports.report import Report

VERSION_TAG = "runstone.version"
"""Names the git tag that a version was exported from, so that a second export knows it."""


class Registry:
    """The registry beside a store that runs were exported to."""

    def __init__(self, uri: str, report: Report) -> None:
        """Use the registry of a store, as MLflow's clients are given it."""
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(uri, uri)
        self._report = report

    def put_model(self, model: Any, versions: list[Any], sources: dict[str, tuple[str, str]]) -> None:
        """Write a model and its versions.

        Args:
            model: MLflow's entity of it.
            versions: Of its versions, in order of their numbers.
            sources: The id there, and the URI of the artifacts, of each exported run.
        """
        there = self._find(model.name)
        if there is None:
            self._client.create_registered_model(model.name, model.tags, model.description)
            self._report.count("models", "new")
        else:
            if (there.description or "") != (model.description or ""):
                self._client.update_registered_model(model.name, model.description)
            for key, value in model.tags.items():
                if there.tags.get(key) != value:
                    self._client.set_registered_model_tag(model.name, key, value)
            self._report.count("models", "same")
        known = self._known(model.name)
        last = max(known, default=0)
        for version in versions:
            number = int(version.version)
            if number in known:
                self._refresh(version, known[number])
            elif number > last:
                self._burn(model.name, last + 1, number, sources)
                last = self._put(version, sources)
            else:
                self._lose(version, "a version of this number was deleted there, and numbers are not given again")
        self._put_aliases(model)

    def _find(self, name: str) -> Any | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _known(self, name: str) -> dict[int, Any]:
        """The versions of a model that are there, by their numbers."""
        # MLflow's filters have no way to write a quote within quotes, so such a name is looked for among all.
        wanted = f"name = '{name}'" if not set(name) & set("'\"`\\") else ""
        found: dict[int, Any] = {}
        token = None
        while True:
            page = self._client.search_model_versions(wanted, 1000, page_token=token)
            found |= {int(each.version): each for each in page if each.name == name}
            token = page.token
            if not token:
                return found

    def _burn(self, name: str, first: int, end: int, sources: dict[str, tuple[str, str]]) -> None:
        """Use up the numbers of versions that were retired, as MLflow counts on from the last one."""
        run_id, uri = next(iter(sources.values()), (None, "runstone:retired"))
        for _ in range(first, end):
            made = self._client.create_model_version(name, f"{uri}/retired", run_id, await_creation_for=0)
            self._client.delete_model_version(name, made.version)

    def _put(self, version: Any, sources: dict[str, tuple[str, str]]) -> int:
        number = int(version.version)
        if version.run_id not in sources:
            self._lose(version, f"its run {version.run_id} was not exported")
            self._burn(version.name, number, number + 1, sources)
            return number
        run_id, uri = sources[version.run_id]
        path = version.tags.get("runstone.path") or _path_of(version.source)
        tags = {**version.tags, VERSION_TAG: f"{version.name}@v{number}"}
        self._client.create_model_version(
            version.name,
            f"{uri}/{path}".rstrip("/"),
            run_id,
            tags,
            version.run_link,
            version.description,
            await_creation_for=0,
        )
        if version.current_stage not in (None, "None"):
            self._move(version)
        self._report.count("versions", "new")
        return number

    def _refresh(self, version: Any, there: Any) -> None:
        if there.tags.get(VERSION_TAG) != f"{version.name}@v{version.version}":
            self._report.count("versions", "clash")
            self._lose(version, "another version of this number is there")
            return
        if (there.description or "") != (version.description or ""):
            self._client.update_model_version(version.name, there.version, version.description)
        for key, value in version.tags.items():
            if there.tags.get(key) != value:
                self._client.set_model_version_tag(version.name, there.version, key, value)
        if (there.current_stage or "None") != (version.current_stage or "None"):
            self._move(version)
        self._report.count("versions", "same")

    def _move(self, version: Any) -> None:
        from mlflow.exceptions import MlflowException

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # that MLflow may come to do without stages
                self._client.transition_model_version_stage(version.name, str(version.version), version.current_stage)
        except MlflowException:
            self._report.miss(
                "stage", f"{version.current_stage} of {version.name} {version.version}", "MLflow has no such stage"
            )

    def _put_aliases(self, model: Any) -> None:
        there = self._client.get_registered_model(model.name).aliases
        for alias, number in dict(model.aliases).items():
            if str(there.get(alias)) != str(number):
                self._client.set_registered_model_alias(model.name, alias, str(number))
        for alias in set(there) - set(model.aliases):
            self._client.delete_registered_model_alias(model.name, alias)

    def _lose(self, version: Any, why: str) -> None:
        lost = Lost("version", f"{version.name} {version.version}", why)
        self._report.miss(*lost)


def _path_of(source: str) -> str:
    """The path of a version's files among its run's artifacts, of the URI by which the plug-in names them."""
    return source.partition("/artifacts/")[2]
