"""Registered models into MLflow's registry, by its client: versions with their numbers, stages, aliases."""

import warnings
from typing import Any, NamedTuple

from runstone.exports.mlflow.target import Lost, Target
from runstone.imports.report import Report

VERSION_TAG = "runstone.version"
"""Names the git tag that a version was exported from, so that a second export knows it."""


class OutgoingVersion(NamedTuple):
    """One version on its way.

    Attributes:
        version: MLflow's entity of it.
        source: Where its files are there; None if they were not exported.
        run_id: The run there that made it, if one did.
    """

    version: Any
    source: str | None
    run_id: str | None

    @property
    def number(self) -> int:
        """Its number."""
        return int(self.version.version)


class Registry:
    """The registry beside a store that runs were exported to."""

    def __init__(self, target: Target, report: Report) -> None:
        """Use the registry of a store."""
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(target.uri, target.uri)
        self._target = target
        self._report = report

    def put_model(self, model: Any, versions: list[OutgoingVersion]) -> None:
        """Write a model, MLflow's entity of it, and its versions, in order of their numbers."""
        there = self._find(model.name)
        if there is None:
            self._client.create_registered_model(model.name, model.tags, model.description)
            self._target.set_created(model.name, None, model.creation_timestamp)
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
        for outgoing in versions:
            if outgoing.number in known:
                self._refresh(outgoing.version, known[outgoing.number])
            elif outgoing.source is None:
                self._lose(outgoing.version, "what it was made from was not exported")
            elif outgoing.number < last:
                why = "a version of this number was deleted there, and numbers are not given again"
                self._lose(outgoing.version, why)
            else:
                for _ in range(last + 1, outgoing.number):  # that are not here any more: MLflow counts on
                    made = self._create(outgoing)
                    self._client.delete_model_version(model.name, made.version)
                self._put(outgoing)
                last = outgoing.number
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

    def _create(self, outgoing: OutgoingVersion, **more: Any) -> Any:
        """Make the next version of a model."""
        logged = str(outgoing.source).partition("models:/")[2]
        told = {"model_id": logged} if logged else {}  # a server wants to be told twice
        return self._client.create_model_version(
            outgoing.version.name, outgoing.source, outgoing.run_id, await_creation_for=0, **told, **more
        )

    def _put(self, outgoing: OutgoingVersion) -> None:
        version = outgoing.version
        tags = {**version.tags, VERSION_TAG: f"{version.name}@v{outgoing.number}"}
        self._create(outgoing, tags=tags, run_link=version.run_link, description=version.description)
        self._target.set_created(version.name, outgoing.number, version.creation_timestamp)
        if version.current_stage not in (None, "None"):
            self._move(version)
        self._report.count("versions", "new")

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
        there, known = self._client.get_registered_model(model.name).aliases, self._known(model.name)
        for alias, number in dict(model.aliases).items():
            if int(number) not in known:
                self._report.miss("alias", f"{model.name}@{alias}", f"version {number} is not there")
            elif str(there.get(alias)) != str(number):
                self._client.set_registered_model_alias(model.name, alias, str(number))
        for alias in set(there) - set(model.aliases):
            self._client.delete_registered_model_alias(model.name, alias)

    def _lose(self, version: Any, why: str) -> None:
        lost = Lost("version", f"{version.name} {version.version}", why)
        self._report.miss(*lost)
