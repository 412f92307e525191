"""A binding as pynvml is, with the real constants and errors, and GPUs that answer as a test wants."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

NVML = importlib.import_module("pynvml")
MIB = 2**20

TEMPERATURE = f"TemperatureV:{NVML.NVML_TEMPERATURE_GPU}"
CLOCK = f"ClockInfo:{NVML.NVML_CLOCK_SM}"
MAX_CLOCK = f"MaxClockInfo:{NVML.NVML_CLOCK_SM}"
CLOCK_SET = f"ApplicationsClock:{NVML.NVML_CLOCK_GRAPHICS}"
CLOCK_DEFAULT = f"DefaultApplicationsClock:{NVML.NVML_CLOCK_GRAPHICS}"
CORRECTED = f"TotalEccErrors:{NVML.NVML_MEMORY_ERROR_TYPE_CORRECTED}"
UNCORRECTED = f"TotalEccErrors:{NVML.NVML_MEMORY_ERROR_TYPE_UNCORRECTED}"
MEMORY = f"MemoryInfo:{NVML.nvmlMemory_v2}"


@dataclass(frozen=True)
class Error:
    """An answer that is an error."""

    code: int


DEPRECATED = Error(NVML.NVML_ERROR_DEPRECATED)
UNSUPPORTED = Error(NVML.NVML_ERROR_NOT_SUPPORTED)


def busy(**others: Any) -> dict[str, Any]:
    """Give the answers of an H100 at work, by what is asked: the call, and the constant that is its argument."""
    return {
        "Name": "NVIDIA H100 80GB HBM3",
        "UtilizationRates": SimpleNamespace(gpu=100, memory=61),
        MEMORY: SimpleNamespace(total=81559 * MIB, reserved=479 * MIB, used=73412 * MIB),
        "MemoryInfo": SimpleNamespace(total=81559 * MIB, used=73891 * MIB),
        TEMPERATURE: 59,
        "PowerUsage": 631_950,
        "EnforcedPowerLimit": 700_000,
        "PowerManagementDefaultLimit": 700_000,
        CLOCK: 1980,
        MAX_CLOCK: 1980,
        CLOCK_SET: DEPRECATED,
        CLOCK_DEFAULT: DEPRECATED,
        "CurrentClocksEventReasons": NVML.nvmlClocksEventReasonNone,
        "SupportedClocksEventReasons": 0x1FF,
        CORRECTED: 0,
        UNCORRECTED: 0,
        "PersistenceMode": 1,
        "EccMode": [1, 1],
        "MigMode": [0, 0],
        "RetiredPagesPendingStatus": UNSUPPORTED,
        "RemappedRows": (0, 0, 0, 0),
        "FieldValues": NVML.NVML_GPU_RECOVERY_ACTION_NONE,
        **others,
    }


class FakeNvml(ModuleType):
    """Counts its sessions; a GPU that is an Error has no handle, `meanwhile` is called when GPUs are counted.

    Names that are `unknown` an older binding does not have. GPUs report XIDs by `report` to those who listen (`sets`);
    `deaf` answers who wants to, and `events` who asks what happened, once there is nothing more.
    """

    def __init__(self, *gpus: Mapping[str, Any] | Error) -> None:
        super().__init__("pynvml")
        self.gpus = [*gpus]
        self.init: Error | None = None
        self.count: Error | None = None
        self.inits = self.shutdowns = self.questions = 0
        self.unknown: set[str] = set()
        self.sets: dict[int, tuple[int, list[int]]] = {}
        self.deaf: Error | None = None
        self.events = Error(NVML.NVML_ERROR_TIMEOUT)
        self.meanwhile: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        """Give the real constants and errors, and for each question that there really is a way to ask it."""
        if name in self.unknown:
            raise AttributeError(name)
        if name.startswith("nvmlDeviceGet") and hasattr(NVML, name):
            return lambda gpu, *arguments: self._answer(gpu, name.removeprefix("nvmlDeviceGet"), *arguments)
        if name.startswith(("NVML", "nvmlMemory_v2", "nvmlEventType")):
            return getattr(NVML, name)
        if name in _EVENTS:
            return getattr(self, _EVENTS[name])
        raise AttributeError(name)

    def _answer(self, gpu: int, call: str, *arguments: object) -> Any:
        self.questions += 1
        if call == "FieldValues":
            return [_field_value(self.gpus[gpu][call])]  # type: ignore[index] # a GPU without handle is not asked
        return _given(self.gpus[gpu][":".join((call, *map(str, arguments[:1])))])  # type: ignore[index] # same

    def report(self, gpu: int, *xids: int) -> None:
        """Report errors of a GPU to those who listen to it."""
        for listened, heard in self.sets.values():
            if listened == gpu:
                heard.extend(xids)

    def _create(self) -> int:
        number = max(self.sets, default=-1) + 1
        self.sets[number] = (-1, [])
        return number

    def _register(self, gpu: int, kinds: int, number: int) -> None:
        _given(self.deaf)
        assert NVML.nvmlEventTypeXidCriticalError == kinds
        self.sets[number] = (gpu, [])

    def _wait(self, number: int, milliseconds: int) -> SimpleNamespace:
        assert milliseconds == 0, "waiting would hold the look up"
        heard = self.sets[number][1]
        return SimpleNamespace(eventData=heard.pop(0) if heard else _given(self.events))

    def _free(self, number: int) -> None:
        del self.sets[number]

    def nvmlInit(self) -> None:  # noqa: N802 - as it is called there
        """Begin a session."""
        self.inits += 1
        _given(self.init)

    def nvmlShutdown(self) -> None:  # noqa: N802 - as it is called there
        """End a session."""
        self.shutdowns += 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802 - as it is called there
        """Give a version."""
        return "590.48.01"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - as it is called there
        """Count the GPUs."""
        self.meanwhile()
        _given(self.count)
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802 - as it is called there
        """Give a handle."""
        _given(self.gpus[index])
        return index


_EVENTS = {
    "nvmlEventSetCreate": "_create",
    "nvmlDeviceRegisterEvents": "_register",
    "nvmlEventSetWait_v2": "_wait",
    "nvmlEventSetFree": "_free",
}


def _given(answer: Any) -> Any:
    if isinstance(answer, Error):
        raise NVML.NVMLError(answer.code)
    return answer


def _field_value(answer: Any) -> SimpleNamespace:
    code, value = (answer.code, 0) if isinstance(answer, Error) else (NVML.NVML_SUCCESS, answer)
    return SimpleNamespace(nvmlReturn=code, value=SimpleNamespace(uiVal=value))
