"""NVIDIA GPUs as the driver's own library (NVML) tells of them, where its Python binding is installed."""

import atexit
import ctypes
import importlib
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TypeVar

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.nvidia import schema
from monitor.collect.nvidia.schema import Gpu
from monitor.collect.nvidia.xid import Xids
from monitor.model import Fact, Reading

SOURCE = "NVML"
SHARED_OBJECT = "libnvidia-ml.so.1"

_T = TypeVar("_T")

# Ways to ask for one thing, newest first: what an older driver or binding does not know, the next may.
_Ways = tuple[Callable[[ModuleType, object], float], ...]
_WAYS: dict[str, _Ways] = {
    catalog.DEVICE_UTILIZATION: (lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,),
    # As nvidia-smi shows it: the first version counts what the driver reserves as used.
    catalog.DEVICE_MEMORY_USED: (
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu, nvml.nvmlMemory_v2).used,
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    ),
    catalog.DEVICE_MEMORY_TOTAL: (lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,),
    catalog.DEVICE_TEMPERATURE: (
        lambda nvml, gpu: nvml.nvmlDeviceGetTemperatureV(gpu, nvml.NVML_TEMPERATURE_GPU),
        lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    ),
    catalog.DEVICE_POWER: (lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,),
    catalog.DEVICE_POWER_LIMIT: (lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3,),
    catalog.DEVICE_POWER_DEFAULT: (lambda nvml, gpu: nvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu) / 1e3,),
    catalog.DEVICE_CLOCK: (lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1e6,),
    catalog.DEVICE_CLOCK_MAX: (lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1e6,),
    schema.CLOCK_SET: (lambda nvml, gpu: nvml.nvmlDeviceGetApplicationsClock(gpu, nvml.NVML_CLOCK_GRAPHICS) * 1e6,),
    schema.CLOCK_DEFAULT: (
        lambda nvml, gpu: nvml.nvmlDeviceGetDefaultApplicationsClock(gpu, nvml.NVML_CLOCK_GRAPHICS) * 1e6,
    ),
    schema.REASONS: (
        lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu),
        lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
    ),
    schema.SUPPORTED: (
        lambda nvml, gpu: nvml.nvmlDeviceGetSupportedClocksEventReasons(gpu),
        lambda nvml, gpu: nvml.nvmlDeviceGetSupportedClocksThrottleReasons(gpu),
    ),
    schema.CORRECTED: (
        lambda nvml, gpu: nvml.nvmlDeviceGetTotalEccErrors(
            gpu, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, nvml.NVML_AGGREGATE_ECC
        ),
    ),
    schema.UNCORRECTED: (
        lambda nvml, gpu: nvml.nvmlDeviceGetTotalEccErrors(
            gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_AGGREGATE_ECC
        ),
    ),
    catalog.NVIDIA_PERSISTENCE: (lambda nvml, gpu: nvml.nvmlDeviceGetPersistenceMode(gpu),),
    catalog.NVIDIA_ECC: (lambda nvml, gpu: nvml.nvmlDeviceGetEccMode(gpu)[0],),
    catalog.NVIDIA_MIG: (lambda nvml, gpu: nvml.nvmlDeviceGetMigMode(gpu)[0],),
    schema.REMAP_PENDING: (lambda nvml, gpu: nvml.nvmlDeviceGetRemappedRows(gpu)[2],),
    schema.REMAP_FAILED: (lambda nvml, gpu: nvml.nvmlDeviceGetRemappedRows(gpu)[3],),
    schema.RETIRE_PENDING: (lambda nvml, gpu: nvml.nvmlDeviceGetRetiredPagesPendingStatus(gpu),),
}
# Named as in nvml.h; what newer drivers add is told by its number.
_ACTIONS = {0: "", 1: "reset the GPU", 2: "reboot", 3: "drain P2P", 4: "drain and reset"}
_HOPELESS = ("NVML_ERROR_GPU_IS_LOST", "NVML_ERROR_RESET_REQUIRED", "NVML_ERROR_IRQ_ISSUE")
"""Errors that are no answer to one question but say that the GPU is out of order."""


def library(shared_object: str = SHARED_OBJECT) -> ModuleType | None:
    """Give NVML's Python binding, if both it and the driver's library can be loaded here."""
    try:
        ctypes.CDLL(shared_object)
        return importlib.import_module("pynvml")
    except (ImportError, OSError):
        return None


class Nvml:
    """A session with the driver: begun by the first look, ended with the process; calls may block, so not on a loop."""

    def __init__(self, library: ModuleType) -> None:
        self._nvml = library
        self._xids = Xids(library)
        self._begun = False
        self._looking = threading.Lock()

    def look(self, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
        """Ask for every GPU; what one of them does not tell is absent, and hides nothing of the others.

        Raises:
            LookError: the driver cannot be reached, or has no GPU that this process may see.
        """
        nvml = self._nvml
        with self._looking:
            try:
                self._begin()
                driver = nvml.nvmlSystemGetDriverVersion()
                gpus = tuple(gpu for index in range(nvml.nvmlDeviceGetCount()) for gpu in self._gpu(index))
            except nvml.NVMLError as error:
                self._end()  # after a driver was loaded again, only a new session works
                raise LookError(f"{SOURCE} fails: {error}; {schema.advice(str(error))}") from None
        if not gpus:
            raise LookError(f"{SOURCE} lists no GPU; {schema.advice('no GPU')}")
        return schema.seen(gpus, driver, SOURCE, at)

    def close(self) -> None:
        """End the session, unless a look that hangs still holds it: then the process ends without."""
        if self._looking.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._looking.release()

    def _begin(self) -> None:
        if not self._begun:
            self._nvml.nvmlInit()
            self._begun = True
            atexit.register(self.close)

    def _end(self) -> None:
        if self._begun:
            self._begun = False
            atexit.unregister(self.close)
            self._xids.close()
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError:
                return  # it is over either way

    def _gpu(self, index: int) -> Iterator[Gpu]:
        """Give one GPU; none if it is not for this process to see."""
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_UNINITIALIZED:
                raise
            if error.value != nvml.NVML_ERROR_NO_PERMISSION:
                yield Gpu(str(index), lost=str(error), xid=self._xids.last(str(index)))
            return
        self._xids.listen(str(index), handle)
        questions = _Questions(nvml, handle)
        product = questions.ask(lambda nvml, gpu: str(nvml.nvmlDeviceGetName(gpu)))
        recovery = questions.ask(_recovery)
        told = {name: value for name, ways in _WAYS.items() if (value := questions.number(name, ways)) is not None}
        xid = self._xids.last(str(index))
        yield Gpu(str(index), product or "", questions.lost, recovery, xid, {} if questions.lost else told)


class _Questions:
    """Questions to one GPU: what has no answer is None; once it is out of order (`lost`) no further one is asked."""

    def __init__(self, nvml: ModuleType, handle: object) -> None:
        self._nvml = nvml
        self._handle = handle
        self._hopeless = {getattr(nvml, name) for name in _HOPELESS}
        self.lost = ""

    def ask(self, *ways: Callable[[ModuleType, object], _T]) -> _T | None:
        """Give the answer to the first way of asking that has one."""
        for way in ways:
            try:
                return None if self.lost else way(self._nvml, self._handle)
            except AttributeError:
                continue  # a name that this version of the binding does not have
            except self._nvml.NVMLError as error:
                self.lost = str(error) if error.value in self._hopeless else ""
        return None

    def number(self, name: str, ways: _Ways) -> float | None:
        """Give a number that can be what it is called."""
        value = self.ask(*ways)
        return value if value is not None and schema.measured(name, value) else None


def _recovery(nvml: ModuleType, gpu: object) -> str:
    """Give what the driver asks for to mend the GPU; raises NVMLError where it does not say."""
    [found] = nvml.nvmlDeviceGetFieldValues(gpu, [nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    if found.nvmlReturn != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(found.nvmlReturn)
    action = int(found.value.uiVal)
    return _ACTIONS.get(action, f"action {action}")
