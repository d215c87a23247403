"""`state init` makes a state once, and never lets anything be summed that may have been summed."""

from datetime import timedelta

from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import not_before
from prio_assets.processor.validation import validate_batches
from prio_assets.wire.windows import parse_minute
from tests.cli.conftest import Deployed
from tests.cli.program import error

PHA = ("state", "init", "--processor", "pha")


def test_a_new_state_begins_at_the_first_window(deployed: Deployed) -> None:
    result = deployed.run(*PHA)
    assert result.exit_code == 0, result.output
    assert "batches before 2023-05-31 00:00 UTC are never summed" in result.stdout
    assert not_before(deployed.processor("pha")) == parse_minute("2023/05/31/00/00")


def test_a_state_that_is_there_stays(deployed: Deployed) -> None:
    deployed.run(*PHA)
    for more in ((), ("--before", "2023/06/01/00/00")):
        said = error(deployed.run(*PHA, *more), 1)
        assert "has a state in" in said
        assert f"only if it is damaged, remove {deployed.folder}/pha/state/state, " in said
    assert not_before(deployed.processor("pha")) == parse_minute("2023/05/31/00/00")


def test_a_later_beginning_can_be_chosen(deployed: Deployed) -> None:
    assert deployed.run(*PHA, "--before", "2023/05/31/16/00").exit_code == 0
    assert not_before(deployed.processor("pha")) == parse_minute("2023/05/31/16/00")


def test_an_earlier_beginning_than_the_first_window_is_refused(deployed: Deployed) -> None:
    assert "give no earlier --before" in error(deployed.run(*PHA, "--before", "2023/05/30/00/00"), 1)
    assert not (deployed.folder / "pha" / "state" / "state").exists()


def test_after_a_loss_what_a_list_of_the_peer_s_covers_is_never_summed_again(deployed: Deployed) -> None:
    deployed.state_init()
    for role in ("pha", "facilitator"):
        list(validate_batches(deployed.processor(role), deployed.batches))
    for role in ("pha", "facilitator"):
        make_own_list(deployed.processor(role), deployed.aggregation, deployed.window, None)
    (deployed.folder / "pha" / "state" / "state").unlink()
    refused = error(deployed.run(*PHA, "--before", "2023/05/31/00/00"), 1)
    assert "batches up to 2023-06-01 00:00 UTC may be in a sum already" in refused
    assert deployed.run(*PHA).exit_code == 0
    assert not_before(deployed.processor("pha")) == deployed.window.end


def test_with_a_peer_without_lists_windows_past_their_stop_are_never_summed(deployed: Deployed) -> None:
    deployed.set("pha", peer_has_lists=False)
    deployed.now = deployed.window.end + timedelta(minutes=50)
    assert deployed.run(*PHA).exit_code == 0
    assert not_before(deployed.processor("pha")) == deployed.window.end


def test_the_processor_must_be_named_where_there_are_several(deployed: Deployed) -> None:
    assert "Give --processor, one of facilitator, pha" in error(deployed.run("state", "init"), 2)
    del deployed.sections["facilitator"]
    deployed.set("pha")
    assert deployed.run("state", "init").exit_code == 0


def test_a_storage_that_is_not_there_is_not_made(deployed: Deployed) -> None:
    """A missing mount must not become an empty state."""
    (deployed.folder / "pha" / "state").rmdir()
    assert "is not there" in error(deployed.run(*PHA), 1)
    assert not (deployed.folder / "pha" / "state").exists()
