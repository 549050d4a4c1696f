"""Forges that know a draft by a word at the beginning of its title: GitLab and Gitea."""

import re
from typing import ClassVar

from runstone.promotion.forge.base import Change, ForgeBase

_DRAFT = re.compile(r"(?:\s*(?:\[draft\]|\(draft\)|draft:|\[wip\]|wip:)\s*)+", re.IGNORECASE)


class DraftsByTitle(ForgeBase):
    """A project on a forge where the title says what is a draft."""

    _draft: ClassVar[str]
    """The word that marks one."""

    def _mark_draft(self, title: str, draft: bool) -> str:
        plain, _ = drop_draft(title)
        return f"{self._draft} {plain}" if draft else plain

    def _new_title(self, number: int, change: Change) -> str | None:
        """The title that a request gets; None if it keeps its own."""
        if change.title is None and change.draft is None:
            return None
        old = self.get_request(number)
        title = old.title if change.title is None else change.title
        return self._mark_draft(title, old.draft if change.draft is None else change.draft)


def drop_draft(title: str) -> tuple[str, bool]:
    """A title without the words by which GitLab and Gitea know a draft, and whether it had any."""
    match = _DRAFT.match(title)
    return (title[match.end() :], True) if match else (title, False)
