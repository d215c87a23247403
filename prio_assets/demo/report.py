"""The demo's report: one HTML file that needs nothing else, for a person who has never heard of Prio."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from prio_assets.demo.outcome import Result, Shares, WindowOutcome
from prio_assets.demo.parties import Place
from prio_assets.demo.plots import counts_plot, runs_plot, shares_plot
from prio_assets.demo.scenario import Fault, PlannedBatch
from prio_assets.demo.summary import HEADINGS, counts_table, ui_command, verdict, window_row
from prio_assets.demo.watch import hours_text

COSTS = {
    Fault.NONE: "nothing",
    Fault.BAD_SIGNATURE: "this batch",
    Fault.ONE_SIDED: "this batch",
    Fault.OTHER_EPSILON: "this batch",
    Fault.UNDECRYPTABLE: "these packets; the others count",
    Fault.LIARS: "these packets; the others count",
    Fault.LATE: "nothing: it counts in the next window",
}


def write_report(result: Result, shares: Shares, place: Place) -> None:
    """Write the report of a demo that came to its end; `shares` are those of the first outcome's window."""
    parts = [
        _opening(result),
        _answers(result),
        _what_each_knows(result, shares),
        _faults(result),
        _windows(result),
        _runs(result),
        _all_batches(result),
        _look_further(place),
    ]
    style = (resources.files("prio_assets.demo") / "report.css").read_text("utf-8")
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>prio-assets: the demo's report</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    )
    place.report.write_text(head + "\n".join(parts) + "\n</body>\n</html>\n", "utf-8")


def _opening(result: Result) -> str:
    batches = result.plan.batches
    sent = sum(len(batch.rows) for batch in batches)
    counted = sum(outcome.clients for outcome in result.outcomes)
    exact = sum(outcome.is_exact for outcome in result.outcomes)
    cards = [
        (f"{sent:,}", "simulated clients"),
        (str(len(batches)), "batches, some faulty on purpose"),
        (f"{counted:,}", "clients counted"),
        (f"{exact} of {len(result.outcomes)}", "windows exact in every bin"),
        (str(len(result.record.runs)), f"Dagster runs, {_requested_by(result)}"),
    ]
    boxes = "".join(f"<div class=card><b>{number}</b><span>{escape(text)}</span></div>" for number, text in cards)
    return f"""
<h1>Counting people without seeing anyone's answer</h1>
<p>Each simulated client answered a question with a row of zeros and ones. It split the row into two shares that look
random, encrypted one to the <b>PHA</b> and one to the <b>facilitator</b>, and added a proof that the row holds nothing
but zeros and ones. The two processors checked the proofs together, each summed its own shares, and the <b>portal</b>
added the two sums. Nobody saw a row. What the portal got is how many clients had a one in each place.</p>
<div class=cards>{boxes}</div>
<p class={"good" if result.is_exact else "bad"}>{escape(verdict(result))}</p>
<p class=note>This demo ran all parties on one machine, with all keys in one directory. That protects nobody: it is for
trying. In earnest, PHA and facilitator are two organisations that don't conspire.</p>"""


def _requested_by(result: Result) -> str:
    others = len(result.record.runs_of_no_sensor)
    return f"{others} of them not requested by sensors" if others else "all requested by sensors"


def _answers(result: Result) -> str:
    sections = []
    for topic in result.plan.topics:
        outcomes = [outcome for outcome in result.outcomes if outcome.topic == topic]
        sections.append(
            f"<h3>{escape(topic.name)}: {escape(topic.question)}</h3>\n<p class=quiet>{topic.bins:,} bins.</p>\n"
            f"{counts_plot(outcomes)}\n<details><summary>The numbers</summary>{_counts(outcomes)}</details>"
        )
    return (
        "<h2>What came out, beside the truth</h2>\n<p>The demo knows the truth, since it made the clients up. "
        "Recovered and true counts must be equal to the last client.</p>\n" + "\n".join(sections)
    )


def _counts(outcomes: Sequence[WindowOutcome]) -> str:
    headings, *rows = counts_table(outcomes, most_bins=outcomes[0].topic.bins)
    return _table(headings, rows)


def _what_each_knows(result: Result, shares: Shares) -> str:
    first = result.outcomes[0]
    labels = first.topic.labels or tuple(str(place) for place in range(len(shares.total)))
    return f"""
<h2>What each processor knows</h2>
<p>These are the sum parts of <b>{escape(first.topic.name)}</b>, {hours_text(first.window)} UTC, as the two processors
published them: numbers between 0 and p = 4,293,918,721. Each alone is uniformly random and says nothing about anybody.
Added modulo p, they are the counts.</p>
{shares_plot(shares, labels)}"""


def _faults(result: Result) -> str:
    rows = [
        (
            batch.topic.name,
            f"{batch.name.time:%H:%M}",
            str(batch.name.uuid)[:8],
            _what_was_wrong(batch),
            _verdict_of("pha", batch, result),
            _verdict_of("facilitator", batch, result),
            COSTS[batch.fault],
        )
        for batch in result.plan.batches
        if batch.fault is not Fault.NONE
    ]
    headings = ("aggregation", "time", "batch", "what was wrong", "PHA", "facilitator", "what it cost")
    return (
        "<h2>What went wrong on purpose</h2>\n<p>A bad packet costs that packet, a bad batch costs that batch, and "
        "everything else is counted. Both processors agree on the batches of a window before they sum it, so that "
        "what reached only one of them spoils nothing.</p>\n" + _table(headings, rows)
    )


def _what_was_wrong(batch: PlannedBatch) -> str:
    faulty = int(batch.faulty.sum())
    return f"{batch.fault.value} ({faulty} of {len(batch.rows)} clients)" if faulty else batch.fault.value


def _verdict_of(processor: str, batch: PlannedBatch, result: Result) -> str:
    if batch.fault is Fault.ONE_SIDED and processor == "pha":
        return "never got it"
    reason = result.snapshot.rejected.get((processor, batch.name))
    return f"rejected: {reason}" if reason else "validated"


def _windows(result: Result) -> str:
    rows = [window_row(result, outcome) for outcome in result.outcomes]
    return (
        "<h2>Window by window</h2>\n<p>A batch belongs to the window that holds its time. A late one counts in the "
        "next window that is open.</p>\n" + _table(HEADINGS, rows, numbers={2})
    )


def _runs(result: Result) -> str:
    runs = result.record.runs
    failed = [run for run in runs if run.status != "SUCCESS"]
    ended = "All ended well." if not failed else f"{len(failed)} did not end well."
    checks = result.record.failed_checks
    rows = [(asset, check, partition or "all") for asset, check, partition in checks]
    shown = _table(("asset", "check that fails", "partition"), rows) if rows else ""
    return (
        f"<h2>How it went</h2>\n<p>Sensors found the batches, the lists and the sum parts in the buckets and requested "
        f"{len(runs)} runs. {ended} Each asset's row shows when its runs went, for all aggregations and windows.</p>\n"
        f"{runs_plot(runs)}\n<p>Faults show as failed checks, which stop nothing:</p>\n{shown}"
    )


def _all_batches(result: Result) -> str:
    rows = [
        (
            batch.topic.name,
            f"{batch.name.time:%Y-%m-%d %H:%M}",
            str(batch.name.uuid),
            str(len(batch.rows)),
            _verdict_of("pha", batch, result),
            _verdict_of("facilitator", batch, result),
        )
        for batch in result.plan.batches
    ]
    headings = ("aggregation", "time (UTC)", "batch", "clients", "PHA", "facilitator")
    return f"<details><summary>All {len(rows)} batches</summary>\n{_table(headings, rows, numbers={3})}\n</details>"


def _look_further(place: Place) -> str:
    return f"""
<h2>Look further</h2>
<pre># the Dagster UI on this very instance
{escape(ui_command(place))}
# the same with rows of your own, .csv or .npy of 0 and 1
prio-assets demo --data FILE
# the configuration, to start your own from
{escape(str(place.configuration))}</pre>"""


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    right = set(numbers)

    def cells(tag: str, row: Sequence[str]) -> str:
        marks = (" class=number" if column in right else "" for column in range(len(row)))
        return "".join(f"<{tag}{mark}>{escape(str(cell))}</{tag}>" for mark, cell in zip(marks, row, strict=True))

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class=wide><table>\n<tr>{cells('th', headings)}</tr>\n{body}\n</table></div>"
