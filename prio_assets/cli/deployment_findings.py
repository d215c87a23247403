"""What is found of a deployment: whether its configuration is valid, its secrets are there, its storages answer."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from prio_assets.configuration import (
    IngestorConfiguration,
    PortalConfiguration,
    PortalStores,
    ProcessorConfiguration,
    load_configuration,
)
from prio_assets.errors import AccessDeniedError, PrioAssetsError
from prio_assets.processor.processor import load_keyless, not_before
from prio_assets.settings import SigningKeyReference, StorageSettings
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store, check_creation, exists
from prio_assets.storage.urls import SDK_CLIENTS, Clients, Directory
from prio_assets.wire.keys import public_signing_key_text

UNUSED_NAME = "doctor"
"""An object that is nowhere: what a storage answers when asked for it shows whether we may read there."""

NOT_TRIED = "whether we may create is not tried here"
"""Of a storage where an object that was created for a trial could not be deleted again, or would be seen by others."""


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
    name = settings.name
    yield _found(f"{name} signing key", partial(_signing_key, settings.signing_key))
    yield _found(f"{name} packet keys", partial(_packet_keys, settings))
    for each, look in (("ingestion", _read), ("own_validations", _read_and_not_written), ("peer_validations", _read)):
        yield _found_storage(f"{name} {each}", getattr(settings, each), look)
    yield _found_storage(f"{name} peer_bucket", settings.peer_bucket, _created_once)
    yield _found_storage(f"{name} sum_parts", settings.sum_parts, _reached_and_not_written)
    yield _found_storage(f"{name} state", settings.state, partial(_state, settings))


def _of_portal(settings: PortalConfiguration) -> Iterator[Finding]:
    for each in PortalStores._fields:
        look = _read_and_not_written if each == "statistics" else _read
        yield _found_storage(f"{settings.name} {each}", getattr(settings, each), look)


def _of_ingestor(settings: IngestorConfiguration) -> Iterator[Finding]:
    yield _found(f"{settings.name} signing key", partial(_signing_key, settings.signing_key))
    for each in ("pha_ingestion", "facilitator_ingestion"):
        yield _found_storage(f"{settings.name} {each}", getattr(settings, each), _reached_and_not_written)


def _found(about: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(about, look())
    except PrioAssetsError as error:
        return Finding(about, str(error), is_fault=True)


def _found_storage(about: str, storage: StorageSettings, look: Callable[[Store], str]) -> Finding:
    """What is found of a storage, with where it is and as whom it was reached, as faults are most often of these."""
    servers: list[str] = []
    found = _found(about, lambda: look(storage.open(_clients_that_tell(servers))))
    server = servers[-1] if servers else storage.access.endpoint
    return found._replace(text=f"{storage}{_as_whom(storage, server)}: {found.text}")


def _clients_that_tell(servers: list[str]) -> Clients:
    """The SDKs' clients, whose servers are noted: not only the file names one, the environment does, too."""

    def s3(region: str, access: Access) -> Any:
        client = SDK_CLIENTS.s3(region, access)
        servers.append(client.meta.endpoint_url)
        return client

    def gcs(access: Access) -> Any:
        client = SDK_CLIENTS.gcs(access)
        servers.append(client.api_endpoint)
        return client

    return Clients(s3, gcs)


def _as_whom(storage: StorageSettings, server: str | None) -> str:
    if isinstance(storage.place, Directory):
        return ""
    access = storage.access
    ambient = not (access.assume_role or access.impersonate or access.profile)
    parts = [
        ambient and "as whoever the SDK finds",
        access.assume_role and f"as role {access.assume_role}{' with an external id' * bool(access.external_id)}",
        access.impersonate and f"as service account {access.impersonate}",
        access.profile and f"with profile {access.profile}",
        server and f"at {server}",
        server and server.startswith("http:") and "whose answers and objects travel unencrypted",
    ]
    return ", " + ", ".join(part for part in parts if part)


def _signing_key(reference: SigningKeyReference) -> str:
    key = reference.load()
    return f"{key.identifier}, public half {public_signing_key_text(reference.secret.resolve())}"


def _packet_keys(settings: ProcessorConfiguration) -> str:
    points = [key.public_point for key in settings.load_packet_decryption_keys()]
    return "public halves " + ", ".join(b64encode(point).decode() for point in points)


def _state(settings: ProcessorConfiguration, store: Store) -> str:
    check_creation(store)
    return f"made; batches before {not_before(load_keyless(settings)):%Y-%m-%d %H:%M} UTC are never summed"


def _read(store: Store) -> str:
    """Of a storage in which we look for objects."""
    next(store.list(""), None)
    exists(store, UNUSED_NAME)
    return "can be listed and read"


def _read_and_not_written(store: Store) -> str:
    """Of a storage of ours in which we create objects, too."""
    return f"{_read(store)}; {NOT_TRIED}"


def _reached(store: Store) -> str:
    """Of a storage that is another party's, where we know the names of our objects, and may be allowed no more."""
    try:
        exists(store, UNUSED_NAME)
    except AccessDeniedError:
        return "is not to be read by us, which does no harm where we may create objects"
    return "can be read"


def _reached_and_not_written(store: Store) -> str:
    """Of another party's storage where no object that we create for a trial would be in its place."""
    return f"{_reached(store)}; {NOT_TRIED}"


def _created_once(store: Store) -> str:
    """Of another party's storage whose promise to create no object twice we rely on."""
    check_creation(store)
    return f"creates no object twice, {_reached(store)}"
