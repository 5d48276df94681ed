"""Finds the kinds of sources, decoders, stages and sinks: by entry point, or by `module:Class`.

A third party adds a kind with an entry point in one of the groups `framepace.sources`, `framepace.decoders`,
`framepace.stages`, `framepace.sinks`; ours are registered in the same way. Nothing is imported before it is used.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar, cast

from pydantic import BaseModel

from pipeline.stage import Decoder, Part, Sink, Source, Stage

P = TypeVar("P", bound=Part)


class Group(StrEnum):
    """What can be registered."""

    SOURCES = "framepace.sources"
    DECODERS = "framepace.decoders"
    STAGES = "framepace.stages"
    SINKS = "framepace.sinks"
    COMMANDS = "framepace.commands"
    SCHEMAS = "framepace.schemas"


_ROLE: dict[Group, type[Part]] = {
    Group.SOURCES: Source,
    Group.DECODERS: Decoder,
    Group.STAGES: Stage,
    Group.SINKS: Sink,
}


@functools.cache
def _entries(group: Group) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names(group: Group) -> list[str]:
    """Return the registered names of a group, sorted."""
    return sorted(_entries(group))


def find(group: Group, kind: str) -> type[Part]:
    """Return the class of a kind: a registered name or `module:Class`.

    Raises:
        LookupError: there is none, or it does not fill the role; the message says what would be right.
    """
    entry = _entries(group).get(kind)
    if entry is not None:
        found = entry.load()
    elif ":" in kind:
        found = _import(kind)
    else:
        raise LookupError(f"{kind!r} is not known{near(kind, names(group))}; known: {', '.join(names(group))}")
    role = _ROLE[group]
    if not (isinstance(found, type) and issubclass(found, role)):
        raise LookupError(f"{kind!r} is not a class derived from pipeline.stage.{role.__name__}")
    if not (_has_no_constructor(found) or _takes_options(found)):
        raise LookupError(f"{kind!r} cannot be made: write its constructor as __init__(self, options)")
    return found


def find_source(kind: str) -> type[Source]:
    """Return the class of a source kind; raises LookupError."""
    return cast(type[Source], find(Group.SOURCES, kind))


def find_decoder(kind: str) -> type[Decoder]:
    """Return the class of a decoder kind; raises LookupError."""
    return cast(type[Decoder], find(Group.DECODERS, kind))


def find_stage(kind: str) -> type[Stage]:
    """Return the class of a stage kind; raises LookupError."""
    return cast(type[Stage], find(Group.STAGES, kind))


def find_sink(kind: str) -> type[Sink]:
    """Return the class of a sink kind; raises LookupError."""
    return cast(type[Sink], find(Group.SINKS, kind))


def load_commands() -> dict[str, object]:
    """Return the registered sub-commands of the command line by name."""
    return {name: entry.load() for name, entry in _entries(Group.COMMANDS).items()}


def load_schema(name: str) -> type[BaseModel]:
    """Return the pydantic model that describes a document; raises KeyError."""
    return cast(type[BaseModel], _entries(Group.SCHEMAS)[name].load())


def make(part: type[P], options: BaseModel) -> P:
    """Make a part from its validated options; one that has none to take need not have a constructor."""
    if _has_no_constructor(part):
        return part()
    return part(options)  # type: ignore[call-arg]  # the role's contract: one argument, its options


def near(word: str, known: list[str]) -> str:
    """Return `, did you mean X?` for a misspelt word, or nothing."""
    close = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f", did you mean {' or '.join(close)}?" if close else ""


def _has_no_constructor(part: type[Part]) -> bool:
    return part.__init__ is object.__init__


def _takes_options(part: type[Part]) -> bool:
    try:
        inspect.signature(part).bind(None)
    except TypeError:
        return False
    return True


def _import(path: str) -> object:
    module, _, attribute = path.partition(":")
    if not all(name.isidentifier() for name in module.split(".")):
        raise LookupError(f"{path!r} is not module:Class")
    try:
        with _working_directory_importable():
            return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise LookupError(f"{path!r} cannot be imported: {error}") from error
    except AttributeError as error:
        raise LookupError(f"{path!r}: module {module} has no {attribute}") from error


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    """Let a user's own file be imported, and nothing of it hide anything: the working directory comes last."""
    try:
        here = os.getcwd()
    except OSError:  # it is gone
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
