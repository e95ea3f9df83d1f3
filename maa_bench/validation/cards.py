"""A method's card: complete, the package's own where the method is the package's, and nobody else's in disguise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from maa_bench.method import FAMILIES
from maa_bench.record import MethodInfo, RunRecord
from maa_bench.registry import load_method, method_names
from maa_bench.validation.claims import known_suite

NO_CONTENDERS = ("control", "ceiling")
"""Families whose methods need no citation."""
TRAINED_ON = ("seen", "nothing")


def card_problems(record: RunRecord) -> Iterator[str]:
    """Where the card is incomplete, not the package's own, or admits to test tasks."""
    card = record.method
    if not card.summary.strip():
        yield "method.summary is empty"
    if card.family not in FAMILIES:
        yield f"method.family {card.family!r} must be one of {', '.join(FAMILIES)}"
    if card.trained_on not in TRAINED_ON:
        yield f"method.trained_on {card.trained_on!r} must be one of {', '.join(TRAINED_ON)}"
    if not card.citation.strip() and card.family not in NO_CONTENDERS:
        yield "method.citation is empty: name a paper or a repository"
    yield from _disjoint(record)
    yield from _own(card)


def is_own(card: MethodInfo) -> bool:
    """Whether a method of that name is registered here."""
    return card.name in method_names()


def _own(card: MethodInfo) -> Iterator[str]:
    if not is_own(card):
        for name in method_names():
            if _folded(name) == _folded(card.name):
                yield f"method.name {card.name!r} is too like {name!r}, a method of the package: choose another"
        if card.family in NO_CONTENDERS:
            yield f"method.family {card.family!r} is for the package's own: what is submitted is compared with these"
        return
    loaded = load_method(card.name)
    own = MethodInfo.of(loaded.card, card.source)
    for key in MethodInfo.model_fields:
        stated, wanted = getattr(card, key), getattr(own, key)
        if stated != wanted:
            yield f"method.{key} is {stated!r}, but the card of {card.name!r} says {wanted!r}"
    stated, wanted = card.source.partition(" ")[0], loaded.source.partition(" ")[0]
    if stated != wanted:
        yield f"method.source is {card.source!r}, but {card.name!r} is of {wanted}: give yours a name of its own"


def _disjoint(record: RunRecord) -> Iterator[str]:
    suite = known_suite(record)
    split = suite.splits.get(record.split.name) if suite is not None else None
    if split is None or split.kind != "unseen":
        return
    tested = {_task(task): task for task in record.split.test}
    known = [tested[_task(name)] for name in record.method.pretrained_on if _task(name) in tested]
    if known:
        yield (
            f"method.pretrained_on names {', '.join(known)}, which split {split.name!r} tests as unseen: "
            "such a run has no place in its tables"
        )


def _folded(name: str) -> str:
    """What is left of a name when its spelling is forgotten."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", name).casefold())


def _task(name: str) -> str:
    """The same of a task, by whatever its simulator calls it (`metaworld/window-close-v2-goal-observable`)."""
    bare = re.sub(r"[-_ ]goal[-_ ](observable|hidden)$", "", re.split(r"[/:]", name.strip())[-1], flags=re.IGNORECASE)
    return _folded(re.sub(r"[-_ ]v\d+$", "", bare, flags=re.IGNORECASE))
