"""What MLflow keeps in its database and Runstone does not: traces, judges, the AI gateway, webhooks and the like.

What MLflow's UI asks on the pages it opens is answered with nothing at all, so that they open; whatever else MLflow's
own classes leave open is refused in one sentence, with a code for which its server answers 501, or 404 where a thing
is asked for by its id. Both hold for versions of MLflow yet to come, too: what a store has to do is read from MLflow's
class, and not from a list.
"""

import logging
import re
from collections.abc import Callable
from functools import wraps
from inspect import getattr_static, isfunction
from typing import Any, NoReturn

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import NOT_IMPLEMENTED, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.entities.paged_list import PagedList

_NO_PAGE = (
    "find_completed_sessions list_budget_policies list_endpoint_bindings list_endpoint_guardrail_configs "
    "list_gateway_endpoints list_gateway_guardrails list_gateway_model_definitions list_label_schemas "
    "list_review_queue_items list_review_queues list_scorer_versions list_scorers list_scorers_across_experiments "
    "list_secret_infos list_webhooks list_webhooks_by_event query_trace_metrics search_datasets search_issues "
    "search_mcp_access_endpoints search_mcp_server_versions search_mcp_servers batch_get_traces batch_get_trace_infos "
    "get_active_online_scorers get_dataset_experiment_ids get_mcp_server_versions_for_trace get_online_scoring_configs"
)
_NOTHING: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(_NO_PAGE.split(), lambda: PagedList([], None)),
    "search_traces": lambda: ([], None),
    "sum_gateway_trace_cost": lambda: 0.0,
}
"""Reads, and what they find."""

_LEFT = {"log_spans"}
"""Of these MLflow itself catches what its class raises, and falls back to something else."""

_NO_TRACES = "Runstone keeps no traces"
_WHY = (
    ("scorer|scoring", "Runstone keeps no judges and scorers"),
    ("trace|span|session", _NO_TRACES),
    ("assessment|issue|label_schema|review_queue|user_queue", "Runstone keeps no reviews of traces"),
    ("mcp", "Runstone keeps no MCP servers"),
    ("gateway|endpoint|secret|budget|guardrail|model_definition", "Runstone has no AI gateway"),
    ("dataset", "Runstone keeps no evaluation datasets of MLflow's own"),
    ("webhook", "Runstone sends no webhooks"),
    ("workspace", "Runstone has no workspaces"),
    ("", "Runstone does not do this"),
)
"""What the name of a method holds, and why it is refused."""

_TRACERS = ("export.mlflow_v3", "export.mlflow", "export.async_export_queue", "fluent", "provider")


def refuse(name: str) -> NoReturn:
    """Say that a method of a store is not supported.

    Raises:
        MlflowException: Always; of what is asked for by its id, that there is none, and else NOT_IMPLEMENTED.
    """
    why = next(why for words, why in _WHY if re.search(words, name))
    # MLflow's server logs an error of its own for each 501, and its UI asks for some of these on opening a page.
    code = RESOURCE_DOES_NOT_EXIST if name.startswith("get_") else NOT_IMPLEMENTED
    raise MlflowException(f"{why}: `{name}` is not supported.", error_code=code)


def _is_open(name: str, member: object) -> bool:
    """Whether a method is MLflow's own one, and no store has to have one of its own."""
    if name.startswith("_") or name in _LEFT or not isfunction(member):
        return False
    return member.__module__.startswith("mlflow.") and not getattr(member, "__isabstractmethod__", False)


def _finding(nothing: Callable[[], Any], method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def finding(*arguments: Any, **options: Any) -> Any:
        del arguments, options
        return nothing()

    return finding


def _refusing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """MLflow's method; where all it does is to say that a store has to have one, that is said in plain words."""

    @wraps(method)
    def refusing(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except NotImplementedError:
            refuse(name)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(NOT_IMPLEMENTED) or error.message:
                raise
            refuse(name)

    return refusing


class _Once(logging.Filter):
    """Lets the first word that traces are not kept through, and no other: a traced program makes one a call."""

    said = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is shown."""
        if _NO_TRACES not in record.getMessage():
            return True
        first, _Once.said = not _Once.said, True
        return first


_once = _Once()


class LeftOut:
    """What stands in a store right before MLflow's own class, and finds or refuses what only that class has."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in dir(cls):
            member = getattr_static(cls, name)
            if not _is_open(name, member):
                continue
            nothing = _NOTHING.get(name)
            setattr(cls, name, _refusing(name, member) if nothing is None else _finding(nothing, member))


class Unsupported(LeftOut):
    """As `LeftOut`, for the tracking store."""

    def link_traces_to_run(self, trace_ids: list[str], run_id: str) -> None:
        """Refused: there are no traces. MLflow asks every store for a method of this name."""
        del trace_ids, run_id
        refuse("link_traces_to_run")

    def start_trace(self, *arguments: Any, **options: Any) -> Any:
        """Refused. The traced program goes on, since MLflow catches it and logs it; here it logs it once."""
        del arguments, options
        for name in _TRACERS:
            logging.getLogger(f"mlflow.tracing.{name}").addFilter(_once)  # again changes nothing
        refuse("start_trace")

    def deprecated_start_trace_v2(self, *arguments: Any, **options: Any) -> Any:
        """Refused: MLflow 3's server asks for this, which its own class lacks, when a client of MLflow 2 traces."""
        self.start_trace(*arguments, **options)

    def _load_dataset_records(self, *arguments: Any, **options: Any) -> tuple[list[Any], None]:
        """There are none. MLflow's server asks for this by its private name, and does not expect an error there."""
        del arguments, options
        return [], None

    def deprecated_end_trace_v2(self, *arguments: Any, **options: Any) -> Any:
        """As `deprecated_start_trace_v2`."""
        del arguments, options
        refuse("end_trace")
