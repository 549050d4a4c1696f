"""Every file of the registry at one commit, checked: its form, its name, and whether what it says can be.

Each finding names file and line. What may change, and under which conditions, is judged elsewhere: here a file is right
or wrong whoever wrote it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from shlex import quote
from typing import Any

from runstone import names
from runstone.errors import InvalidName, NewerFormat, RecordInvalid
from runstone.git.repository import CONFIG_FILE
from runstone.promotion.ci.file_names import meant_path
from runstone.promotion.ci.files import File
from runstone.promotion.ci.findings import Finding, Level, find_line
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.config import Config
from runstone.records.model_file import ModelFile
from runstone.records.policy import Policy, check_graph
from runstone.records.registration import Registration
from runstone.records.stage import Stage
from runstone.records.version_notes import VersionNotes
from runstone.registry.layout import Place, parse_path

_POLICY_KEYS = ("stages", "aliases", "metrics", "changes")
_CONFLICT = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)
_ORDER = {"policy": 0, "model": 1}
"""Policies are read before what they judge, and a model's name before it is spoken of."""


@dataclass
class Checked:
    """What the files of a registry say, as far as they can be read, and what is wrong with them.

    Attributes:
        findings: What is wrong, in the order of the files.
        stages: Model → stage → versions.
        policies: Model, or nothing for the project → policy.
    """

    findings: list[Finding] = field(default_factory=list)
    stages: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)


def check_files(registry: str, files: Mapping[str, File], versions: Mapping[str, Mapping[int, bool]]) -> Checked:
    """Check the files of a registry.

    Args:
        registry: Its folder.
        files: As `files.read_files` gives them.
        versions: As `files.read_versions` gives them.
    """
    return _Check(registry, files, versions).run()


class _Check:
    """One check, as long as it lasts."""

    def __init__(self, registry: str, files: Mapping[str, File], versions: Mapping[str, Mapping[int, bool]]) -> None:
        self.registry, self.files, self.versions = registry, files, versions
        self.found = Checked()
        self.documents: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.name_files: dict[str, str] = {}

    def run(self) -> Checked:
        places = {path: place for path in self.files if (place := self._place(path)) is not None}
        self._same_but_for_case(places)
        self._folders({place.key for place in places.values()})
        for path, place in sorted(places.items(), key=lambda each: (_ORDER.get(each[1].kind, 2), each[1].key, each[0])):
            try:
                self._read(path, place)
            except (RecordInvalid, NewerFormat) as error:
                self._broken(path, error)
        for key in self.found.stages:
            self._one_stage_each(key)
        self.found.findings.sort(key=lambda each: (each.path, each.line))
        return self.found

    # --- which file it is

    def _place(self, path: str) -> Place | None:
        """The place of a file that is to be read as a fact of the registry."""
        file = self.files[path]
        if path == self.registry or not file.is_plain:
            kind = "folder" if path == self.registry else "file"
            self._say("error", path, "file-unreadable", "is a link, a submodule or no folder, so it is not read",
                      f"Put a plain {kind} there")  # fmt: skip
            return None
        if path == CONFIG_FILE:
            try:
                Config.from_document(yaml.load(self.files[path].data or b"", path), path)
            except (RecordInvalid, NewerFormat) as error:
                self._broken(path, error)
            return None
        place = parse_path(self.registry, path)
        if place is None:
            self._unknown(path)
        elif self.files[path].data is None:
            why = "is larger than 5 MB, so it is not read"
            self._say("error", path, "file-unreadable", why, "Put a smaller one there")
            return None
        return place

    def _unknown(self, path: str) -> None:
        rest = path.removeprefix(f"{self.registry}/").split("/")
        if rest[-1].startswith(".") or rest == ["README.md"]:
            return  # for git, or for people
        better = meant_path(self.registry, path)
        step = f"Remove it: `git rm {quote(path)}`"
        if better is not None:
            step = f"If `{better}` was meant: `git mv {quote(path)} {quote(better)}`"
        self._say("warning", path, "file-unknown", "is no file of the registry, so nothing heeds it", step)

    def _same_but_for_case(self, places: Mapping[str, Place]) -> None:
        seen: dict[str, str] = {}
        for path in places:
            other = seen.setdefault(path.lower(), path)
            if other != path:
                why = f"differs from `{other}` by case alone, and on many disks the two are one file"
                self._say("error", path, "case", why, f"Remove one of them: `git rm {quote(path)}`")

    def _folders(self, keys: set[str]) -> None:
        for key in sorted(keys - {""}):
            self.names[key] = names.decode_component(key)
            right = names.encode_component(self.names[key])
            if right != key and len(key.encode()) < names.MAX_COMPONENT - 10:  # longer ones are cut
                folder = f"{self.registry}/{key}"
                why = f"is no folder of a model: that of {self.names[key]!r} is `{right}`"
                step = f"Rename it: `git mv {quote(folder)} {quote(f'{self.registry}/{right}')}`"
                self._say("error", folder, "folder", why, step)

    # --- what it says

    def _read(self, path: str, place: Place) -> None:
        if place.kind == "card":
            return
        document = self.documents[path] = yaml.load(self.files[path].data or b"", path)
        match place.kind:
            case "policy":
                self._policy(path, place, document)
            case "model":
                self._model(path, place, document)
            case "stage":
                self._stage(path, place, document)
            case "alias":
                self._alias(path, place, document)
            case "notes":
                VersionNotes.from_document(document, path)
                self._version(path, place.key, int(place.name), "", allow_retired=True)
            case "registration":
                self._registration(path, place, document)

    def _policy(self, path: str, place: Place, document: Any) -> None:
        own = policy = Policy.from_document(document, path, own=bool(place.key))
        if place.key:
            policy = self._policy_of("").overridden_by(own, stages=document.get("stages") is not None)
            check_graph(policy, path)
        self.found.policies[place.key] = policy
        for key in own.extra:
            near = get_close_matches(key, _POLICY_KEYS, 1)
            step = f"Did you mean `{near[0]}`?" if near else f"It may be: {', '.join(_POLICY_KEYS)}"
            self._say("warning", path, "policy-key", f"`{key}` is not known, so nothing heeds it", step, key)

    def _policy_of(self, key: str) -> Policy:
        found = self.found.policies
        return found.get(key) or found.get("") or Policy()

    def _model(self, path: str, place: Place, document: Any) -> None:
        name = ModelFile.from_document(document, path).name or self.names[place.key]
        try:
            self.names[place.key] = names.check_name("model", name)
        except InvalidName as error:
            self._say("error", path, "model-name", f"`name` cannot be used: {error.why}", "Choose another one", "name")
            return
        other = self.name_files.setdefault(name.lower(), path)
        if other != path:
            why = f"calls its model {name!r}, as `{other}` does its own"
            self._say("error", path, "model-name", why, "Choose another `name`", "name")

    def _stage(self, path: str, place: Place, document: Any) -> None:
        versions = Stage.from_document(document, path).versions
        self.found.stages.setdefault(place.key, {})[place.name] = versions
        policy = self._policy_of(place.key)
        if place.name not in policy.stages:
            self._stage_unknown(path, place, policy)
        elif not versions:
            why = "names no version, and a stage without any has no file"
            self._say("warning", path, "stage-empty", why, f"Remove it: `git rm {quote(path)}`", "versions")
        else:
            holders = policy.stages[place.name].holders
            if holders is not None and len(versions) > holders:
                why = f"{place.name} has {len(versions)} versions, and the policy allows {holders}"
                excess = versions[: len(versions) - holders]
                out = " && ".join(f"runstone demote {quote(self.names[place.key])} {version}" for version in excess[:5])
                step = f"Take out those that shall leave, as here the oldest: `{out}`"
                self._say("error", path, "stage-full", why, step, "versions")
        for version in versions:
            self._version(path, place.key, version, f"versions[{document['versions'].index(version)}]")

    def _stage_unknown(self, path: str, place: Place, policy: Policy) -> None:
        near = _near(place.name, policy)
        if near is not None:
            better = Place("stage", place.key, near).path(self.registry)
            step = f"If `{near}` was meant: `git mv {quote(path)} {quote(better)}`"
        else:
            step = (
                f"Add it to `{Place('policy').path(self.registry)}` first, or remove the file: `git rm {quote(path)}`"
            )
        why = f"{place.name!r} is no stage of the policy, which has {', '.join(policy.stages) or 'none'}"
        self._say("error", path, "stage-unknown", why, step)

    def _alias(self, path: str, place: Place, document: Any) -> None:
        try:
            names.check_alias(place.name)
        except InvalidName as error:
            why = f"{place.name!r} cannot be an alias: {error.why}"
            self._say("error", path, "alias-name", why, f"Remove it: `git rm {quote(path)}`")
            return
        self._version(path, place.key, Alias.from_document(document, path).version, "version")

    def _registration(self, path: str, place: Place, document: Any) -> None:
        wanted = Registration.from_document(document, path)
        if wanted.run != place.name:
            better = Place("registration", place.key, wanted.run).path(self.registry)
            why = f"`run` must be the name of the file, but is {wanted.run!r}"
            self._say(
                "error", path, "registration-run", why, f"Rename it: `git mv {quote(path)} {quote(better)}`", "run"
            )

    def _version(self, path: str, key: str, version: int, where: str, *, allow_retired: bool = False) -> None:
        """See that a version exists."""
        known, name = self.versions.get(key, {}), self.names[key]
        show = f"`runstone models show {quote(name)}`"
        if version not in known:
            have = _numbers([number for number, is_retired in known.items() if not is_retired])
            why = f"there is no version {version} of {name!r}, which has {have}"
            self._say("error", path, "version-missing", why, f"Name one that exists: {show}", where)
        elif known[version] and not allow_retired:
            why = f"version {version} of {name!r} is retired"
            self._say("error", path, "version-retired", why, f"Name one that is not: {show}", where)

    def _one_stage_each(self, key: str) -> None:
        seen: dict[int, str] = {}
        for stage, versions in sorted(self.found.stages[key].items()):
            path = Place("stage", key, stage).path(self.registry)
            for version in versions:
                other = seen.setdefault(version, stage)
                if other != stage:
                    first = Place("stage", key, other).path(self.registry)
                    why = f"version {version} is in two stages: in `{first}`, too"
                    where = f"versions[{self.documents[path]['versions'].index(version)}]"
                    self._say("error", path, "version-twice", why, "Take it out of one of them", where)

    # --- saying so

    def _broken(self, path: str, error: RecordInvalid | NewerFormat) -> None:
        mark = _CONFLICT.search(self.files[path].data or b"")
        if mark is not None:
            line = (self.files[path].data or b"").count(b"\n", 0, mark.start()) + 1
            why = f"line {line} begins a conflict that git left when it merged (`{mark[1].decode()}`)"
            step = "Keep the one side or the other, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`"
            self._say("error", path, "format", why, step, line=line)
            return
        if isinstance(error, NewerFormat):
            _, _, text = str(error).partition("` ")
            why, _, step = text.partition(". ")
            self._say("error", path, "format-newer", why, step, "schema")
            return
        at = re.match(r"line (\d+) ", error.problem)
        key = re.match(r"`([^`]+)`", error.problem)
        step = f"Correct it, then: `runstone validate {quote(path)}`"
        self._say("error", path, "format", error.problem, step, key[1] if key else "", line=int(at[1]) if at else 1)

    def _say(
        self, level: Level, path: str, kind: str, problem: str, step: str, where: str = "", *, line: int = 1
    ) -> None:
        if where:
            line = find_line(self.files[path].data or b"", where)
        self.found.findings.append(Finding(level, path, line, kind, f"{problem}. {step}"))


def _near(stage: str, policy: Policy) -> str | None:
    """The stage that was likely meant: written otherwise, cut short, or misspelt."""
    short = (known for known in policy.stages if len(stage) > 2 and known.lower().startswith(stage.lower()))
    found = policy.find_stage(stage) or next(short, None)
    return found or next(iter(get_close_matches(stage, policy.stages, 1)), None)


def _numbers(versions: list[int]) -> str:
    """`none`, `version 1`, `versions 1 to 5`, `versions 1, 2 and 5`."""
    found = sorted(versions)
    if len(found) < 2:
        return f"version {found[0]}" if found else "none"
    if found[-1] - found[0] == len(found) - 1:
        return f"versions {found[0]} to {found[-1]}"
    shown = [str(each) for each in found[-10:]]
    return f"versions {'… ' if len(found) > 10 else ''}{', '.join(shown[:-1])} and {shown[-1]}"
