"""How much is measured: a little, which CI runs; what `make bench` runs; that, and memory with long inputs."""

from dataclasses import dataclass, replace
from typing import Final

from benchmarks.datasets import Dataset

MEMORY_BINS: Final = 1000
"""A packet of the first server has 8 kB then."""

FEW_BINS: Final = 8
"""Packets are so short then that their validation is a quarter of them."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of packets and repetitions; a figure is the median of its repetitions."""

    name: str
    packets: dict[int, int]
    """By bins: what the chosen engine takes in."""
    slow_packets: int
    """What the engines without multi-buffer key agreement take in, whatever the bins."""
    repetitions: int
    summed_batches: int
    summed_packets: int
    """In each batch of an aggregation with totals."""
    small_batches: int
    cloud_batches: int
    """In a window over the clouds' emulators."""
    starts: int
    file_megabytes: tuple[int, ...]
    """Of the packet files whose intake's memory is measured."""
    file_megabytes_of_few_bins: tuple[int, ...]
    """Of those with the longest validations."""
    cloud_megabytes: tuple[int, ...]
    """Of those that are also read from servers of the clouds."""
    summed_for_memory: tuple[int, ...]
    """Of the aggregations whose memory is measured."""

    def dataset(self, engine: str, bins: int) -> Dataset:
        """The batch that an engine takes in."""
        return Dataset(bins, self.packets[bins] if engine == "chosen" else min(self.slow_packets, self.packets[bins]))

    @property
    def files(self) -> list[tuple[int, int]]:
        """The packet files whose intake's memory is measured: bins and megabytes."""
        return [
            *((MEMORY_BINS, megabytes) for megabytes in self.file_megabytes),
            *((FEW_BINS, megabytes) for megabytes in self.file_megabytes_of_few_bins),
        ]

    @property
    def cloud_files(self) -> list[tuple[int, int]]:
        """Those of them that go through the clouds."""
        return [file for file in self.files if file[0] == FEW_BINS or file[1] in self.cloud_megabytes]

    @property
    def small_dataset(self) -> Dataset:
        """A window of many small batches."""
        return Dataset(bins=64, packets=20, batches=self.small_batches)

    @property
    def cloud_datasets(self) -> tuple[Dataset, Dataset]:
        """A window of one such batch, and one of more: what a batch costs is in between."""
        return replace(self.small_dataset, batches=1), replace(self.small_dataset, batches=self.cloud_batches)


SMALL: Final = Sizes(
    name="small",
    packets={8: 200, 256: 200},
    slow_packets=50,
    repetitions=1,
    summed_batches=3,
    summed_packets=400,
    small_batches=10,
    cloud_batches=5,
    starts=1,
    file_megabytes=(4, 40),
    file_megabytes_of_few_bins=(1,),
    cloud_megabytes=(40,),
    summed_for_memory=(3,),
)
USUAL: Final = Sizes(
    name="usual",
    packets={8: 20_000, 64: 20_000, 256: 20_000, 1024: 10_000},
    slow_packets=2_000,
    repetitions=3,
    summed_batches=50,
    summed_packets=20_000,
    small_batches=900,
    cloud_batches=20,
    starts=5,
    file_megabytes=(100, 1_000),
    file_megabytes_of_few_bins=(50,),
    cloud_megabytes=(100,),
    summed_for_memory=(50,),
)
FULL: Final = replace(
    USUAL,
    name="full",
    file_megabytes=(100, 1_000, 8_000),
    file_megabytes_of_few_bins=(50, 200),
    cloud_megabytes=(100, 1_000, 8_000),
    summed_for_memory=(50, 500),
)

SIZES: Final = {sizes.name: sizes for sizes in (SMALL, USUAL, FULL)}
