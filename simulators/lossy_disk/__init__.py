"""A disk that can lose power; see `disk` for the fault model."""

from simulators.lossy_disk.control import LossyDisk

__all__ = ["LossyDisk"]
