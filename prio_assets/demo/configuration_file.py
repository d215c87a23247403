"""The text of the demo's configuration file. It is the example that people start their own from, so it is commented."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prio_assets.demo.scenario import EPSILON, PERIOD, Plan, Topic
from prio_assets.demo.storages import BUCKETS, DIRECTORIES, Storages
from prio_assets.settings import format_duration

INSTANCE_NAME = "demo"
USUAL_MINIMUM_CLIENTS = 10
COMMENT = "  # "


class PublicKeys(NamedTuple):
    """The public halves of all parties' keys, base64: by party those that verify, by processor those that encrypt."""

    signing: Mapping[str, str]
    packet: Mapping[str, str]


def configuration_text(plan: Plan, keys: PublicKeys, storages: Storages = DIRECTORIES) -> str:
    """The whole file for the aggregations and windows of the plan, and for these storages."""
    common = {
        "instance": INSTANCE_NAME,
        "period": format_duration(PERIOD),
        "first_window": f"{plan.windows[0].start:%Y-%m-%dT%H:%MZ}",
        **{f"{party}_signing": key for party, key in keys.signing.items()},
        **{f"{party}_packet": key for party, key in keys.packet.items()},
        **{
            f"{party}_{bucket}".replace("-", "_"): storages.text(party, bucket)
            for party, buckets in BUCKETS.items()
            for bucket in buckets
        },
    }
    aggregations = "".join(_aggregation_text(topic) for topic in plan.topics)
    smallest = min(plan.clients(*expected) for expected in plan.expected())
    processors = "".join(
        PROCESSOR.format(
            **common,
            name=name,
            peer=peer,
            about=about,
            minimum_clients=min(USUAL_MINIMUM_CLIENTS, smallest),
            aggregations=aggregations,
            look_every=_look_every_text(storages, "    "),
            peer_signing=keys.signing[peer],
            **{bucket.replace("-", "_"): storages.text(name, bucket) for bucket in BUCKETS[name]},
            peer_bucket=storages.text(peer, "peer-validations"),
        )
        for name, peer, about in (
            ("pha", "facilitator", "The first processor leads: it proposes which batches a window is summed over."),
            ("facilitator", "pha", "The second processor answers: the batches of its answer are summed by both."),
        )
    )
    labels = "".join(_labels_text(topic.name, topic.labels) for topic in plan.topics if topic.labels)
    parties = (
        processors
        + PORTAL.format(**common, labels=labels, look_every=_look_every_text(storages, "  "))
        + INGESTOR.format(**common)
    )
    for cloud, endpoint in storages.endpoints.items():
        parties = _named_once(parties, f"endpoint: {endpoint}", cloud)
    about = ABOUT_CLOUDS if storages.endpoints else ""
    return HEAD.format(about_clouds=about) + _aligned(parties)


def _named_once(text: str, setting: str, name: str) -> str:
    """The text with an anchor where the setting stands first, and aliases of it everywhere else."""
    key, _, value = setting.partition(": ")
    before, first, after = text.partition(setting)
    return before + first.replace(value, f"&{name} {value}") + after.replace(setting, f"{key}: *{name}")


def _aggregation_text(topic: Topic) -> str:
    return f"\n      {topic.name}: {{bins: {topic.bins}, epsilon: {EPSILON}}}"


def _look_every_text(storages: Storages, indent: str) -> str:
    return f"\n{indent}look_every: 1s  # left out it is 30s, as clouds charge for looks" if storages.endpoints else ""


def _labels_text(name: str, labels: Sequence[str]) -> str:
    return f"\n    {name}: {json.dumps(labels)}"


def _aligned(text: str) -> str:
    """The text with the comments of lines that follow each other below each other."""
    blocks: list[list[list[str]]] = []
    for line in text.splitlines():
        parts = line.split(COMMENT)
        if blocks and len(parts) == len(blocks[-1][-1]):
            blocks[-1].append(parts)
        else:
            blocks.append([parts])
    lines: list[str] = []
    for block in blocks:
        width = max(len(parts[0]) for parts in block)
        lines.extend(
            COMMENT.join([parts[0].ljust(width) if len(parts) > 1 else parts[0], *parts[1:]]) for parts in block
        )
    return "\n".join(lines) + "\n"


HEAD = """\
# All parties of a small Prio deployment in one file, so that one person can try them on one machine.
# This protects nobody: who can read the secrets of both processors can read every client's data. In earnest each
# organisation has its own file, with its own part of this one, on machines of its own (docs/operations.md).
#
# Paths are relative to this file. Secrets are named here, never written.
{about_clouds}
processors:
"""

ABOUT_CLOUDS = """\
#
# The buckets are those of servers that play clouds on this machine, each at its endpoint: &s3 names one where it stands
# first, *s3 is that again. In the clouds themselves there is no endpoint, and a bucket's URL is all that is needed:
# each party is let in as whom its machine is. Other identities, and what each must be granted: docs/clouds.md.
"""

PROCESSOR = """
  # {about}
  {name}:
    role: {name}
    instance: {instance}

    ingestion: {ingestion}  # the ingestor writes, we read
    own_validations: {own_validations}  # ours alone
    peer_validations: {peer_validations}  # the peer writes, we read
    peer_bucket: {peer_bucket}  # the peer's: we write
    state: {state}  # ours alone: what was summed, for ever
    sum_parts: {sum_parts}  # we write, the portal reads

    period: {period}  # a window is so long
    first_window: {first_window}  # older batches are not touched
    grace: 0  # a window is summed so long after its end at the earliest ...
    patience: 1h  # ... and doesn't wait longer than this for what only one processor has
    late_limit: 3h  # batches so late still count, in a later window
    intake_max_age: 1d  # older batches are not looked for{look_every}
    minimum_clients: {minimum_clients}  # no sum over fewer people leaves this processor
    peer_has_lists: true  # false for a peer that runs the reference implementation

    aggregations:{aggregations}

    signing_key: {{identifier: {name}-1, secret: {{file: secrets/{name}-signing-key}}}}
    packet_decryption_keys: [{{file: secrets/{name}-packet-key}}]
    ingestor_keys:
      ingestor-1: {ingestor_signing}
    peer_keys:
      {peer}-1: {peer_signing}
"""

PORTAL = """
# The portal adds the two processors' sum parts of a window.
portal:
  instance: {instance}
  period: {period}
  first_window: {first_window}
  grace: 10m  # one part without the other for so long is reported{look_every}
  pha_sum_parts: {pha_sum_parts}
  facilitator_sum_parts: {facilitator_sum_parts}
  statistics: {portal_statistics}
  pha_keys:
    pha-1: {pha_signing}
  facilitator_keys:
    facilitator-1: {facilitator_signing}
  labels:{labels}
"""

INGESTOR = """
# Simulated clients, and the ingestor that collects their encrypted shares.
ingestor:
  pha_ingestion: {pha_ingestion}
  facilitator_ingestion: {facilitator_ingestion}
  signing_key: {{identifier: ingestor-1, secret: {{file: secrets/ingestor-signing-key}}}}
  pha_packet_key: {pha_packet}
  facilitator_packet_key: {facilitator_packet}
"""
