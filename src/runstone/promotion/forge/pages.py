"""The addresses of a project's pages on its forge, and how a branch of it or of a fork is called."""

from typing import ClassVar

from runstone.promotion.forge.servers import Place
from runstone.promotion.forge.url import quote_part, quote_path


class ProjectPages:
    """The pages of one project; nothing here asks the forge."""

    _pages: ClassVar[str] = ""
    """What stands between the address of a project and those of its pages."""
    _requests: ClassVar[str]
    """The word for requests in the address of one."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def name(self) -> str:
        """As people call it."""
        return self.place.name

    @property
    def url(self) -> str:
        """The project's page."""
        return self.place.url

    def compare_url(self, base: str, head: str) -> str:
        """The page with the differences."""
        return f"{self.url}{self._pages}/compare/{quote_path(base)}...{quote_path(head)}"

    def new_request_url(self, base: str, head: str) -> str:
        """The page on which a person opens a request."""
        owner, branch = self._split_head(head)
        source = f"{quote_part(owner)}:{quote_path(branch)}" if owner else quote_path(branch)
        return f"{self.url}/compare/{quote_path(base)}...{source}"

    def commit_url(self, oid: str) -> str:
        """The page of a commit."""
        return f"{self.url}{self._pages}/commit/{quote_part(oid)}"

    def request_url(self, number: int) -> str:
        """The page of a request."""
        return f"{self.url}{self._pages}/{self._requests}/{number}"

    def _split_head(self, head: str) -> tuple[str, str]:
        """`owner:branch` → owner and branch; the project's own owner is left out."""
        owner, colon, branch = head.rpartition(":")
        return ("", branch) if not colon or owner == self.place.path.rpartition("/")[0] else (owner, branch)

    def _plain_head(self, head: str) -> str:
        """The head as `RequestInfo` has it: the owner only of a fork."""
        owner, branch = self._split_head(head)
        return f"{owner}:{branch}" if owner else branch
