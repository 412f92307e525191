"""XIDs: what NVIDIA's driver reports of its own accord when something goes wrong on a GPU."""

from types import ModuleType

MOST = 1000
"""Events of one GPU that a look takes at most: one that reports without end must not keep it."""


class Xids:
    """Listens to GPUs, from the first look at each on; every call returns at once.

    Each GPU has a set of events of its own: a lost one hides no other's, and whose an event is need not be asked, which
    a lost GPU would not answer.
    """

    def __init__(self, library: ModuleType) -> None:
        self._nvml = library
        self._sets: dict[str, object | None] = {}
        self._last: dict[str, int] = {}

    def listen(self, index: str, gpu: object) -> None:
        """Begin to listen to a GPU, which is tried once in a session."""
        if index not in self._sets:
            self._sets[index] = self._registered(gpu)

    def last(self, index: str) -> int | None:
        """Give the GPU's last XID: 0 for none since we listen, None where we never could."""
        for _ in range(MOST):
            if (events := self._sets.get(index)) is None:
                break
            try:
                self._last[index] = int(self._nvml.nvmlEventSetWait_v2(events, 0).eventData)
            except AttributeError:
                self._stop(index)
            except self._nvml.NVMLError as error:
                if error.value == self._nvml.NVML_ERROR_TIMEOUT:
                    return self._last.get(index, 0)  # nothing more has happened
                self._stop(index)
        return self._last.get(index)

    def close(self) -> None:
        """Listen no more, before the session ends; what was heard is kept."""
        for index in tuple(self._sets):
            self._stop(index)
        self._sets.clear()

    def _registered(self, gpu: object) -> object | None:
        nvml = self._nvml
        try:
            events: object = nvml.nvmlEventSetCreate()
        except (AttributeError, nvml.NVMLError):
            return None
        try:
            nvml.nvmlDeviceRegisterEvents(gpu, nvml.nvmlEventTypeXidCriticalError, events)
        except (AttributeError, nvml.NVMLError):
            self._free(events)
            return None
        return events

    def _stop(self, index: str) -> None:
        if (events := self._sets[index]) is not None:
            self._sets[index] = None
            self._free(events)

    def _free(self, events: object) -> None:
        try:
            self._nvml.nvmlEventSetFree(events)
        except (AttributeError, self._nvml.NVMLError):
            return  # it ends with the session
