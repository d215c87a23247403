"""`doctor`: what runs here, how fast and why not faster, and whether it computes what it should."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from prio_assets.cli.failures import CommandError
from prio_assets.cli.logs import one_line
from prio_assets.cli.options import option

if TYPE_CHECKING:
    from prio_assets.prio.choice import Choice


@click.command("doctor")
@click.option(
    "--configuration",
    envvar="PRIO_CONFIG",
    show_envvar=True,
    metavar="PATH",
    help="A configuration file that is to be looked at, too.",
)
@option(
    "format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
def command(configuration: str | None, format: str) -> None:
    """Print what runs here, and check that it works.

    Names the engine that verifies packets and why it is no faster one, and compares it with the plain engine. This
    also compiles the loops whose machine code is not kept yet, so that nothing else has to wait for it. With a
    configuration: whether it is valid, its secrets are there, and its storages answer; of secrets the public halves
    are shown. The exit status is 1 if anything is wrong. A slow engine is not.
    """
    report = diagnose(configuration)
    click.echo(json.dumps(report, indent=2) if format == "json" else table(report))
    faults = [finding for finding in report["findings"] if finding["is_fault"]]
    if faults:
        more = f" ({len(faults) - 1} more above)" if len(faults) > 1 else ""
        raise CommandError(f"{faults[0]['about']}: {faults[0]['text']}{more}")


def diagnose(configuration: str | None) -> dict[str, Any]:
    """All that is found, as plain values."""
    import platform
    from importlib.metadata import version

    from prio_assets.prio.choice import choose_engine

    choice = choose_engine()
    return {
        "version": version("prio-assets"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "engine": choice.engine.name,
        "no_faster_because": choice.reasons,
        "machine_code": machine_code(choice),
        "findings": list(findings(choice, configuration)),
    }


def usable_cores() -> int:
    """The cores that this process may use, which may be fewer than the machine has."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_code(choice: "Choice") -> str | None:
    """The directory in which compiled loops are kept; None if there are none, or they are compiled in each process."""
    if choice.engine.name == "plain":
        return None
    from prio_assets.prio.jit import CACHE_DIRECTORY

    return None if CACHE_DIRECTORY is None else str(CACHE_DIRECTORY)


def findings(choice: "Choice", configuration: str | None) -> Iterator[dict[str, Any]]:
    """What was tried: the engine and, where there is one, the deployment."""
    from prio_assets.cli.self_test import CLIENTS, faults_of

    faults = faults_of(choice.engine)
    remedy = "report this defect" if choice.engine.name == "plain" else "set PRIO_ENGINE=plain, and report this defect"
    for fault in faults:
        text = f"the engine {choice.engine.name} fails: {fault}; {remedy}"
        yield {"about": "self-test", "text": text, "is_fault": True}
    if not faults:
        text = f"passed: {CLIENTS} clients' packets, read and verified in both roles as by the plain engine"
        yield {"about": "self-test", "text": text, "is_fault": False}
    if configuration:
        from prio_assets.cli import deployment_findings

        yield from (finding._asdict() for finding in deployment_findings.findings(configuration))


def table(report: dict[str, Any]) -> str:
    """Two columns: what was looked at, and what was found."""
    lines = [
        ("version", report["version"]),
        ("python", report["python"]),
        ("machine", f"{report['machine']}, {report['cores']} cores"),
        ("engine", report["engine"]),
        *(("no faster", reason) for reason in report["no_faster_because"] or ["it is the fastest"]),
        ("machine code", report["machine_code"] or "none is kept"),
        *((each["about"], f"{'WRONG: ' * each['is_fault']}{each['text']}") for each in report["findings"]),
    ]
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{one_line(label):{width}}  {one_line(text)}" for label, text in lines)
