"""The demo's parties: a directory with their keys, buckets and configuration file, and the processors' state."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from prio_assets.configuration import Configuration, load_configuration
from prio_assets.demo.configuration_file import PublicKeys, configuration_text
from prio_assets.demo.scenario import Plan
from prio_assets.demo.storages import DIRECTORIES, Storages
from prio_assets.errors import ConfigurationError
from prio_assets.processor.processor import initialise_state, load_processor
from prio_assets.wire.keys import (
    generate_packet_key_text,
    generate_signing_key_text,
    public_packet_key_text,
    public_signing_key_text,
)

MARKER = "made-by-prio-assets-demo"
PROCESSORS = ("pha", "facilitator")
SIGNERS = (*PROCESSORS, "ingestor")


@dataclass(frozen=True)
class Place:
    """Where the demo keeps what."""

    directory: Path

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.directory / "prio.yaml"

    @property
    def instance(self) -> Path:
        """Dagster's home."""
        return self.directory / "instance"

    @property
    def workspace(self) -> Path:
        """Which code locations Dagster has."""
        return self.instance / "workspace.yaml"

    @property
    def secrets(self) -> Path:
        """The private keys, a file each."""
        return self.directory / "secrets"

    @property
    def buckets(self) -> Path:
        """The storages of all parties, or what the servers that play clouds keep of them."""
        return self.directory / "buckets"

    @property
    def report(self) -> Path:
        """What the demo leaves to read."""
        return self.directory / "report.html"


def make_place(directory: Path) -> Place:
    """An empty place for a demo: an earlier demo in `directory` is removed, other files are an error and left alone."""
    place = Place(directory.resolve())
    _make_empty(place.directory)
    place.buckets.mkdir()
    place.instance.mkdir()
    return place


def set_up(place: Place, plan: Plan, storages: Storages = DIRECTORIES) -> Configuration:
    """A fresh demo in an empty place: buckets, keys, the configuration file and the processors' state."""
    storages.make(place.buckets)
    keys = _make_keys(place.secrets)
    place.configuration.write_text(configuration_text(plan, keys, storages), "utf-8")
    configuration = load_configuration(place.configuration)
    for processor in configuration.processors.values():
        initialise_state(load_processor(processor), processor.first_window)
    return configuration


def _make_empty(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"{directory} is not a directory: name another one")
    try:
        if directory.exists() and any(directory.iterdir()):
            _remove_earlier_demo(directory)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / MARKER).write_text("The next demo removes this directory with all that is in it.\n", "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be made ({error.strerror}): name another directory") from error


def _remove_earlier_demo(directory: Path) -> None:
    """Its marker goes last, so that a removal that was interrupted is gone on with."""
    if not (directory / MARKER).is_file():
        raise ConfigurationError(f"{directory} holds files that are not of a demo: name another directory")
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != MARKER:
            entry.unlink()


def _make_keys(secrets: Path) -> PublicKeys:
    """Private keys into files that only their owner can read."""
    secrets.mkdir(mode=0o700)
    signing = {party: generate_signing_key_text() for party in SIGNERS}
    packet = {party: generate_packet_key_text() for party in PROCESSORS}
    for party, text in signing.items():
        _write_secret(secrets / f"{party}-signing-key", text)
    for party, text in packet.items():
        _write_secret(secrets / f"{party}-packet-key", text)
    return PublicKeys(
        signing={party: public_signing_key_text(text) for party, text in signing.items()},
        packet={party: public_packet_key_text(text) for party, text in packet.items()},
    )


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n", "utf-8")
