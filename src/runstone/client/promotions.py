"""The verbs of the client that are reviewed where a project says so: done at once, or by a proposal."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from runstone import names
from runstone.client.numbers import version_number
from runstone.errors import AliasNotFound, InvalidValue, ReviewRequired
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from runstone.promotion.proposals.approve import Approved
    from runstone.promotion.proposals.propose import Maker, Options, Outcome
    from runstone.registry.version import ModelVersion


class PromotionVerbs:
    """What a client can do about stages, aliases and what a model is called."""

    _workspace: Workspace

    def promote(
        self,
        name: str,
        version: str | int,
        stage: str | None = None,
        *,
        alias: str | None = None,
        archive_existing: bool = False,
        message: str | None = None,
        bypass: str | None = None,
        options: "Options | None" = None,
    ) -> "Outcome":
        """Move a version into a stage, or point an alias at it: at once in `direct` mode, else by a proposal.

        Args:
            name: The registered model.
            version: Its number, `@ALIAS` or `latest`.
            stage: The stage, as the policy names it.
            alias: The alias, in place of a stage.
            archive_existing: Whether all others in the stage make room for it.
            message: Why; it stands in the commit.
            bypass: Why gates are to be set aside; the policy says who may.
            options: Whether to propose in any case, to push, whom to ask …; see `promotion.propose.Options`.

        Returns:
            What became of it; `outcome.is_proposal` tells whether it waits for review.

        Raises:
            GatesNotPassed: It was to be made at once, and the gates do not let it through.
            TransitionRefused, UnknownStage, VersionNotFound …: See `promotion.plan.plan`.
        """
        from runstone.promotion.proposals import wishes

        wish = wishes.promotion(
            version if isinstance(version, str) else version_number(version),
            stage=stage,
            alias=alias,
            archive_existing=archive_existing,
            bypass=self._redacted(bypass),
            why=self._redacted(message),
        )
        return self._carry_out(name, wish, options)

    def demote(
        self,
        name: str,
        version: str | int,
        *,
        to: str | None = None,
        message: str | None = None,
        bypass: str | None = None,
        options: "Options | None" = None,
    ) -> "Outcome":
        """Take a version out of its stage: to another one, else to the stage's `previous`, else to none."""
        from runstone.promotion.proposals import wishes

        number = version if isinstance(version, str) else version_number(version)
        wish = wishes.demotion(number, to=to, bypass=self._redacted(bypass), why=self._redacted(message))
        return self._carry_out(name, wish, options)

    def rollback(
        self,
        name: str,
        stage: str | None = None,
        *,
        alias: str | None = None,
        to: str | int | None = None,
        message: str | None = None,
        bypass: str | None = None,
        options: "Options | None" = None,
    ) -> "Outcome":
        """Put those back into a stage who were there before, or an alias to where it pointed; `to` names the version.

        Raises:
            NoFormerHolder: Nothing else ever stood there.
        """
        from runstone.promotion.proposals import wishes

        to = to if to is None or isinstance(to, str) else version_number(to)
        texts = {"bypass": self._redacted(bypass), "why": self._redacted(message)}
        wish = wishes.rollback(self._workspace.repo, stage=stage, alias=alias, to=to, **texts)
        return self._carry_out(name, wish, options)

    def propose_registration(
        self,
        name: str,
        source: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        message: str | None = None,
        options: "Options | None" = None,
    ) -> "Outcome":
        """Propose that a model which a run logged becomes the next version: `runs:/<run id>/<path>`."""
        from runstone import uris
        from runstone.promotion.proposals.register import propose_registration

        uri = uris.parse_uri(source)
        if not isinstance(uri, uris.RunUri):
            raise InvalidValue(f"What is to be registered must be `runs:/<run id>/<path>`, but is {source!r}.")
        return propose_registration(
            self._workspace,
            name,
            uri,
            description=description,
            tags=tags,
            why=self._redacted(message),
            options=options,
        )

    def rename_model(
        self, name: str, new_name: str, *, message: str | None = None, options: "Options | None" = None
    ) -> "Outcome":
        """Give a model another name: at once, or by a proposal. See `promotion.proposals.models.rename_model`."""
        from runstone.promotion.proposals.models import rename_model

        return rename_model(self._workspace, name, new_name, why=self._redacted(message), options=options)

    def delete_model(self, name: str, *, message: str | None = None, options: "Options | None" = None) -> "Outcome":
        """Delete a model: at once, or by a proposal. See `promotion.proposals.models.delete_model`."""
        from runstone.promotion.proposals.models import delete_model

        return delete_model(self._workspace, name, why=self._redacted(message), options=options)

    def approve_proposal(self, name: str, *, message: str | None = None, remote: str | None = None) -> "Approved":
        """Say yes to an open proposal without merging it. See `promotion.proposals.approve.approve_proposal`."""
        from runstone.promotion.proposals.approve import approve_proposal

        return approve_proposal(self._workspace, name, why=self._redacted(message), remote=remote)

    def propose_edit(
        self, edit: "Callable[[], object]", *, message: str | None = None, options: "Options | None" = None
    ) -> "Outcome":
        """Propose what a call would commit to the default branch, where people may not push that.

        Args:
            edit: The call, as `lambda: client.update_registered_model("churn", "Who leaves")`.
            message: Why; it stands in the commit.
            options: See `promote`.
        """
        from runstone.promotion.proposals.edits import propose_edit

        return propose_edit(self._workspace, edit, why=self._redacted(message), options=options)

    def propose_files(
        self, *paths: "str | Path", message: str | None = None, options: "Options | None" = None
    ) -> "Outcome":
        """Propose files as they are now: a policy, the settings. See `promotion.proposals.edits.propose_files`."""
        from runstone.promotion.proposals.edits import propose_files

        return propose_files(self._workspace, paths, why=self._redacted(message), options=options)

    # --- MLflow's names

    def set_registered_model_alias(self, name: str, alias: str, version: str | int) -> None:
        """Point an alias at a version: one commit on the default branch.

        Raises:
            ReviewRequired: The project reviews such changes; it names the proposal that was opened, or is open.
        """
        from runstone.promotion.proposals import wishes

        wish = wishes.promotion(version_number(version), alias=names.check_alias(alias))
        self._at_once(name, wish, f"{name}@{alias}")

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias, if the model has it: one commit on the default branch.

        Raises:
            ModelNotFound: There is no such model.
            ReviewRequired: As for `set_registered_model_alias`.
        """
        from runstone.registry.model import get_model

        try:
            self.remove_alias(name, alias)
        except AliasNotFound:
            get_model(self._workspace.repo, name)  # that there is such a model is not taken for granted

    def remove_alias(self, name: str, alias: str) -> None:
        """As `delete_registered_model_alias`, but raises `AliasNotFound` if the model has no such alias."""
        from runstone.promotion.proposals import wishes

        self._at_once(name, wishes.removal(names.check_name("alias", alias)), f"{name}@{alias}")

    def transition_model_version_stage(
        self, name: str, version: str | int, stage: str, archive_existing_versions: bool = False
    ) -> "ModelVersion":
        """Move a version into a stage; `None` takes it out of its stage.

        Args:
            name: The registered model.
            version: Its number.
            stage: The stage, however large or small its letters are.
            archive_existing_versions: Whether all others in the stage are archived; not for `None`.

        Returns:
            The version as it is then.

        Raises:
            ReviewRequired: The project reviews such changes; it names the proposal that was opened, or is open.
        """
        from runstone.promotion.proposals import wishes
        from runstone.registry.version import get_version

        number = version_number(version)
        if not isinstance(stage, str):
            raise InvalidValue(f"The stage must be its name, as 'Production', or 'None' for none, but is {stage!r}.")
        if archive_existing_versions and stage.lower() == "none":
            raise InvalidValue(
                "Versions that are in no stage cannot be archived: `archive_existing_versions` goes with a stage."
            )
        wish = wishes.transition(number, stage, archive_existing=archive_existing_versions)
        self._at_once(name, wish, f"{name} v{number}")
        return get_version(self._workspace.repo, name, number)

    def _at_once(self, name: str, wish: "Maker", what: str) -> None:
        self._need_done(self._carry_out(name, wish, None), what)

    def _need_done(self, outcome: "Outcome", what: str, deed: str = "moved") -> None:
        """Raise `ReviewRequired` where something that was to be done at once was proposed."""
        from runstone.promotion.proposals.direct import reviews

        if outcome.is_proposal:
            by_policy = not reviews(self._workspace.repo)
            raise ReviewRequired(what, outcome.plan.branch, outcome.asked.url, deed=deed, by_policy=by_policy)

    def _carry_out(self, name: str, wish: "Maker", options: "Options | None") -> "Outcome":
        from runstone.promotion.proposals.direct import carry_out
        from runstone.registry.model import find_key

        return carry_out(self._workspace, find_key(self._workspace.repo, name), wish, options)

    def _redacted(self, text: str | None) -> str | None:
        if not text:
            return None
        from runstone.tracking.values import check_text

        return self._workspace.redactor.text(check_text("message", "message", text), key="message")
