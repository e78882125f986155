"""Contract suites for backends. They need pytest.

Subclass a suite under a name that starts with `Test`, give its fixture and its raw helpers, which look at the backend's place from outside,
and every promise of the interface is tested:

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(tmp_path)

        def peek(self, storage, bucket, key): ...
        def poke(self, storage, bucket, key, data): ...

A promise that a backend cannot keep is overridden in its own file with `pytest.mark.xfail(strict=True)` and a reason.
"""

import pytest

for _module in ("config", "publisher", "storage", "tracker"):
    pytest.register_assert_rewrite(f"kladml.testing.{_module}")

from kladml.testing.config import ConfigContract as ConfigContract  # noqa: E402
from kladml.testing.publisher import PublisherContract as PublisherContract  # noqa: E402
from kladml.testing.storage import StorageContract as StorageContract  # noqa: E402
from kladml.testing.tracker import RecordedRun as RecordedRun  # noqa: E402
from kladml.testing.tracker import TrackerBatchesContract as TrackerBatchesContract  # noqa: E402
from kladml.testing.tracker import TrackerContract as TrackerContract  # noqa: E402
from kladml.testing.tracker import TrackerResumeContract as TrackerResumeContract  # noqa: E402
from kladml.testing.tracker import TrackerTagsContract as TrackerTagsContract  # noqa: E402

__all__ = [
    "ConfigContract",
    "PublisherContract",
    "RecordedRun",
    "StorageContract",
    "TrackerBatchesContract",
    "TrackerContract",
    "TrackerResumeContract",
    "TrackerTagsContract",
]
