"""The list of checks that every method passes, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness import surroundings
from harness.check import settings, steps, training
from harness.check.finding import Finding, place_of_error
from harness.check.subject import Subject
from harness.errors import UserError, text_of
from harness.interrupt import Stopped
from harness.sources import leaving, user_frames

Check = Callable[[Subject], str | None]
"""Returns a remark, or None; what is wrong is raised."""

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "settings are frozen": settings.frozen,
        "the key is stable and holds every field": settings.keys,
        "the task is built": steps.built,
        "losses are finite, gradients reach all parameters": steps.trains,
        "predictions have their shapes": steps.predicts,
        "the state dict holds all state": steps.state,
        "it starts from the stage before": steps.starts,
        "settings stay as they are in training": training.unchanged,
        "no global randomness is used": training.draws,
        "it leaves its process as it was": training.leaves,
        "the same key gives the same weights": training.repeats,
        "a resumed training ends the same": training.resumes,
        "micro-batches give the whole batch's gradient": steps.micro_batches,
    }
)
"""The checks by what they check, in their order."""

AFTERWARDS: Mapping[str, Check] = MappingProxyType(
    {title: check for title, check in CHECKS.items() if check is steps.starts}
)
"""The checks of a method that ships and follows a user's."""

NEEDED = (settings.frozen, steps.built)
"""Checks without which the others say nothing."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of one check.

    Attributes:
        title: what was checked.
        mend: what was seen and what to mend; None where it is in order.
        place: file and line that it is about; "" for none.
        remark: what is worth knowing where it is in order.
    """

    title: str
    mend: str | None = None
    place: str = ""
    remark: str = ""


def answers(
    subject: Subject,
    checks: Mapping[str, Check] = CHECKS,
    begin: Callable[[str], None] = lambda title: None,
) -> Iterator[Answer]:
    """Yield the answers of checks; after one that the others need, no more.

    Args:
        subject: what is checked.
        checks: by their titles.
        begin: is told of each title before it is checked.
    """
    for title, check in checks.items():
        begin(title)
        answer = _answer(title, check, subject)
        yield answer
        if answer.mend is not None and check in NEEDED:
            return


def _answer(title: str, check: Check, subject: Subject) -> Answer:
    try:
        owned = user_frames.packages_of([subject.method])
        with surroundings.kept(), leaving.refused(owned):
            return Answer(title=title, remark=check(subject) or "")
    except Finding as finding:
        return Answer(title=title, mend=str(finding), place=finding.place)
    except UserError as error:
        return Answer(title=title, mend=str(error), place=place_of_error(error, subject.files))
    except Stopped:
        raise
    except BaseException as error:  # noqa: BLE001 (whatever a user's method raises is the answer)
        text = f"{type(error).__name__}: {_text(error)}".rstrip(": ")
        return Answer(title=title, mend=text, place=place_of_error(error, subject.files))


def _text(error: BaseException) -> str:
    try:
        return text_of(error)
    except BaseException as worse:
        if isinstance(worse, Stopped):
            raise
        return f"(its text cannot be shown: {type(worse).__name__})"
