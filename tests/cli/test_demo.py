"""The exit status of the demo says whether the recovered counts are the true ones."""

from pathlib import Path

import pytest

from tests.cli.program import error, run


@pytest.mark.parametrize("is_exact", [True, False])
def test_counts_that_are_not_the_true_ones_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_exact: bool
) -> None:
    monkeypatch.setattr("prio_assets.demo.run.run_demo", lambda *given: is_exact)
    result = run("demo", "--directory", tmp_path / "demo")
    if is_exact:
        assert result.exit_code == 0
    else:
        assert "the statistics are not the true counts" in error(result, 1)
