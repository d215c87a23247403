"""The choice between engines: the fastest that runs, and why it is no faster one."""

import sys

import pytest

from prio_assets.errors import ConfigurationError
from prio_assets.prio import libcrypto, multibuffer
from prio_assets.prio.choice import Choice, choose_engine, compiled_loops_allowed
from prio_assets.prio.plain import PlainEngine

NEEDS_NUMBA = ("compiled", "jit", "libcrypto", "multibuffer")


def choose() -> Choice:
    """The choice, made again."""
    return choose_engine.__wrapped__()


def test_the_fastest_engine_is_chosen_once() -> None:
    first = choose_engine()
    assert first is choose_engine()
    assert first.engine.name == "compiled, multi-buffer key agreement" if not first.reasons else first.reasons[0]


def test_the_plain_engine_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIO_ENGINE", "plain")
    choice = choose()
    assert isinstance(choice.engine, PlainEngine)
    assert choice.reasons == ("PRIO_ENGINE is plain",)


def test_an_empty_wish_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIO_ENGINE", "")
    assert choose().engine.name == choose_engine().engine.name


def test_no_other_engine_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIO_ENGINE", "Plain")
    with pytest.raises(ConfigurationError, match="PRIO_ENGINE is 'Plain': the only value it has is plain"):
        choose()


def test_without_numba_the_engine_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDS_NUMBA:
        monkeypatch.delitem(sys.modules, f"prio_assets.prio.{name}")
    monkeypatch.setitem(sys.modules, "numba", None)
    choice = choose()
    assert isinstance(choice.engine, PlainEngine)
    assert "pip install 'prio-assets[fast]'" in choice.reasons[0]


@pytest.mark.parametrize(("wish", "allowed"), [("plain", False), ("", True)])
def test_a_plain_engine_means_plain_reading_and_writing(
    wish: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIO_ENGINE", wish)
    assert compiled_loops_allowed.__wrapped__() is allowed


def test_without_numba_no_loop_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDS_NUMBA:
        monkeypatch.delitem(sys.modules, f"prio_assets.prio.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delenv("PRIO_ENGINE", raising=False)
    assert compiled_loops_allowed.__wrapped__() is False


def test_without_a_libcrypto_the_engine_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcrypto, "_LIBRARY", "libcrypto.so.none")
    choice = choose()
    assert isinstance(choice.engine, PlainEngine)
    assert "libcrypto.so.none" in choice.reasons[0]


def test_a_libcrypto_that_lacks_a_function_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcrypto, "_LIBRARY", "libc.so.6")
    choice = choose()
    assert isinstance(choice.engine, PlainEngine)
    assert "libc.so.6 lacks a function" in choice.reasons[0]


def test_without_a_tried_library_keys_agree_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multibuffer, "_TRIED", {})
    choice = choose()
    assert choice.engine.name == "compiled, single key agreement"
    assert "is no version that was tried: install the version of constraints.txt" in choice.reasons[0]
