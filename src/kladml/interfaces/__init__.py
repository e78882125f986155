"""The contracts. Each says what a backend must do, not how; standard library only."""

from kladml.interfaces.config import ConfigInterface as ConfigInterface
from kladml.interfaces.publisher import PublisherInterface as PublisherInterface
from kladml.interfaces.storage import StorageInterface as StorageInterface
from kladml.interfaces.tracker import TrackerInterface as TrackerInterface

__all__ = ["ConfigInterface", "PublisherInterface", "StorageInterface", "TrackerInterface"]
