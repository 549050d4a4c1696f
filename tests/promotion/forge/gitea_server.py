"""A double of Gitea and Forgejo: what their REST API does with pull requests, at `/api/v1`.

Source: the API's own description, `/swagger.v1.json` of a Gitea server.
"""

from typing import Any

from tests.promotion.forge.server import Answer, Asked, Change, ForgeServer, Refused

DRAFT = "WIP: "


class GiteaServer(ForgeServer):
    """One project on Gitea."""

    is_installation = False

    def __init__(self, project: str = "team/churn") -> None:
        super().__init__(project)
        self.page_size = 50
        self.labels = {"model": 1}

    def account(self, asked: Asked) -> str | None:
        """`Authorization: token …`."""
        given = asked.headers.get("authorization")
        if given is None:
            return None
        if not given.startswith("token ") or given.removeprefix("token ") not in self.tokens:
            raise Refused(401, {"message": "user does not exist [uid: 0, name: ]", "url": f"{self.url}/api/swagger"})
        return self.tokens[given.removeprefix("token ")]

    def not_found(self) -> Refused:
        """As the API words it."""
        return Refused(
            404, {"errors": [], "message": "The target couldn't be found.", "url": f"{self.url}/api/swagger"}
        )

    def review(
        self, number: int, by: str, state: str, at: str, commit: str | None = None, dismissed: bool = False
    ) -> None:
        """Somebody reviews a request."""
        change = self.change(number)
        change.reviews.append(
            {
                "id": self.new_id(),
                "user": self._user(by),
                "state": state,
                "commit_id": commit or change.head,
                "official": by in self.writers,
                "dismissed": dismissed,
                "stale": False,
                "submitted_at": at,
            }
        )

    def comment(self, number: int, by: str, body: str) -> dict[str, Any]:
        """Somebody writes a comment."""
        i = self.new_id()
        page = f"{self.url}/{self.project}/pulls/{number}#issuecomment-{i}"
        comment = {"id": i, "html_url": page, "user": self._user(by), "body": body}
        self.change(number).comments.append(comment)
        return comment

    def answer(self, asked: Asked, account: str | None) -> Answer:
        """Every call that is known."""
        if asked.parts[:2] != ["api", "v1"]:
            raise self.not_found()
        owner, name = self.project.split("/")
        match (asked.verb, *asked.parts[2:]):
            case ("GET", "user"):
                if self.is_installation:
                    raise Refused(403, {"message": "token does not have at least one of required scope(s)"})
                return Answer(200, self._user(self._signed_in(account)))
            case ("GET", "repos", o, n) if (o, n) == (owner, name):
                return Answer(200, self._repository(self.project) | {"default_branch": self.default_branch})
            case (_, "repos", o, n, *rest) if (o, n) == (owner, name):
                return self._in_project(asked, account, rest)
        raise self.not_found()

    def _in_project(self, asked: Asked, account: str | None, rest: list[str]) -> Answer:
        if asked.verb != "GET":
            account = self._signed_in(account)
        match (asked.verb, *rest):
            case ("GET", "pulls"):
                state = asked.query.get("state", "open")
                found = [c for c in self.changes if state in ("all", c.state)]
                return self._paged([self._document(c) for c in found[::-1]], asked)
            case ("POST", "pulls"):
                return self._open(asked, account or "")
            case ("GET", "pulls", number):
                return Answer(200, self._document(self.find(number)))
            case ("PATCH", "pulls", number):
                return self._edit(asked, self.find(number))
            case ("POST", "pulls", number, "merge"):
                return self._merge(asked, self.find(number), account or "")
            case ("GET", "pulls", number, "reviews"):
                return self._paged(self.find(number).reviews, asked)
            case ("POST", "pulls", number, "requested_reviewers"):
                change = self.find(number)
                for login in asked.body["reviewers"]:
                    if login not in self.people:
                        raise Refused(404, {"message": f"UserNotExist: user does not exist [name: {login}]"})
                    change.reviewers.append(login)
                return Answer(201, [])
            case ("GET", "labels"):
                return self._paged([{"id": i, "name": name} for name, i in self.labels.items()], asked)
            case ("POST", "labels"):
                self.labels[asked.body["name"]] = self.new_id()
                return Answer(201, {"id": self.labels[asked.body["name"]], "name": asked.body["name"]})
            case ("POST", "issues", number, "labels"):
                names = {i: name for name, i in self.labels.items()}
                self.find(number).labels += [names[i] for i in asked.body["labels"]]
                return Answer(200, [])
            case ("GET", "issues", number, "comments"):
                return Answer(200, self.find(number).comments)  # all at once, whatever page is asked for
            case ("POST", "issues", number, "comments"):
                return Answer(201, self.comment(int(number), account or "", asked.body["body"]))
            case ("PATCH", "issues", "comments", which):
                every = (comment for change in self.changes for comment in change.comments)
                comment = next(comment for comment in every if str(comment["id"]) == which)
                comment["body"] = asked.body["body"]
                return Answer(200, comment)
            case ("GET", "commits", oid, "pull"):
                found = [c for c in self.changes if c.merge_commit == oid]
                if not found:
                    raise self.not_found()
                return Answer(200, self._document(found[0]))
        raise self.not_found()

    def _paged(self, items: list[Any], asked: Asked) -> Answer:
        page, headers = self.page(items, asked, "limit")
        return Answer(200, page, headers | {"X-Total-Count": str(len(items))})

    def _open(self, asked: Asked, account: str) -> Answer:
        owner, _, branch = asked.body["head"].rpartition(":")
        source = f"{owner}/{self.project.split('/')[1]}" if owner else self.project
        if branch not in self.branches.get(source, {}):
            raise self.not_found()
        for change in self.changes:
            if (change.source, change.branch, change.state) == (source, branch, "open"):
                words = f"pull request already exists for these targets [id: {change.number}, head_branch: {branch}]"
                raise Refused(409, {"message": words, "url": f"{self.url}/api/swagger"})
        change = Change(
            number=len(self.changes) + 1,
            title=asked.body["title"].removeprefix(DRAFT),
            body=asked.body.get("body") or "",
            source=source,
            branch=branch,
            base=asked.body["base"],
            author=account,
            draft=asked.body["title"].startswith(DRAFT),
        )
        return Answer(201, self._document(self.add(change)))

    def _edit(self, asked: Asked, change: Change) -> Answer:
        body = asked.body
        if "title" in body:
            change.title, change.draft = body["title"].removeprefix(DRAFT), body["title"].startswith(DRAFT)
        for key in ("body", "base", "state"):
            setattr(change, key, body.get(key, getattr(change, key)))
        return Answer(201, self._document(change))

    def _merge(self, asked: Asked, change: Change, account: str) -> Answer:
        if change.state != "open" or change.draft or asked.body["Do"] != "merge":
            raise Refused(405, {"message": "Please try again later"})
        if asked.body.get("head_commit_id", change.head) != change.head:
            raise Refused(409, {"message": "head out of date"})
        self.merge_texts = asked.body.get("MergeTitleField", ""), asked.body.get("MergeMessageField", "")
        self.merge(change.number, account, "c" * 40)
        return Answer(200)

    def _signed_in(self, account: str | None) -> str:
        if account is None:
            raise Refused(401, {"message": "token is required"})
        return account

    def _user(self, login: str) -> dict[str, Any]:
        mail = self.people.get(login) or f"{login}@noreply.{self.host.partition(':')[0]}"
        return {"id": 3, "login": login, "email": mail}

    def _repository(self, path: str) -> dict[str, Any]:
        number = list(self.branches).index(path) + 1
        return {"id": number, "full_name": path, "owner": self._user(path.split("/")[0])}

    def _document(self, change: Change) -> dict[str, Any]:
        gone = change.source not in self.branches
        source = None if gone else self._repository(change.source)
        target = self._repository(self.project)
        return {
            "id": 900 + change.number,
            "number": change.number,
            "html_url": f"{self.url}/{self.project}/pulls/{change.number}",
            "state": change.state,
            "title": (DRAFT if change.draft else "") + change.title,
            "body": change.body,
            "draft": change.draft,
            "user": self._user(change.author),
            "labels": [{"id": self.labels[name], "name": name} for name in change.labels],
            "requested_reviewers": [self._user(name) for name in change.reviewers] or None,
            "merged": change.merged_at is not None,
            "merged_at": change.merged_at,
            "merged_by": self._user(change.merged_by) if change.merged_by else None,
            "merge_commit_sha": change.merge_commit,
            "head": {
                "label": change.branch,
                "ref": change.branch,
                "sha": change.head,
                "repo_id": source["id"] if source else -1,
                "repo": source,
            },
            "base": {"label": change.base, "ref": change.base, "sha": "", "repo_id": target["id"], "repo": target},
        }
