"""A double of GitLab: what its REST API does with merge requests, at `/api/v4`.

Source: GitLab REST API, "Merge requests", "Merge request approvals", "Notes", "Commits", "Users", "Projects".
"""

from typing import Any

from tests.promotion.forge.server import Answer, Asked, Change, ForgeServer, Refused

DRAFT = "Draft: "


class GitLabServer(ForgeServer):
    """One project on GitLab."""

    tells_when_approved = True
    merges_by = "merge"  # or "ff": no merge commit

    def __init__(self, project: str = "team/churn") -> None:
        super().__init__(project)
        self.job_tokens = {"job-token"}
        self.ids = {project: 11}
        self.versions: dict[int, list[tuple[str, str]]] = {}

    def account(self, asked: Asked) -> str | None:
        """`PRIVATE-TOKEN`, or `JOB-TOKEN`, which hardly any call heeds."""
        given = asked.headers.get("private-token")
        if given is None:
            job = asked.headers.get("job-token")
            if job is not None and job not in self.job_tokens:
                raise Refused(401, {"message": "401 Unauthorized"})
            return None
        if given not in self.tokens:
            raise Refused(401, {"message": "401 Unauthorized"})
        return self.tokens[given]

    def not_found(self) -> Refused:
        """GitLab does not tell the two apart."""
        return Refused(404, {"message": "404 Project Not Found"})

    def no_change(self) -> Refused:
        """As the API words it."""
        return Refused(404, {"message": "404 Not found"})

    def approve(self, number: int, by: str, at: str, commit: str | None = None) -> None:
        """Somebody approves a request."""
        change = self.change(number)
        if commit is not None and commit != change.head:
            self.versions[number].insert(0, (commit, "2026-11-22T00:00:00.000Z"))
        change.reviews.append({"user": self._user(by), "approved_at": at})
        change.comments.append(
            {
                "id": self.new_id(),
                "system": True,
                "author": self._user(by),
                "body": "approved this merge request",
                "created_at": at,
            }
        )

    def unapprove(self, number: int, by: str) -> None:
        """Somebody takes it back."""
        change = self.change(number)
        change.reviews = [each for each in change.reviews if each["user"]["username"] != by]

    def merge(self, number: int, by: str, commit: str, at: str = "2026-11-22T12:00:00.000Z") -> None:
        """Somebody merges a request on its page."""
        change = self.change(number)
        change.state, change.merged_by, change.merged_at = "merged", by, at
        change.merge_commit = commit if self.merges_by == "merge" else None

    def head_moved(self, change: Change, commit: str) -> None:
        """A new version of the request."""
        super().head_moved(change, commit)
        self.versions[change.number].append((commit, f"2026-11-22T1{len(self.versions[change.number])}:00:00.000Z"))

    def comment(self, number: int, by: str, body: str) -> dict[str, Any]:
        """Somebody writes a comment."""
        note = {"id": self.new_id(), "system": False, "author": self._user(by), "body": body}
        self.change(number).comments.append(note)
        return note

    def answer(self, asked: Asked, account: str | None) -> Answer:
        """Every call that is known."""
        if asked.parts[:2] != ["api", "v4"]:
            raise self.not_found()
        match (asked.verb, *asked.parts[2:]):
            case ("GET", "user"):
                return Answer(200, self._user(self._signed_in(account)))
            case ("GET", "users"):
                name = asked.query.get("username", "")
                return Answer(200, [self._user(name)] if name in self.people else [])
            case ("GET", "users", which):
                login = next((name for name in self.people if str(self._user(name)["id"]) == which), None)
                if login is None:
                    raise Refused(404, {"message": "404 User Not Found"})
                return Answer(200, self._user(login) | {"public_email": self.people[login]})
            case ("GET", "projects", which):
                path = self._project(which)
                branch = {"default_branch": self.default_branch}
                return Answer(200, {"id": self._id(path), "path_with_namespace": path} | branch)
            case ("POST", "projects", which, "merge_requests"):
                return self._open(asked, self._signed_in(account), self._project(which))
            case (_, "projects", which, *rest) if self._project(which) == self.project:
                return self._in_project(asked, account, rest)
        raise self.not_found()

    def _in_project(self, asked: Asked, account: str | None, rest: list[str]) -> Answer:
        if asked.verb != "GET":
            account = self._signed_in(account)
        match (asked.verb, *rest):
            case ("GET", "merge_requests"):
                return self._list(asked)
            case ("GET", "merge_requests", number):
                return Answer(200, self._document(self.find(number)))
            case ("PUT", "merge_requests", number):
                return self._edit(asked, self.find(number))
            case ("PUT", "merge_requests", number, "merge"):
                return self._merge(asked, self.find(number), account or "")
            case ("GET", "merge_requests", number, "approvals"):
                each = self.find(number).reviews
                hidden = [{"user": review["user"]} for review in each]
                return Answer(200, {"iid": int(number), "approved_by": each if self.tells_when_approved else hidden})
            case ("GET", "merge_requests", number, "versions"):
                versions = self.versions[self.find(number).number]
                items = [{"id": i, "head_commit_sha": h, "created_at": at} for i, (h, at) in enumerate(versions)]
                return self._paged(items[::-1], asked)
            case ("GET", "merge_requests", number, "notes"):
                notes = self.find(number).comments
                return self._paged(notes if asked.query.get("sort") == "asc" else notes[::-1], asked)
            case ("POST", "merge_requests", number, "notes"):
                return Answer(201, self.comment(int(number), account or "", asked.body["body"]))
            case ("PUT", "merge_requests", number, "notes", which):
                note = next((n for n in self.find(number).comments if str(n["id"]) == which), None)
                if note is None:
                    raise Refused(404, {"message": "404 Note Not Found"})
                note["body"] = asked.body["body"]
                return Answer(200, note)
            case ("GET", "repository", "commits", oid, "merge_requests"):
                found = [c for c in self.changes if oid in (c.merge_commit, c.head)]
                if not found and oid not in self.branches[self.project].values():
                    raise Refused(404, {"message": "404 Commit Not Found"})
                return self._paged([self._document(change) for change in found], asked)
        raise Refused(404, {"error": "404 Not Found"})

    def _paged(self, items: list[Any], asked: Asked) -> Answer:
        page, headers = self.page(items, asked, "per_page")
        return Answer(200, page, headers | {"X-Page": asked.query.get("page", "1"), "X-Total": str(len(items))})

    def _list(self, asked: Asked) -> Answer:
        state, branch = asked.query.get("state", "all"), asked.query.get("source_branch")
        found = [c for c in self.changes if state in ("all", {"open": "opened"}.get(c.state, c.state))]
        found = [c for c in found if branch in (None, c.branch)]
        return self._paged([self._document(change) for change in found[::-1]], asked)

    def _open(self, asked: Asked, account: str, source: str) -> Answer:
        body = asked.body
        if source != self.project and body.get("target_project_id") != self._id(self.project):
            raise Refused(400, {"message": "target_project_id is invalid"})
        if body["source_branch"] not in self.branches[source]:
            raise Refused(400, {"message": {"source_branch": ["does not exist"]}})
        for change in self.changes:
            if (change.source, change.branch, change.state) == (source, body["source_branch"], "open"):
                words = f"Another open merge request already exists for this source branch: !{change.number}"
                raise Refused(409, {"message": [words]})
        change = Change(
            number=len(self.changes) + 1,
            title=body["title"].removeprefix(DRAFT),
            body=body.get("description") or "",
            source=source,
            branch=body["source_branch"],
            base=body["target_branch"],
            author=account,
            draft=body["title"].startswith(DRAFT),
            labels=[label for label in body.get("labels", "").split(",") if label],
        )
        self.add(change)
        self.versions[change.number] = [(change.head, "2026-11-22T10:00:00.000Z")]
        return Answer(201, self._document(change))

    def _edit(self, asked: Asked, change: Change) -> Answer:
        body = asked.body
        if "title" in body:
            change.title, change.draft = body["title"].removeprefix(DRAFT), body["title"].startswith(DRAFT)
        change.body = body.get("description", change.body)
        change.base = body.get("target_branch", change.base)
        change.labels += [x for x in body.get("add_labels", "").split(",") if x and x not in change.labels]
        if body.get("state_event") == "close":
            change.state = "closed"
        if "reviewer_ids" in body:
            by_id = {self._user(name)["id"]: name for name in self.people}
            change.reviewers = [by_id[i] for i in body["reviewer_ids"]]
        return Answer(200, self._document(change))

    def _merge(self, asked: Asked, change: Change, account: str) -> Answer:
        if change.state != "open" or change.draft:
            raise Refused(405, {"message": "405 Method Not Allowed"})
        if asked.body.get("sha", change.head) != change.head:
            raise Refused(409, {"message": "SHA does not match HEAD of source branch: " + change.head})
        title, _, text = asked.body.get("merge_commit_message", "").partition("\n\n")
        self.merge_texts = title, text
        self.merge(change.number, account, "c" * 40)
        return Answer(200, self._document(change))

    def _signed_in(self, account: str | None) -> str:
        if account is None:
            raise Refused(401, {"message": "401 Unauthorized"})
        return account

    def _project(self, which: str) -> str:
        for path in self.branches:
            if which in (path, str(self._id(path))):
                return path
        raise self.not_found()

    def _id(self, path: str) -> int:
        return self.ids.setdefault(path, 11 + len(self.ids))

    def _user(self, name: str) -> dict[str, Any]:
        names = list(self.people)
        return {"id": 50 + (names.index(name) if name in names else 40), "username": name, "name": name.title()}

    def _document(self, change: Change) -> dict[str, Any]:
        gone = change.source not in self.branches
        return {
            "id": 900 + change.number,
            "iid": change.number,
            "project_id": self._id(self.project),
            "source_project_id": None if gone else self._id(change.source),
            "target_project_id": self._id(self.project),
            "web_url": f"{self.url}/{self.project}/-/merge_requests/{change.number}",
            "title": (DRAFT if change.draft else "") + change.title,
            "description": change.body or None,
            "state": {"open": "opened"}.get(change.state, change.state),
            "draft": change.draft,
            "source_branch": change.branch,
            "target_branch": change.base,
            "sha": change.head,
            "author": self._user(change.author),
            "labels": change.labels,
            "reviewers": [self._user(name) for name in change.reviewers],
            "merge_commit_sha": change.merge_commit,
            "squash_commit_sha": None,
            "merged_at": change.merged_at,
            "merge_user": self._user(change.merged_by) if change.merged_by else None,
        }
