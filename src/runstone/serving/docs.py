"""The OpenAPI description as a page for people; it holds all it needs, so that it works without a network."""

import json
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { background: #f4f4f1; padding: .8rem; overflow: auto; max-height: 24rem; border-radius: 4px }
summary { cursor: pointer; padding: .3rem 0 }
table { border-collapse: collapse } td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }
b.verb { display: inline-block; width: 4rem }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1b1b1b } pre { background: #262626 } }
"""


def write_page(document: dict[str, Any], identity: dict[str, Any], example: dict[str, Any]) -> bytes:
    """The page of a server.

    Args:
        document: Its OpenAPI description.
        identity: Which model it serves.
        example: A request to `/invocations`.
    """
    title = escape(document["info"]["title"])
    facts = "".join(
        f"<tr><th>{escape(key)}</th><td><code>{escape(str(value))}</code></td></tr>"
        for key, value in identity.items()
        if value is not None
    )
    body = json.dumps(example)
    shown = body if len(body) <= 2000 else f"{body[:2000]}…"
    quoted = shown.replace("'", "'\\''")
    call = f"curl -H 'Content-Type: application/json' -d '{quoted}' \\\n  http://HOST:PORT/invocations"
    paths = "".join(
        _operation(path, verb, operation)
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
    )
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<table>{facts}</table>
<h2>Ask it</h2>
<pre>{escape(call)}</pre>
<h2>Paths</h2>
{paths}
<p>For programs: <a href="openapi.json">openapi.json</a></p>
</body></html>
"""
    return page.encode()


def _operation(path: str, verb: str, operation: dict[str, Any]) -> str:
    head = f"<b class=verb>{verb.upper()}</b> <code>{escape(path)}</code> {escape(operation['summary'])}"
    content = operation.get("requestBody", {}).get("content", {})
    parts = [
        f"<p><code>{escape(kind)}</code></p><pre>{escape(json.dumps(told.get('schema', {}), indent=1))}</pre>"
        for kind, told in content.items()
    ]
    answers = "".join(
        f"<tr><th>{escape(code)}</th><td>{escape(answer['description'])}</td></tr>"
        for code, answer in operation["responses"].items()
    )
    return f"<details><summary>{head}</summary>{''.join(parts)}<table>{answers}</table></details>"
