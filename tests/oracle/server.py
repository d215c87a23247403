"""A server, one packet at a time."""

from collections.abc import Sequence

from tests.oracle import curve
from tests.oracle.polynomials import PRIME, domain_size, evaluate
from tests.oracle.stream import expand

Messages = tuple[int, int, int]


def messages(share: Sequence[int], point: int, bins: int, server_index: int) -> Messages:
    size = domain_size(bins)
    data, (f0, g0, h0), h_points = share[:bins], share[bins : bins + 3], share[bins + 3 :]
    one = 1 if server_index == 0 else 0
    padding = [0] * (size - 1 - bins)
    h = [0] * (2 * size)
    h[0] = h0
    h[1::2] = h_points
    return (
        evaluate([f0, *data, *padding], point),
        evaluate([g0, *[(value - one) % PRIME for value in data], *padding], point),
        evaluate(h, point),
    )


def holds(first: Messages, second: Messages) -> bool:
    f, g, h = (ours + theirs for ours, theirs in zip(first, second, strict=True))
    return (f * g - h) % PRIME == 0


def read_share(payload: bytes, scalars: Sequence[int], bins: int, server_index: int) -> list[int] | str:
    """The share that a payload holds, or the label of what is wrong with it."""
    length = bins + 3 + domain_size(bins)
    if len(payload) < 81:
        return "payload_too_short"
    if curve.decode(payload[:65]) is None:
        return "ephemeral_key_invalid"
    plaintext = next((p for scalar in scalars if (p := curve.decrypt(scalar, payload)) is not None), None)
    if plaintext is None:
        return "undecryptable"
    if len(plaintext) != (4 * length if server_index == 0 else 32):
        return "share_length_differs"
    if server_index == 1:
        return expand(plaintext, length)
    share = [int.from_bytes(plaintext[i : i + 4], "little") for i in range(0, 4 * length, 4)]
    return share if max(share) < PRIME else "share_out_of_range"


def verify(
    payload: bytes, r_pit: int, scalars: Sequence[int], bins: int, server_index: int
) -> tuple[str, Messages, list[int]]:
    """The label of the status, the messages and the data share; zeros where the packet is not accepted."""
    nothing = (0, 0, 0), [0] * bins
    if not 0 <= r_pit < 2**32:
        return "r_pit_out_of_range", *nothing
    if pow(r_pit, 2 * domain_size(bins), PRIME) == 1:
        return "r_pit_root_of_unity", *nothing
    share = read_share(payload, scalars, bins, server_index)
    if isinstance(share, str):
        return share, *nothing
    return "accepted", messages(share, r_pit % PRIME, bins, server_index), share[:bins]
