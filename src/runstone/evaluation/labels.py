"""The classes of an evaluation: which there are, targets and predictions as their numbers, and probabilities."""

from dataclasses import dataclass
from typing import Any

from runstone.errors import UsageError
from runstone.evaluation.data import Cases, check_known
from runstone.evaluation.findings import Findings
from runstone.evaluation.settings import Settings
from runstone.evaluation.subject import Subject

_FRACTIONS = 20
"""Different broken numbers beyond which they are measurements, and no names of classes."""


@dataclass(frozen=True, slots=True)
class Classified:
    """A classifier's answers beside the right ones.

    Attributes:
        labels: The classes, in order: (n_classes,).
        targets: Their numbers in `labels`: (n_samples,).
        predictions: Likewise.
        probabilities: (n_samples, n_classes), in the order of `labels`; None if unknown.
        positive: Of two classes the number of the positive one; None of more.
        weights: (n_samples,), or None.
    """

    labels: Any
    targets: Any
    predictions: Any
    probabilities: Any
    positive: int | None
    weights: Any


def classify(cases: Cases, subject: Subject, settings: Settings, findings: Findings) -> Classified:
    """Ask the model, and bring its answers and the right ones to the numbers of their classes.

    Raises:
        UsageError: There is but one class, or targets and predictions are no classes, or of different kinds.
    """
    import numpy as np

    predictions, probabilities, classes = decide(cases, subject, settings, findings)
    if probabilities is None and subject.model is not None:
        probabilities = subject.probabilities(cases.features)
    _same_kind(cases.targets, predictions)
    labels = _labels(np, cases.targets, predictions, classes, settings)
    if probabilities is None:
        findings.omitted.append(
            "No probabilities (the model has no `predict_proba`), so there is no `log_loss`, and no ROC, "
            "precision-recall, calibration and lift curve."
        )
    else:
        if not np.isfinite(probabilities).all():
            raise UsageError("The model gives probabilities that are no numbers (NaN or infinity).")
        probabilities = _aligned(np, probabilities, classes, labels, findings)
    return Classified(
        labels,
        np.searchsorted(labels, cases.targets),
        np.searchsorted(labels, predictions),
        probabilities,
        _positive(labels, settings) if len(labels) == 2 else None,
        cases.weights,
    )


def decide(cases: Cases, subject: Subject, settings: Settings, findings: Findings) -> tuple[Any, Any, Any]:
    """What the model answers: classes, (n_samples,); probabilities, if it predicts these; and whose they are.

    A model of more columns predicts probabilities, and so does one that answers two classes with numbers between 0 and
    1, as boosters and networks do.
    """
    import numpy as np

    answers = cases.predictions if subject.model is None else subject.predict(cases.features)
    answers = check_known(np, "predictions", answers)
    if answers.ndim == 2:
        classes = _columns(np, answers, subject.classes, cases.targets, settings)
        return np.asarray(classes)[np.argmax(answers, axis=1)], answers, classes
    known = np.unique(cases.targets if settings.label_list is None else list(settings.label_list))
    if not _are_shares(np, answers, known):
        return answers, None, subject.classes
    at = _positive(known, settings)
    findings.omitted.append(
        f"The predictions lie between 0 and 1, so they are taken for probabilities of the class {known[at]}."
    )
    shares = answers.astype(float)
    probabilities = np.stack((shares, 1 - shares) if at == 0 else (1 - shares, shares), axis=1)
    return known[np.where(shares >= 0.5, at, 1 - at)], probabilities, known


def _columns(np: Any, answers: Any, classes: Any, targets: Any, settings: Settings) -> Any:
    """The classes of a model that predicts probabilities only."""
    if classes is None:
        classes = np.unique(targets if settings.label_list is None else list(settings.label_list))
    if len(classes) != answers.shape[1]:
        raise UsageError(
            f"The model predicts {answers.shape[1]} columns for {len(classes)} classes. If they are probabilities, "
            "name their classes in order: `evaluator_config={'label_list': […]}`"
        )
    return classes


def _are_shares(np: Any, answers: Any, known: Any) -> bool:
    if answers.dtype.kind != "f" or len(known) != 2 or not (answers % 1 != 0).any():
        return False
    are_classes = known.dtype.kind != "f" or not (known % 1 != 0).any()
    return are_classes and bool(((answers >= 0) & (answers <= 1)).all())


def _same_kind(targets: Any, predictions: Any) -> None:
    kinds = ["text" if each.dtype.kind in "USO" else "numbers" for each in (targets, predictions)]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"The targets are {kinds[0]} ({targets.tolist()[0]!r:.40}), and the predictions are {kinds[1]} "
            f"({predictions.tolist()[0]!r:.40}). Encode the targets as the model was trained with them."
        )
    are_broken = [each.dtype.kind == "f" and bool((each % 1 != 0).any()) for each in (targets, predictions)]
    if are_broken == [True, False] and len(set(targets[targets % 1 != 0].tolist())) > _FRACTIONS:
        raise UsageError(
            f"The targets are no classes, but numbers such as {targets[targets % 1 != 0][0]:g}. For a model that "
            "predicts numbers: `model_type='regressor'`"
        )
    if are_broken == [False, True]:
        odd = predictions[predictions % 1 != 0][0]
        raise UsageError(
            f"The predictions are no classes, but numbers such as {odd:g}. For a model that predicts numbers: "
            "`model_type='regressor'`"
        )


def _labels(np: Any, targets: Any, predictions: Any, classes: Any, settings: Settings) -> Any:
    if settings.label_list is not None:
        labels = np.unique(np.asarray(list(settings.label_list)))
        seen = np.unique(np.concatenate([targets, predictions]))
        odd = [each for each in seen.tolist() if each not in set(labels.tolist())]
        if odd:
            raise UsageError(f"`label_list` lacks the class {odd[0]!r}, which targets or predictions have.")
    else:
        known = [targets, predictions]
        if classes is not None and (np.asarray(classes).dtype.kind in "USO") == (targets.dtype.kind in "USO"):
            known.append(check_known(np, "classes", np.asarray(classes)))
        labels = np.unique(np.concatenate(known))
    if len(labels) < 2:
        raise UsageError(
            f"There is only one class, {labels.tolist()[0]!r}, and a classifier needs two. If the data lacks the "
            "others, name all: `evaluator_config={'label_list': […]}`"
        )
    _positive(labels, settings)
    return labels


def _positive(labels: Any, settings: Settings) -> int:
    """The number of the positive class, which may be named by its text: `1` for 1."""
    if settings.pos_label is None:
        return 1
    known = labels.tolist()
    for each in (known, [str(label) for label in known]):
        if settings.pos_label in each:
            return each.index(settings.pos_label)
    raise UsageError(f"`pos_label` {settings.pos_label!r} is none of the classes: {known[:20]!r}.")


def _aligned(np: Any, probabilities: Any, classes: Any, labels: Any, findings: Findings) -> Any:
    """The columns in the order of the labels; a class that the model does not know has probability 0."""
    if classes is None:
        if probabilities.shape[1] == len(labels):
            return probabilities
        findings.omitted.append(
            f"The probabilities are left out: they have {probabilities.shape[1]} columns for {len(labels)} classes."
        )
        return None
    places = {label: i for i, label in enumerate(np.asarray(classes).tolist())}
    found = np.zeros((len(probabilities), len(labels)))
    for column, label in enumerate(labels.tolist()):
        if label in places:
            found[:, column] = probabilities[:, places[label]]
    return found
