"""Figures as a run would give them, round ones."""

from dataclasses import replace

from benchmarks.figures import Agreement, CloudStep, Figures, Machine, Memory, SmallBatches, Stage, Start, Whole
from benchmarks.stages import INTAKE_STAGES, SUM_STAGES

AGREEMENT = 8.0
STAGES = (AGREEMENT, 1.0, 0.5, 0.5, 0.25, 0.25, 0.5)
WHOLE = 12.0

ONE_CORE = Whole("intake", "chosen", 1, 64, "pha", 20_000, 1, processor=WHOLE, wall=13.0, agreement=AGREEMENT)

FIGURES = Figures(
    size="usual",
    machine=Machine(
        "A processor",
        2,
        "a system",
        {"python": "3.11"},
        "compiled, multi-buffer key agreement",
        ["a reason"],
        ["chosen", "plain"],
    ),
    agreements=[Agreement("multi-buffer", AGREEMENT), Agreement("single", 57.0)],
    wholes=[
        ONE_CORE,
        replace(ONE_CORE, role="facilitator", processor=10.0),
        replace(ONE_CORE, cores=2, wall=6.5),
        replace(ONE_CORE, engine="single", processor=70.0),
        replace(ONE_CORE, topic="aggregation", processor=0.4, batches=50, packets=1_000_000),
    ],
    stages=[
        *(
            Stage("chosen", 64, role, name, microseconds)
            for role in ("pha", "facilitator")
            for name, microseconds in zip(INTAKE_STAGES, STAGES, strict=True)
        ),
        *(Stage("chosen", 64, role, name, 0.04) for role in ("pha", "facilitator") for name in SUM_STAGES),
    ],
    small_batches=[SmallBatches("pha", 900, 20, intake=1.5, lists=0.25, aggregation=0.5)],
    cloud_steps=[
        CloudStep("directories", "intake", 20, *[None] * 6, 0.5, None),
        CloudStep(
            "a server", "intake", 20, 1.0, 6.0, 4.0, 1.0, 45.6, round_trips=300, seconds=2.0, distant_seconds=8.0
        ),
    ],
    starts=[Start("a command", 0.25, 0.3)],
    memory=[Memory("an intake", 1000.0, 123.0)],
)
