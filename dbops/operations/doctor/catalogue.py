"""Every check there is, in the order of their ids."""

from importlib import import_module
from pkgutil import iter_modules

from dbops.operations.doctor import checks
from dbops.operations.doctor.check import ClusterCheck, ServerCheck


def catalogue() -> tuple[ServerCheck | ClusterCheck, ...]:
    """Return the checks; each module of the package `checks` holds one."""
    names = sorted(module.name for module in iter_modules(checks.__path__))
    modules = [import_module(f"{checks.__name__}.{name}") for name in names]
    return tuple(module.CHECK for module in modules)
