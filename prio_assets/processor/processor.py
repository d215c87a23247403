"""A share processor at work: its configuration with storages, keys, engine and clock at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from prio_assets.clock import Clock, system_clock
from prio_assets.configuration import ProcessorConfiguration, ProcessorStores
from prio_assets.errors import BatchRejected, MalformedError, ObjectMissingError, StateError
from prio_assets.prio.choice import choose_engine
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.engine import Engine
from prio_assets.processor.ingestion import Opener
from prio_assets.processor.own_store import OwnStore
from prio_assets.processor.steps import STATE
from prio_assets.storage.base import SMALL_OBJECT_BYTES, Store, check_creation, read_bytes
from prio_assets.storage.urls import SDK_CLIENTS, Clients
from prio_assets.wire import names
from prio_assets.wire.keys import SigningKey, VerificationKeys
from prio_assets.wire.records import State, decode, encode
from prio_assets.wire.windows import from_ms, to_ms, window_of

STATE_VERSION = 1


@dataclass(frozen=True)
class KeylessProcessor:
    """One role of one instance as far as storages and public settings go: enough to look, not to validate or sum."""

    settings: ProcessorConfiguration
    stores: ProcessorStores
    clock: Clock

    @property
    def own(self) -> OwnStore:
        """What this processor keeps for itself."""
        return OwnStore(self.stores.own_validations)

    @cached_property
    def stores_by_name(self) -> Mapping[str, Store]:
        """The storages under the names that steps use."""
        return self.stores._asdict()

    @cached_property
    def stores_for_sums(self) -> Mapping[str, Store]:
        """The same, once the state storage has shown that it creates no object twice; `StorageError` if it does."""
        check_creation(self.stores.state)
        return self.stores_by_name

    @cached_property
    def stores_for_lists(self) -> Mapping[str, Store]:
        """The same, once the peer's bucket, which holds our lists, has shown that, too."""
        check_creation(self.stores.peer_bucket)
        return self.stores_for_sums


@dataclass(frozen=True)
class ShareProcessor(KeylessProcessor):
    """One role of one instance. Keys are read when the processor is made; storages are opened, not read."""

    signing_key: SigningKey
    packet_keys: Sequence[PacketDecryptionKey]
    engine: Engine

    @property
    def own_keys(self) -> VerificationKeys:
        """The keys that verify what this processor signed."""
        return {self.signing_key.identifier: self.signing_key.public}

    @property
    def opener(self) -> Opener:
        """What it takes to read the shares of an ingestion batch."""
        return Opener(self.settings.server_index, self.settings.ingestor_keys, self.packet_keys, self.engine)


def load_keyless(
    settings: ProcessorConfiguration, clock: Clock = system_clock, clients: Clients = SDK_CLIENTS
) -> KeylessProcessor:
    """The processor of a configuration, its secrets left alone."""
    return KeylessProcessor(settings, settings.open_stores(clients), clock)


def load_processor(
    settings: ProcessorConfiguration, clock: Clock = system_clock, clients: Clients = SDK_CLIENTS
) -> ShareProcessor:
    """The processor of a configuration; resolves its secrets (`ConfigurationError` names the reference)."""
    return ShareProcessor(
        settings=settings,
        stores=settings.open_stores(clients),
        signing_key=settings.signing_key.load(),
        packet_keys=settings.load_packet_decryption_keys(),
        engine=choose_engine().engine,
        clock=clock,
    )


def read_state(processor: KeylessProcessor) -> State:
    """The record that the state storage was made for this processor; `StateError` with the remedy otherwise."""
    settings = processor.settings
    try:
        state = decode(State, read_bytes(processor.stores.state, names.STATE, SMALL_OBJECT_BYTES), names.STATE)
    except ObjectMissingError as error:
        raise StateError(
            f"processor {settings.name} has no state in {settings.state}: run `prio-assets state init`; without it "
            "nothing is decided or summed"
        ) from error
    except (MalformedError, BatchRejected) as error:
        raise _damaged_state(settings, error) from error
    mine = (STATE_VERSION, settings.instance, settings.server_index)
    if (state.version, state.instance_name, state.server_index) != mine:
        raise StateError(
            f"the state in {settings.state} is version {state.version} of instance {state.instance_name}, server "
            f"{state.server_index}; processor {settings.name} is version {STATE_VERSION} of instance "
            f"{settings.instance}, server {settings.server_index}: give each processor a state storage of its own"
        )
    return state


def not_before(processor: KeylessProcessor) -> datetime:
    """Batches whose path time is earlier are never summed; aware datetime in UTC."""
    try:
        return from_ms(read_state(processor).not_before)
    except MalformedError as error:
        raise _damaged_state(processor.settings, error) from error


def _damaged_state(settings: ProcessorConfiguration, error: Exception) -> StateError:
    return StateError(
        f"the state of processor {settings.name} in {settings.state} is damaged ({error}): remove "
        f"{settings.state}/{names.STATE}, and nothing else there, then run `prio-assets state init`"
    )


def default_not_before(processor: KeylessProcessor) -> datetime:
    """Where a new state begins by default, so that nothing is summed that an earlier state may have summed.

    With batch lists that is the newest end of a window that either processor may have decided, as far as our bucket
    tells: a list of the peer's means that we proposed or could answer. A peer without lists may have summed every
    window whose stop is past. Never before the first window.
    """
    settings, now = processor.settings, processor.clock()
    if not settings.peer_has_lists:
        return max(settings.first_window, window_of(now - settings.grace + settings.margin, settings.period).start)
    listed = (
        names.parse_batch_list(name, settings.peer_index)
        for name, _ in processor.stores.peer_validations.list(names.BATCH_LISTS)
    )
    # No list of a window that has not ended can have been proposed or answered by us.
    ends = (found[1].end for found in listed if found is not None and found[1].end <= now)
    return max([settings.first_window, *ends])


def initialise_state(processor: KeylessProcessor, before: datetime) -> bool:
    """Create the state storage's record with `not_before` = `before`; False if there is one already.

    `StorageError` where the state, or the lists to the peer, would be in a bucket that creates an object twice.
    """
    settings = processor.settings
    stores = processor.stores_for_lists if settings.peer_has_lists else processor.stores_for_sums
    state = State(STATE_VERSION, settings.instance, settings.server_index, to_ms(before))
    return stores[STATE].create(names.STATE, encode(state))
