"""The chart, as what an SVG file of known figures must show."""

import re
from dataclasses import replace
from xml.etree import ElementTree as Xml

import pytest

from benchmarks.chart import chart
from benchmarks.stages import INTAKE_STAGES
from tests.benchmarks.canned import AGREEMENT, FIGURES, STAGES, WHOLE

SVG = "{http://www.w3.org/2000/svg}"
CORNERS = re.compile(r"[ML] ([\d.]+) ([\d.]+)")


def groups(text: str, beginning: str) -> list[Xml.Element]:
    root = Xml.fromstring(text)
    return [group for group in root.iter(f"{SVG}g") if group.get("id", "").startswith(beginning)]


def corners(group: Xml.Element) -> list[tuple[float, float]]:
    paths = (path.get("d", "") for path in group.iter(f"{SVG}path"))
    return [(float(x), float(y)) for x, y in CORNERS.findall(next(paths, ""))]


def first_bar(text: str) -> list[tuple[float, float]]:
    """(bottom, top) of each part of the leftmost bar, as distances from the upper edge."""
    axes = next(group for group in groups(text, "axes_") if group.get("id") == "axes_1")
    parts = [corners(group) for group in axes if group.get("id", "").startswith("patch_")]
    bars = [part for part in parts if len(part) == 4][1:]  # the first is the background
    left = min(x for part in bars for x, _ in part)
    own = [[y for _, y in part] for part in bars if min(x for x, _ in part) == left]
    return [(max(ys), min(ys)) for ys in own]


def test_the_same_figures_give_the_same_file() -> None:
    assert chart(FIGURES) == chart(FIGURES)
    assert "<dc:date>" not in chart(FIGURES)


def test_a_bar_is_its_stages_and_the_rest_up_to_the_whole() -> None:
    parts = first_bar(chart(FIGURES))
    heights = [bottom - top for bottom, top in parts]
    scale = heights[0] / AGREEMENT
    expected = [*STAGES, WHOLE - sum(STAGES)]
    assert [height / scale for height in heights] == pytest.approx(expected, rel=1e-3)
    assert [bottom for bottom, _ in parts[1:]] == pytest.approx([top for _, top in parts[:-1]])


def test_the_floor_is_at_the_key_agreement() -> None:
    text = chart(replace(FIGURES, agreements=[replace(FIGURES.agreements[0], processor=WHOLE)]))
    parts = first_bar(text)
    dashed = [group for group in groups(text, "line2d_") if "stroke-dasharray" in Xml.tostring(group, "unicode")]
    heights = [corners(group)[0][1] for group in dashed]  # the other one is in the legend
    assert pytest.approx(min(top for _, top in parts)) in heights


def test_what_is_written_beside() -> None:
    text = " ".join(Xml.fromstring(chart(FIGURES)).itertext())
    for expected in (*INTAKE_STAGES, "the rest", "64 bins", "pha", "facilitator", "multi-buffer key agreement", "8.0"):
        assert expected in text
