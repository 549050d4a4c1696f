"""A double of GitHub: what its REST API does with pull requests, at `/api/v3` as on a host of one's own.

Source: GitHub REST API, "Pulls", "Issues", "Users", "Collaborators", "Commits".
"""

from typing import Any

from tests.promotion.forge.server import Answer, Asked, Change, ForgeServer, Refused

NOT_FOUND = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}


class GitHubServer(ForgeServer):
    """One project on GitHub."""

    has_drafts = True
    knows_drafts = ("convertPullRequestToDraft", "markPullRequestReadyForReview")
    is_installation = False  # the token of a job, which may not ask who it is
    may_ask_roles = True

    def account(self, asked: Asked) -> str | None:
        """`Authorization: token …` or `Bearer …`."""
        given = asked.headers.get("authorization")
        if given is None:
            return None
        kind, _, token = given.partition(" ")
        if kind.lower() not in ("token", "bearer") or token not in self.tokens:
            raise Refused(401, {"message": "Bad credentials", "status": "401"})
        return self.tokens[token]

    def not_found(self) -> Refused:
        """GitHub does not tell the two apart."""
        return Refused(404, NOT_FOUND)

    def review(self, number: int, by: str, state: str, at: str, commit: str | None = None, kin: str = "MEMBER") -> None:
        """Somebody reviews a request."""
        change = self.change(number)
        change.reviews.append(
            {
                "id": self.new_id(),
                "user": self._user(by),
                "state": state,
                "submitted_at": at,
                "commit_id": commit or change.head,
                "author_association": kin,
                "body": "",
            }
        )

    def answer(self, asked: Asked, account: str | None) -> Answer:
        """Every call that is known."""
        if asked.path == "/api/graphql":
            return self._graphql(asked)
        if asked.parts[:2] != ["api", "v3"]:
            raise self.not_found()
        owner, name = self.project.split("/")
        match (asked.verb, *asked.parts[2:]):
            case ("GET", "user"):
                if self.is_installation:
                    raise Refused(403, {"message": "Resource not accessible by integration"})
                return Answer(200, self._user(self.need_account(account), whole=True))
            case ("GET", "users", login):
                if login not in self.people:
                    raise self.not_found()
                return Answer(200, self._user(login, whole=True))
            case ("GET", "repos", o, n) if (o, n) == (owner, name):
                return Answer(200, self._repository(self.project))
            case (_, "repos", o, n, *rest) if (o, n) == (owner, name):
                return self._in_project(asked, account, rest)
        raise self.not_found()

    def _in_project(self, asked: Asked, account: str | None, rest: list[str]) -> Answer:
        if asked.verb != "GET":
            account = self.need_account(account)
        match (asked.verb, *rest):
            case ("GET", "pulls"):
                return self._list(asked)
            case ("POST", "pulls"):
                return self._open(asked, account or "")
            case ("GET", "pulls", number):
                return Answer(200, self._pull(self.find(number), whole=True))
            case ("PATCH", "pulls", number):
                return self._edit(asked, self.find(number))
            case ("PUT", "pulls", number, "merge"):
                return self._merge(asked, self.find(number), account or "")
            case ("GET", "pulls", number, "reviews"):
                items, headers = self.page(self.find(number).reviews, asked, "per_page")
                return Answer(200, items, headers)
            case ("POST", "pulls", number, "requested_reviewers"):
                return self._invite(asked, self.find(number))
            case ("POST", "issues", number, "labels"):
                change = self.find(number)
                given = asked.body if isinstance(asked.body, list) else asked.body["labels"]
                change.labels += [label for label in given if label not in change.labels]
                return Answer(200, [{"name": label} for label in change.labels])
            case ("GET", "issues", number, "comments"):
                items, headers = self.page(self.find(number).comments, asked, "per_page")
                return Answer(200, items, headers)
            case ("POST", "issues", number, "comments"):
                return Answer(201, self.comment(int(number), account or "", asked.body["body"]))
            case (verb, "issues", "comments", which):
                every = (comment for change in self.changes for comment in change.comments)
                found = next((comment for comment in every if str(comment["id"]) == which), None)
                if found is None:
                    raise self.not_found()
                if verb == "PATCH":
                    found["body"] = asked.body["body"]
                return Answer(200, found)
            case ("GET", "commits", oid):  # which older versions of PyGithub ask for first
                self._of_commit(oid)
                return Answer(200, {"sha": oid, "url": f"{self.url}{asked.path}"})
            case ("GET", "commits", oid, "pulls"):
                return self._of_commit(oid)
            case ("GET", "collaborators", login, "permission"):
                if not self.may_ask_roles:
                    raise Refused(403, {"message": "Must have push access to view collaborator permission."})
                return Answer(200, {"permission": "write" if login in self.writers else "read"})
        raise self.not_found()

    def comment(self, number: int, by: str, body: str) -> dict[str, Any]:
        """Somebody writes a comment."""
        i = self.new_id()
        comment = {
            "id": i,
            "url": f"{self.url}/api/v3/repos/{self.project}/issues/comments/{i}",
            "html_url": f"{self.url}/{self.project}/pull/{number}#issuecomment-{i}",
            "user": self._user(by),
            "body": body,
        }
        self.change(number).comments.append(comment)
        return comment

    def _list(self, asked: Asked) -> Answer:
        state, head = asked.query.get("state", "open"), asked.query.get("head", "")
        found = [each for each in self.changes if state in ("all", each.state)]
        if ":" in head:  # what is no `owner:branch` is not heeded
            found = [each for each in found if f"{each.source.split('/')[0]}:{each.branch}" == head]
        if asked.query.get("direction", "desc") == "desc":
            found = found[::-1]
        items, headers = self.page(found, asked, "per_page")
        return Answer(200, [self._pull(each) for each in items], headers)

    def _open(self, asked: Asked, account: str) -> Answer:
        owner, _, branch = asked.body["head"].rpartition(":")
        source = f"{owner}/{self.project.split('/')[1]}" if owner else self.project
        if branch not in self.branches.get(source, {}):
            self._invalid({"resource": "PullRequest", "field": "head", "code": "invalid"})
        if asked.body["base"] not in self.branches[self.project]:
            self._invalid({"resource": "PullRequest", "field": "base", "code": "invalid"})
        if any((c.source, c.branch, c.state) == (source, branch, "open") for c in self.changes):
            words = f"A pull request already exists for {source.split('/')[0]}:{branch}."
            self._invalid({"resource": "PullRequest", "code": "custom", "message": words})
        if asked.body.get("draft") and not self.has_drafts:
            words = "Draft pull requests are not supported in this repository."
            raise Refused(422, {"message": words, "status": "422"})
        change = Change(
            number=len(self.changes) + 1,
            title=asked.body["title"],
            body=asked.body.get("body") or "",
            source=source,
            branch=branch,
            base=asked.body["base"],
            author=account,
            draft=bool(asked.body.get("draft")),
        )
        return Answer(201, self._pull(self.add(change), whole=True))

    def _edit(self, asked: Asked, change: Change) -> Answer:
        for key in ("title", "body", "base", "state"):
            if key in asked.body:
                setattr(change, key, asked.body[key])
        return Answer(200, self._pull(change, whole=True))

    def _merge(self, asked: Asked, change: Change, account: str) -> Answer:
        if change.state != "open" or change.draft:
            raise Refused(405, {"message": "Pull Request is not mergeable"})
        if asked.body.get("merge_method") == "merge" and not self.allows_merge_commits:
            raise Refused(405, {"message": "Merge commits are not allowed on this repository."})
        if asked.body.get("sha", change.head) != change.head:
            words = "Head branch was modified. Review and try the merge again."
            raise Refused(409, {"message": words})
        self.merge_texts = asked.body.get("commit_title", ""), asked.body.get("commit_message", "")
        self.merge(change.number, account, "c" * 40)
        return Answer(200, {"sha": "c" * 40, "merged": True, "message": "Pull Request successfully merged"})

    allows_merge_commits = True

    def _invite(self, asked: Asked, change: Change) -> Answer:
        for login in asked.body.get("reviewers", []):
            if login not in self.writers or login == change.author:
                words = f"Reviews may only be requested from collaborators. One or more of the users is not: {login}"
                raise Refused(422, {"message": words})
            change.reviewers.append(login)
        self.teams = [*getattr(self, "teams", []), *asked.body.get("team_reviewers", [])]
        return Answer(201, self._pull(change))

    def _of_commit(self, oid: str) -> Answer:
        found = [each for each in self.changes if oid in (each.merge_commit, each.head)]
        if not found and oid not in self.branches[self.project].values():
            raise Refused(422, {"message": f"No commit found for SHA: {oid}", "status": "422"})
        return Answer(200, [self._pull(each) for each in found])

    def _graphql(self, asked: Asked) -> Answer:
        which = next((name for name in self.knows_drafts if name in asked.body["query"]), None)
        if which is None:
            return Answer(200, {"data": None, "errors": [{"type": "UNPROCESSABLE", "message": "Not supported"}]})
        number = int(asked.body["variables"]["input"]["pullRequestId"].removeprefix("PR_"))
        change = self.change(number)
        change.draft = which == "convertPullRequestToDraft"
        return Answer(200, {"data": {which: {"clientMutationId": None, "pullRequest": {"isDraft": change.draft}}}})

    def _invalid(self, error: dict[str, str]) -> None:
        raise Refused(422, {"message": "Validation Failed", "errors": [error], "status": "422"})

    def _user(self, login: str, *, whole: bool = False) -> dict[str, Any]:
        kind = "Bot" if login.endswith("[bot]") else "User"
        user: dict[str, Any] = {"login": login, "id": 1, "type": kind, "url": f"{self.url}/api/v3/users/{login}"}
        if whole:
            user["email"] = self.people.get(login) or None
        return user

    def _repository(self, path: str) -> dict[str, Any]:
        owner, name = path.split("/")
        return {
            "id": 7,
            "name": name,
            "full_name": path,
            "owner": self._user(owner),
            "url": f"{self.url}/api/v3/repos/{path}",
            "html_url": f"{self.url}/{path}",
            "default_branch": self.default_branch,
        }

    def _pull(self, change: Change, *, whole: bool = False) -> dict[str, Any]:
        api = f"{self.url}/api/v3/repos/{self.project}"
        owner = change.source.split("/")[0]
        gone = change.source not in self.branches
        document: dict[str, Any] = {
            "url": f"{api}/pulls/{change.number}",
            "issue_url": f"{api}/issues/{change.number}",
            "html_url": f"{self.url}/{self.project}/pull/{change.number}",
            "id": 1000 + change.number,
            "node_id": f"PR_{change.number}",
            "number": change.number,
            "state": change.state,
            "title": change.title,
            "body": change.body or None,
            "draft": change.draft,
            "user": self._user(change.author) if change.author else None,
            "labels": [{"name": label} for label in change.labels],
            "requested_reviewers": [self._user(login) for login in change.reviewers],
            "merged_at": change.merged_at,
            "merge_commit_sha": change.merge_commit or "d" * 40,  # of an open one, a merge that was tried
            "head": {
                "label": f"{owner}:{change.branch}",
                "ref": change.branch,
                "sha": change.head,
                "user": self._user(owner),
                "repo": None if gone else self._repository(change.source),
            },
            "base": {
                "label": f"{self.project.split('/')[0]}:{change.base}",
                "ref": change.base,
                "sha": self.branches[self.project].get(change.base, "0" * 40),
                "repo": self._repository(self.project),
            },
        }
        if whole:
            document["merged"] = change.merged_at is not None
            document["merged_by"] = self._user(change.merged_by) if change.merged_by else None
        return document
