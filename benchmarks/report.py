"""The figures as text: tables that read well in a terminal, and are Markdown."""

from collections.abc import Iterator, Sequence

from benchmarks.aggregation import WITH_TOTALS, WITHOUT_TOTALS
from benchmarks.cloud_window import DISTANCE
from benchmarks.engines import CHOSEN, SINGLE
from benchmarks.figures import Figures
from benchmarks.reference import (
    AGREEMENT,
    WANTED,
    WANTED_OF_SMALL_BATCH,
    WANTED_OF_SUM,
    speed_up,
)

TITLES = {
    "intake": "Intake",
    WITH_TOTALS: f"Aggregation, with the totals that intake kept (wanted: at most {WANTED_OF_SUM} µs)",
    WITHOUT_TOTALS: "Aggregation without totals, which decrypts again",
}


def report(figures: Figures) -> str:
    """All of it."""
    return "\n\n".join(_sections(figures)) + "\n"


def _sections(figures: Figures) -> Iterator[str]:
    yield _machine(figures)
    for topic, title in TITLES.items():
        yield f"## {title}\n\n{_wholes(figures, topic)}"
    if figures.machine.has_multibuffer:
        yield f"## Intake beside the reference\n\n{_beside_reference(figures)}"
    for engine in dict.fromkeys(stage.engine for stage in figures.stages):
        yield f"## Stages by themselves, {engine} engine, µs for a packet\n\n{_stages(figures, engine)}"
    yield f"## Small batches, ms of the processor for a batch (wanted: at most {WANTED_OF_SMALL_BATCH})\n\n" + _table(
        ["role", "batches", "packets each", "intake", "list", "sum", "all"],
        [
            [each.role, each.batches, each.packets, each.intake, each.lists, each.aggregation, each.all]
            for each in figures.small_batches
        ],
    )
    yield f"## A window of small batches over directories and clouds\n\n{_clouds(figures)}"
    yield "## Processes from start to end, seconds\n\n" + _table(
        ["process", "processor", "by the clock"], [[each.name, each.processor, each.wall] for each in figures.starts]
    )
    yield "## Memory, MB\n\n" + _table(
        ["process", "files read", "greatest resident set"],
        [[each.name, f"{each.input_megabytes:.0f}", f"{each.peak_megabytes:.0f}"] for each in figures.memory],
    )


def _machine(figures: Figures) -> str:
    machine = figures.machine
    lines = [
        f"# Benchmarks, {figures.size} size",
        "",
        f"- {machine.processor}; {machine.cores} cores; {machine.system}",
        "- " + ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        f"- engine: {machine.engine}",
        *(f"- no faster engine: {reason}" for reason in machine.reasons),
        *(f"- key agreement by itself, {each.name}: {each.processor:.2f} µs" for each in figures.agreements),
    ]
    return "\n".join(lines)


def _wholes(figures: Figures, topic: str) -> str:
    """A row for each engine, role and bins; the columns are the numbers of cores."""
    rows = []
    for one in (whole for whole in figures.wholes if whole.topic == topic and whole.cores == 1):
        two = figures.on_two_cores(one)
        rows.append(
            [
                one.engine,
                one.role,
                one.bins,
                f"{one.packets:,} in {one.batches}",
                one.processor,
                one.over_agreement,
                one.wall,
                two.wall if two else None,
                figures.gain(one),
            ]
        )
    headings = [
        "engine",
        "role",
        "bins",
        "packets",
        "processor, µs",
        "over agreement",
        "1 core, µs",
        "2 cores, µs",
        "gain",
    ]
    note = "Gain: the processor time on one core over the time by the clock on two; 2 is all that there is."
    return f"{_table(headings, rows)}\n\n{note}"


def _beside_reference(figures: Figures) -> str:
    rows = []
    for one in figures.wholes:
        if one.topic == "intake" and one.cores == 1 and one.engine in (CHOSEN, SINGLE) and one.bins in WANTED:
            wanted, multibuffer = WANTED[one.bins], one.engine == CHOSEN
            rows.append(
                [
                    one.engine,
                    one.role,
                    one.bins,
                    one.over_agreement,
                    f"≤ {wanted.over_agreement}, at most {wanted.at_most}" if multibuffer else None,
                    speed_up(one),
                    f"≥ {wanted.speed_up if multibuffer else wanted.speed_up_single}",
                ]
            )
    headings = ["engine", "role", "bins", "over agreement", "wanted", "times the reference's speed", "wanted"]
    note = (
        f"Machines differ, so costs are compared as multiples of the multi-buffer key agreement by itself, timed in "
        f"between: the reference's are its µs / {AGREEMENT} µs, ours the column before. Ratios between machines are "
        "good to 10-20 %."
    )
    return f"{_table(headings, rows)}\n\n{note}"


def _stages(figures: Figures, engine: str) -> str:
    stages = [stage for stage in figures.stages if stage.engine == engine]
    columns = list(dict.fromkeys((stage.bins, stage.role) for stage in stages))
    values = {(stage.name, stage.bins, stage.role): stage.processor for stage in stages}
    names = dict.fromkeys(stage.name for stage in stages)
    headings = ["stage", *(f"{bins} {role}" for bins, role in columns)]
    return _table(headings, [[name, *(values[name, *column] for column in columns)] for name in names])


def _clouds(figures: Figures) -> str:
    """What storages ask for of the network, and wait for."""
    rows = [
        [
            each.storage,
            each.step,
            each.requests,
            each.reads_of_batch,
            each.writes_of_batch,
            each.listings_of_batch,
            each.kilobytes_of_batch,
            each.round_trips,
            each.seconds,
            each.distant_seconds,
        ]
        for each in figures.cloud_steps
    ]
    headings = [
        "storage",
        "step of the first",
        "requests",
        "a batch: reads",
        "writes",
        "listings",
        "kB",
        "round trips",
        "s near",
        "s far",
    ]
    note = (
        f"Of a window of {max((each.batches for each in figures.cloud_steps), default=0)} batches: its requests beside "
        "those of its batches, those of each batch, all round trips, and the time by the clock with the server on this "
        f"machine, and with {DISTANCE * 1e3:.0f} ms more for each round trip."
    )
    return f"{_table(headings, rows)}\n\n{note}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    cells = [list(headings), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"
