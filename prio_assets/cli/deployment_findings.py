"""What is found of a deployment: whether its configuration is valid, its secrets are there, its storages answer."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from prio_assets.configuration import (
    IngestorConfiguration,
    PortalConfiguration,
    ProcessorConfiguration,
    load_configuration,
)
from prio_assets.errors import PrioAssetsError
from prio_assets.processor.processor import load_keyless, not_before
from prio_assets.settings import SigningKeyReference
from prio_assets.storage.base import Store, exists
from prio_assets.wire.keys import public_signing_key_text


class Finding(NamedTuple):
    """One thing that was looked at: what, and what was found or, if it is a fault, what is wrong."""

    about: str
    text: str
    is_fault: bool = False


def findings(file: str) -> Iterator[Finding]:
    """Of the file and of all parties in it. Of secrets the public halves are told."""
    try:
        configuration = load_configuration(file)
    except PrioAssetsError as error:
        yield Finding("configuration", str(error), is_fault=True)
        return
    yield Finding("configuration", f"{file} is valid")
    for processor in configuration.processors.values():
        yield from _of_processor(processor)
    if configuration.portal is not None:
        yield from _of_portal(configuration.portal)
    if configuration.ingestor is not None:
        yield from _of_ingestor(configuration.ingestor)


def _of_processor(settings: ProcessorConfiguration) -> Iterator[Finding]:
    name, stores = settings.name, settings.stores
    yield _found(f"{name} signing key", partial(_signing_key, settings.signing_key))
    yield _found(f"{name} packet keys", partial(_packet_keys, settings))
    for each in ("ingestion", "own_validations", "peer_validations"):
        yield _found(f"{name} {each}", partial(_listed, getattr(stores, each)))
    for each in ("peer_bucket", "sum_parts"):
        yield _found(f"{name} {each}", partial(_opened, getattr(stores, each)))
    yield _found(f"{name} state", partial(_state, settings))


def _of_portal(settings: PortalConfiguration) -> Iterator[Finding]:
    for each, store in settings.stores._asdict().items():
        yield _found(f"{settings.name} {each}", partial(_listed, store))


def _of_ingestor(settings: IngestorConfiguration) -> Iterator[Finding]:
    yield _found(f"{settings.name} signing key", partial(_signing_key, settings.signing_key))
    for each in ("pha_ingestion", "facilitator_ingestion"):
        yield _found(f"{settings.name} {each}", partial(_opened, getattr(settings, each).open()))


def _found(about: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(about, look())
    except PrioAssetsError as error:
        return Finding(about, str(error), is_fault=True)


def _signing_key(reference: SigningKeyReference) -> str:
    key = reference.load()
    return f"{key.identifier}, public half {public_signing_key_text(reference.secret.resolve())}"


def _packet_keys(settings: ProcessorConfiguration) -> str:
    points = [key.public_point for key in settings.load_packet_decryption_keys()]
    return "public halves " + ", ".join(b64encode(point).decode() for point in points)


def _state(settings: ProcessorConfiguration) -> str:
    return f"made; batches before {not_before(load_keyless(settings)):%Y-%m-%d %H:%M} UTC are never summed"


def _listed(store: Store) -> str:
    """Of a storage in which we look for objects."""
    next(store.list(""), None)
    return "can be read"


def _opened(store: Store) -> str:
    """Of a storage that is another party's, where we know the names of our objects, and may be allowed no more."""
    exists(store, "doctor")
    return "is there"
