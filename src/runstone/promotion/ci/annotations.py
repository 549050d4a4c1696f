"""Findings as the CI systems read them: workflow commands of GitHub Actions, the Code Quality report of GitLab.

What a finding says comes from files that others wrote, so nothing in it may be taken for a command.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from runstone.promotion.ci.findings import Finding, Level
from runstone.tracking.shown import clean

_COMMANDS: dict[Level, str] = {"error": "error", "unknown": "error", "warning": "warning", "note": "notice"}
_SEVERITIES: dict[Level, str] = {"error": "major", "unknown": "major", "warning": "minor", "note": "info"}
_MOST_MESSAGE = 4000


def format_github(finding: Finding) -> str:
    """A finding as one line that GitHub Actions turns into an annotation.

    Source: GitHub's documentation, "Workflow commands"; the escapes are those of its `@actions/core`.
    """
    message = _data(clean(finding.message, keep="\n")[:_MOST_MESSAGE])
    facts = {"file": finding.path, "line": str(finding.line), "title": f"runstone {finding.kind}"}
    properties = ",".join(f"{key}={_property(clean(value))}" for key, value in facts.items())
    return f"::{_COMMANDS[finding.level]} {properties}::{message}"


def format_gitlab(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as the entries of a Code Quality report; the same finding has the same fingerprint wherever it moves.

    Source: GitLab's documentation, "Code Quality report format".
    """
    entries = []
    seen: set[str] = set()
    for finding in findings:
        text = f"{finding.kind}\0{finding.path}\0{finding.message}"
        while (fingerprint := hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()) in seen:
            text += "\0"
        seen.add(fingerprint)
        entries.append(
            {
                "description": clean(finding.message)[:_MOST_MESSAGE],
                "check_name": f"runstone/{finding.kind}",
                "fingerprint": fingerprint,
                "severity": _SEVERITIES[finding.level],
                "location": {"path": clean(finding.path), "lines": {"begin": finding.line}},
            }
        )
    return entries


def without_commands(text: str) -> str:
    """Text in which GitHub Actions finds no workflow command, wherever its lines come from."""
    return re.sub(r"(?m)^(\s*)(::|##\[)", lambda match: f"{match[1]}{match[2][0]}\u200b{match[2][1:]}", text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
