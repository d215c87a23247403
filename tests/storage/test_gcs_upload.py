"""How an object is written to Google Cloud Storage, with the answers of which its documentation tells."""

import base64
import json
import traceback
from collections.abc import Callable
from itertools import repeat

import google_crc32c
import pytest

from prio_assets.errors import AccessDeniedError, StorageError
from prio_assets.storage import gcs_upload
from prio_assets.storage.base import Store
from tests.clouds import Clouds, GcsCloud, gcs_error
from tests.servers.fault_proxy import Fault
from tests.servers.processes import Seen

CHUNK = 1 << 18
DATA = bytes(range(251)) * 2500
"""Three chunks, the last one not full."""

SMALL = bytes(range(250)) * 4
ATTEMPTS = 3

NO_REPLACING = gcs_error(
    403,
    "forbidden",
    "processor@example.com does not have storage.objects.delete access to the Google Cloud Storage object. Permission "
    "'storage.objects.delete' denied on resource (or it may not exist).",
).__dict__
SENSELESS = [
    "<html>Welcome</html>",
    "",
    "[]",
    "3",
    "{}",
    json.dumps({"name": "name", "generation": "x", "crc32c": "AAAAAA=="}),
    json.dumps({"name": "name", "generation": None, "crc32c": "AAAAAA=="}),
]
SENSELESS_AT_THE_END = [
    *SENSELESS,
    json.dumps({"name": "name", "generation": "1", "crc32c": "A"}),
    json.dumps({"name": "name", "generation": "1", "crc32c": 7}),
    json.dumps({"name": "name", "generation": "1"}),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("google.api_core.retry.retry_unary.exponential_sleep_generator", lambda *_, **__: repeat(0))
    monkeypatch.setattr("prio_assets.storage.streams.FIRST_PAUSE", 0)
    monkeypatch.setattr(gcs_upload, "CHUNK_BYTES", CHUNK)


@pytest.fixture
def cloud(clouds: Clouds) -> GcsCloud:
    cloud = clouds["gcs"]
    assert isinstance(cloud, GcsCloud)
    return cloud


@pytest.fixture
def url(cloud: GcsCloud) -> str:
    return cloud.create_bucket()


@pytest.fixture
def store(cloud: GcsCloud, url: str) -> Store:
    return cloud.open_through_proxy(url, attempts=ATTEMPTS)


def write(store: Store, data: bytes = DATA) -> None:
    with store.write("name") as stream:
        stream.write(data)


def chunks(cloud: GcsCloud) -> list[Seen]:
    return [seen for seen in cloud.proxy.requests() if seen.method == "PUT"]


def ranges(cloud: GcsCloud) -> list[str]:
    return [seen.headers["content-range"].removeprefix("bytes ") for seen in chunks(cloud)]


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def test_the_last_chunk_tells_the_checksum_of_all(cloud: GcsCloud, store: Store) -> None:
    write(store)
    assert ranges(cloud) == [f"0-{CHUNK - 1}/*", f"{CHUNK}-{2 * CHUNK - 1}/*", f"{2 * CHUNK}-627499/627500"]
    told = [seen.headers.get("x-goog-hash") for seen in chunks(cloud)]
    assert told == [None, None, f"crc32c={crc32c(DATA)}"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kept", [1, 1000])
def test_what_the_server_did_not_keep_is_sent_again(
    cloud: GcsCloud, url: str, store: Store, place: int, kept: int
) -> None:
    cloud.proxy.set(Fault("keep", method="PUT", skip=place, size=kept))
    write(store)
    assert cloud.objects(url) == {"name": DATA}
    sent = ranges(cloud)
    assert len(sent) == 4
    assert sent[place + 1].startswith(f"{place * CHUNK + kept}-")


def test_a_server_that_has_all_and_made_no_object_yet_is_asked_again(cloud: GcsCloud, url: str, store: Store) -> None:
    cloud.proxy.set(Fault("keep", method="PUT", skip=2, size=len(DATA) - 2 * CHUNK))
    write(store)
    assert ranges(cloud)[-1] == f"*/{len(DATA)}"
    assert cloud.objects(url) == {"name": DATA}


@pytest.mark.parametrize("place", [0, 1])
def test_a_server_that_kept_nothing_is_sent_it_again(cloud: GcsCloud, url: str, store: Store, place: int) -> None:
    """Without a Range nothing at all is kept yet, and with the one of before nothing of this chunk."""
    headers = {"Range": f"bytes=0-{place * CHUNK - 1}"} if place else {}
    cloud.proxy.set(Fault("answer", method="PUT", skip=place, times=ATTEMPTS - 1, status=308, headers=headers))
    write(store)
    assert cloud.objects(url) == {"name": DATA}
    assert ranges(cloud)[place : place + ATTEMPTS] == [ranges(cloud)[place]] * ATTEMPTS


def test_a_server_that_never_keeps_anything_is_given_up(cloud: GcsCloud, url: str, store: Store) -> None:
    cloud.proxy.set(Fault("answer", method="PUT", times=-1, status=308))
    with pytest.raises(StorageError, match=f"{url}/name: .*keeps nothing.* {ATTEMPTS} times in a row: try later"):
        write(store)
    assert len(chunks(cloud)) == ATTEMPTS
    assert cloud.proxy.requests()[-1].method == "DELETE"
    assert cloud.objects(url) == {}


@pytest.mark.parametrize(
    ("place", "range_"), [(0, f"bytes=0-{CHUNK}"), (1, f"bytes=0-{CHUNK - 2}"), (1, ""), (2, f"bytes=0-{len(DATA)}")]
)
def test_a_server_that_counts_otherwise_is_out_of_step(
    cloud: GcsCloud, url: str, store: Store, place: int, range_: str
) -> None:
    headers = {"Range": range_} if range_ else {}
    cloud.proxy.set(Fault("answer", method="PUT", skip=place, status=308, headers=headers))
    with pytest.raises(StorageError, match=f"{url}/name got out of step: try again"):
        write(store)
    assert cloud.objects(url) == {}


def test_an_object_that_is_made_before_the_last_chunk_is_out_of_step(cloud: GcsCloud, store: Store) -> None:
    cloud.proxy.set(Fault("answer", method="PUT", status=200, body="{}"))
    with pytest.raises(StorageError, match="out of step"):
        write(store)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("place", [0, 2])
def test_an_upload_that_the_server_forgot_is_begun_again(
    cloud: GcsCloud, url: str, store: Store, status: int, place: int
) -> None:
    fault = gcs_error(status, "notFound", "").__dict__ | {"method": "PUT", "skip": place}
    cloud.proxy.set(Fault(**fault))
    with pytest.raises(StorageError, match=f"{url}/name: the server forgot the upload: try again"):
        write(store)
    cloud.proxy.set()
    write(store)
    assert cloud.objects(url) == {"name": DATA}


@pytest.mark.parametrize("data", [DATA, SMALL])
def test_what_arrived_damaged_is_told(cloud: GcsCloud, url: str, store: Store, data: bytes) -> None:
    text = f'Provided CRC32C "{crc32c(b"")}" doesn\'t match calculated CRC32C "{crc32c(data)}".'
    cloud.proxy.set(Fault(**gcs_error(400, "invalid", text).__dict__ | {"method": "PUT" if data is DATA else "POST"}))
    with pytest.raises(StorageError, match=f"{url}/name arrived damaged.*CRC32C.*: try again"):
        write(store, data)
    assert cloud.objects(url) == {}


@pytest.mark.parametrize("writing", [lambda store: write(store, SMALL), lambda store: store.create("name", SMALL)])
def test_an_object_is_sent_with_its_checksum(cloud: GcsCloud, store: Store, writing: Callable[[Store], object]) -> None:
    """With it the cloud, unlike the emulator, refuses what arrives altered."""
    cloud.proxy.set()
    writing(store)
    (request,) = cloud.proxy.requests()
    assert f'"crc32c": "{crc32c(SMALL)}"' in request.beginning


@pytest.mark.parametrize("body", SENSELESS_AT_THE_END)
def test_an_end_without_sense_is_told(cloud: GcsCloud, url: str, store: Store, body: str) -> None:
    cloud.proxy.set(Fault("answer", method="PUT", skip=2, status=200, body=body))
    with pytest.raises(StorageError, match=f"{url}/name: the answer of {cloud.proxy.endpoint} makes no sense"):
        write(store)
    assert len(chunks(cloud)) == 3


@pytest.mark.parametrize("body", SENSELESS)
def test_a_creation_without_sense_is_told(cloud: GcsCloud, url: str, store: Store, body: str) -> None:
    cloud.proxy.set(Fault("answer", method="POST", status=200, body=body))
    with pytest.raises(StorageError, match=f"{url}/name: the answer of {cloud.proxy.endpoint} makes no sense"):
        store.create("name", SMALL)
    assert len(cloud.proxy.requests()) == 1


def test_a_great_object_is_created_with_one_request(cloud: GcsCloud, url: str, store: Store) -> None:
    """The condition holds for all of its bytes at once, and there is no session to be left behind."""
    great = bytes((8 << 20) + 1)
    assert store.create("name", great) is True
    assert store.create("name", great[1:]) is False
    assert len(cloud.proxy.requests()) == 2
    assert cloud.objects(url) == {"name": great}


def test_a_slow_server_is_waited_for_as_long_as_it_takes_bytes(cloud: GcsCloud, url: str) -> None:
    """All of them take it longer than the timeout, each piece does not."""
    great = bytes(24 << 20)
    cloud.proxy.set(Fault("slow_request", size=2 << 20, delay=0.1))
    assert cloud.open_through_proxy(url, connect_timeout=0.4, attempts=1).create("name", great)
    assert cloud.objects(url) == {"name": great}


def test_a_great_creation_that_fails_shows_no_address(cloud: GcsCloud, url: str, store: Store) -> None:
    cloud.proxy.set(Fault("answer", method="PUT|POST", times=-1, status=503))
    with pytest.raises(StorageError, match=f"{url}/name: .*status 503, {ATTEMPTS} times in a row") as raised:
        store.create("name", bytes((8 << 20) + 1))
    assert "upload_id" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(("data", "method"), [(SMALL, "POST"), (DATA, "PUT")])
def test_a_repetition_that_is_taken_for_a_replacement_is_compared(
    cloud: GcsCloud, url: str, store: Store, data: bytes, method: str
) -> None:
    """Who may not replace an object is refused also when its own first request made it, and the answer was lost."""
    place = len(data) // CHUNK
    cloud.proxy.set(
        Fault("lose", method=method, skip=place), Fault(**NO_REPLACING | {"method": method, "skip": place + 1})
    )
    write(store, data)
    assert cloud.objects(url) == {"name": data}


@pytest.mark.parametrize(("data", "method"), [(SMALL, "POST"), (DATA, "PUT")])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:-1] + b"x", lambda _: None])
def test_what_others_wrote_is_not_taken_for_ours(
    cloud: GcsCloud, url: str, store: Store, data: bytes, method: str, change: Callable[[bytes], bytes | None]
) -> None:
    if (other := change(data)) is not None:
        cloud.put(url, "name", other)
    cloud.proxy.set(Fault(**NO_REPLACING | {"method": method, "skip": len(data) // CHUNK}))
    with pytest.raises(AccessDeniedError, match=f"{url}/name is there already, and .* may not replace it"):
        write(store, data)
    assert cloud.objects(url) == ({} if other is None else {"name": other})


def test_a_creation_that_is_taken_for_a_replacement_found_its_name_taken(cloud: GcsCloud, store: Store) -> None:
    cloud.proxy.set(Fault(**NO_REPLACING))
    assert store.create("name", SMALL) is False


def test_the_permission_that_the_server_names_is_the_one_to_grant(cloud: GcsCloud, store: Store) -> None:
    text = "a@example.com does not have storage.buckets.get access to the Google Cloud Storage bucket."
    cloud.proxy.set(gcs_error(403, "forbidden", text))
    with pytest.raises(AccessDeniedError, match=r"owner grant storage\.buckets\.get to"):
        store.create("name", SMALL)
