"""Figures as a JSON document, and back."""

from dataclasses import asdict, fields
from typing import Any, TypeVar

from benchmarks.figures import Agreement, CloudStep, Figures, Machine, Memory, SmallBatches, Stage, Start, Whole
from benchmarks.reference import speed_up

F = TypeVar("F")


def document(figures: Figures) -> dict[str, Any]:
    """The figures, with ratios beside what they are made of."""
    made = asdict(figures)
    for entry, whole in zip(made["wholes"], figures.wholes, strict=True):
        entry["over_agreement"] = whole.over_agreement
        entry["times_the_reference"] = speed_up(whole) if figures.machine.has_multibuffer else None
        entry["gain_of_second_core"] = figures.gain(whole) if whole.cores == 1 else None
    return made


def figures_of(document: dict[str, Any]) -> Figures:
    """The figures of a document; ratios are computed again."""
    return Figures(
        size=document["size"],
        machine=_one(Machine, document["machine"]),
        agreements=_all(Agreement, document["agreements"]),
        wholes=_all(Whole, document["wholes"]),
        stages=_all(Stage, document["stages"]),
        small_batches=_all(SmallBatches, document["small_batches"]),
        cloud_steps=_all(CloudStep, document["cloud_steps"]),
        starts=_all(Start, document["starts"]),
        memory=_all(Memory, document["memory"]),
    )


def _all(kind: type[F], entries: list[dict[str, Any]]) -> list[F]:
    return [_one(kind, entry) for entry in entries]


def _one(kind: type[F], entry: dict[str, Any]) -> F:
    return kind(**{field.name: entry[field.name] for field in fields(kind)})  # type: ignore[arg-type]
