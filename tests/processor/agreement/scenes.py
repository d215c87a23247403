"""Scenes: worlds of one kind with a few of the machine's stories, in which what breaks a rule shows soon.

A scene is played on the processor as it is, and on each mutant that shows in it: the same machine, the same examples.
"""

import os
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.processor.agreement.machine import AgreementMachine

MORE_EXAMPLES = int(os.environ.get("AGREEMENT_EXAMPLES", "0"))


def search(examples: int, steps: int, phases: tuple[Phase, ...] = (Phase.generate,)) -> settings:
    """The same examples in every run; or as many as the environment says, and new ones each time."""
    return settings(
        max_examples=MORE_EXAMPLES or examples,
        stateful_step_count=steps,
        derandomize=not MORE_EXAMPLES,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


@dataclass(frozen=True)
class Scene:
    """What happens (rules of the machine, no others), in what trouble, with which late limits and minimums."""

    name: str
    stories: tuple[str, ...]
    trouble: str | int = "none"
    late_hours: tuple[tuple[int, int], ...] = ((6, 6),)
    minimums: tuple[tuple[int, int], ...] = ((1, 1),)

    def play(self) -> None:
        """Try its examples; `AssertionError` where one breaks a promise."""
        run_state_machine_as_test(self._machine(), settings=search(examples=40, steps=4))

    def _machine(self) -> type[AgreementMachine]:
        rules = {name for name, member in vars(AgreementMachine).items() if hasattr(member, "hypothesis_stateful_rule")}
        assert rules >= {*self.stories}, f"the machine has no rules {self.stories}"
        facts = {"troubles": (self.trouble,), "late_hours": self.late_hours, "minimums": self.minimums}
        return type("SceneMachine", (AgreementMachine,), dict.fromkeys(rules - {*self.stories}) | facts)


OVERLAPPING = Scene("overlapping proposals", ("answer_overlapping", "pass_time", "reject"))
LATE_BATCHES = Scene("late batches", ("do_everything", "answer_in_part", "reject"))
NO_LATE_BATCHES = Scene("no late batches", ("answer_overlapping",), late_hours=((0, 0),))
UNEQUAL_LIMITS = Scene("unequal limits", ("answer_overlapping",), late_hours=((6, 0),), minimums=((1, 1), (3, 1)))
MINIMUMS = Scene("minimums", ("answer_overlapping",), minimums=((3, 1), (1, 3)))
RACES = Scene("races", ("race_for_two_windows", "race_for_one_window"))
LOST_COPIES = Scene("lost copies", ("lose_copy",))
LOST_STATE = Scene("lost state", ("answer_overlapping", "lose_state"), trouble="storage")
SPOILT_LISTS = Scene("spoilt lists", ("lose_proposal", "write_bad_list"), trouble="storage")
FORMLESS_LISTS = Scene("formless lists", ("break_form", "choose_window"), trouble=0)
EVIL_LEADER = Scene("evil leader", ("forge_lists", "replace_before_decision"), trouble=0, late_hours=((6, 0), (6, 6)))
SECOND_ANSWERS = Scene("second answers", ("answer_again",), trouble=1)
FORGED_ANSWERS = Scene("forged answers", ("forge_lists",), trouble=1, minimums=((1, 1), (3, 1)))
REPLACED_INPUTS = Scene("replaced inputs", ("replace_after_decision",), trouble=1)
