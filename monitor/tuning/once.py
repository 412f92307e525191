"""One change is told once: a setting shows in several facts, of which the plainest speaks for the others."""

from collections.abc import Iterable, Mapping

from monitor import catalog
from monitor.model import Fact
from monitor.tuning.change import Change, changes
from monitor.tuning.derived import complete
from monitor.tuning.in_force import SETTINGS

_ARG, _ENV, _PACKAGE = catalog.PROCESS_ARG, catalog.PROCESS_ENV, catalog.PROCESS_PACKAGE
_EVERY_ARGUMENT = (*_ARG.values(), *catalog.PROCESS_ARG_KEY.values(), catalog.PROCESS_ARGUMENTS_OTHERS)
_SPECULATIVE = (_ARG["speculative-config"], _ARG["speculative-model"])
_TOLD = {key: fact for fact, key in catalog.EFFECTIVE.items()}

ECHOES: Mapping[str, tuple[str, ...]] = {
    catalog.PROCESS_ARGUMENTS: _EVERY_ARGUMENT,
    catalog.LOG_ARGUMENTS: _EVERY_ARGUMENT,
    catalog.MODEL: (catalog.MODEL_ROOT, _ARG["model"]),
    catalog.BLOCK_SIZE: (_ARG["block-size"],),
    **{setting.told: setting.given for setting in SETTINGS.values()},
    _TOLD["speculative_config.method"]: _SPECULATIVE,
    _TOLD["speculative_config.num_speculative_tokens"]: _SPECULATIVE,
    _TOLD["kv_transfer_config.kv_connector"]: (_ARG["kv-transfer-config"],),
    _TOLD["scheduler_config.policy"]: (_ARG["scheduling-policy"],),
    _TOLD["additional_config"]: (_ARG["additional-config"],),
    **{
        _ARG[name]: tuple(fact for (other, _), fact in catalog.PROCESS_ARG_KEY.items() if other == name)
        for name, _ in catalog.PROCESS_ARG_KEY
    },
    **{fact: (_ENV[name],) for fact, name in catalog.EFFECTIVE_ENV.items() if name in _ENV},
    **{fact: (_ENV[name],) for (name, _), fact in catalog.PROCESS_ENV_OPTION.items()},
    **{fact: (_PACKAGE[name],) for name, fact in catalog.PROCESS_WHEEL.items()},
    _PACKAGE["vllm"]: (catalog.VERSION,),
    catalog.PROCESS_INSTALL_ORDER: (catalog.PROCESS_PYTHON, *_PACKAGE.values(), *catalog.PROCESS_WHEEL.values()),
    catalog.PROCESS_ASCEND_DRIVER: (catalog.ASCEND_DRIVER,),
}
"""Facts, and those that say the same more plainly: where one of them changed, too, it has told."""

IN_FORCE = {source: fact for fact, setting in SETTINGS.items() for source in (*setting.given, setting.told)}
"""Facts that say what is in force, and the fact of what they come to."""


def once(before: Iterable[Fact], after: Iterable[Fact]) -> tuple[Change, ...]:
    """Give what changed, each change by one fact.

    An argument of which the same is in force as before has not changed: somebody gave what was the default.
    """
    was, now = complete(before), complete(after)
    found = changes(was, now)
    changed = {change.fact for change in found}
    same = _known(was) & _known(now) - changed
    return tuple(
        change
        for change in found
        if change.fact not in catalog.DERIVED
        and IN_FORCE.get(change.fact) not in same
        and changed.isdisjoint(ECHOES.get(change.fact, ()))
    )


def _known(facts: Iterable[Fact]) -> set[str]:
    return {fact.name for fact in facts if fact.value is not None}
