"""The gates of a policy: one function for each kind, in one table.

A new kind is a function in a module here, a line in the table, and its form in `records.gate`.
"""

from runstone.errors import RunstoneError
from runstone.promotion.gates.artifacts import artifacts
from runstone.promotion.gates.code import clean, code
from runstone.promotion.gates.command import command
from runstone.promotion.gates.facts import age, card, signature, tags
from runstone.promotion.gates.metrics import no_worse, threshold
from runstone.promotion.gates.protocol import Answer as Answer
from runstone.promotion.gates.protocol import Candidate as Candidate
from runstone.promotion.gates.protocol import Judge, duration, unknown
from runstone.promotion.gates.protocol import Verdict as Verdict
from runstone.promotion.gates.secrets import no_secrets
from runstone.records.document import Document
from runstone.records.gate import Gate

GATES: dict[str, Judge] = {
    "metric": threshold,
    "no_worse": no_worse,
    "tags": tags,
    "card": card,
    "signature": signature,
    "artifacts": artifacts,
    "code": code,
    "clean": clean,
    "age": age,
    "no_secrets": no_secrets,
    "command": command,
}
"""Kind → the function that judges it."""


def judge_gate(gate: Gate, candidate: Candidate) -> Verdict:
    """What one gate says of a candidate."""
    try:
        answer = GATES[gate.kind](candidate, gate.asks)
    except RunstoneError as error:
        answer = unknown(f"It cannot be told: {error}")
    return Verdict(gate.kind, describe(gate), answer.result, answer.message)


def describe(gate: Gate) -> str:
    """What a gate asks, in few words; empty where its kind says it all."""
    asks = gate.asks
    match gate.kind:
        case "metric":
            bounds = [f"{key.replace('_', ' ')} {asks[key]:g}" for key in ("at_least", "at_most") if key in asks]
            return f"{asks['name']} {', '.join(bounds)}{_on(asks)}"
        case "no_worse":
            by = f" by {asks['by']:.6g}" if asks["by"] else ""
            if by and asks["relative"]:
                by = f" by {100 * asks['by']:.6g}%"
            return f"{asks['metric']}{by}{_on(asks)}"
        case "tags":
            return ", ".join(key if value is None else f"{key}={value}" for key, value in asks["required"].items())
        case "card":
            return ", ".join(asks["sections"])
        case "age":
            return ", ".join(
                f"{key.replace('_', ' ')} {duration(asks[key])}" for key in ("at_least", "at_most") if key in asks
            )
        case "command":
            return " ".join(asks["run"])
        case _:
            return ""


def _on(asks: Document) -> str:
    return f" on {asks['data']}" if "data" in asks else ""
