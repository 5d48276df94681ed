"""The description of what is connected to what, checked as a whole before anything starts.

    source -> [decoder] -> stage -> ... -> stage -> publish -> sinks

`publish` is the engine's own node. A run needs one chain from the source to it; only answers fan out, to sinks.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from pipeline.errors import ConfigError, Problem
from pipeline.frame import Mode
from pipeline.stage import Decoder, Part, Sink, Source, Stage

PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked graph, in flow order."""

    source: Source
    decoder: Decoder | None
    stages: tuple[tuple[str, Stage], ...]
    sinks: tuple[tuple[str, Sink], ...]

    @property
    def detector(self) -> str | None:
        """Name of the detector stage."""
        return next((name for name, stage in self.stages if stage.detector), None)

    @property
    def watching(self) -> tuple[tuple[str, Stage], ...]:
        """The stages that want to see every picture, if pictures are of the class that they take."""
        pictures = (self.decoder or self.source).produces
        return tuple((n, stage) for n, stage in self.stages if stage.watches and issubclass(pictures, stage.watches))


class Graph:
    """Nodes and links; nothing runs until a Plan made from it is given to a Run."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._links: list[tuple[str, str]] = []
        self._problems: list[Problem] = []

    def add(self, name: str, part: Part) -> str:
        """Add a node; return its name."""
        if name in self._parts or name == PUBLISH:
            self._say(name, "the name is used twice")
        self._parts[name] = part
        return name

    def connect(self, producer: str, consumer: str) -> None:
        """Connect two nodes by name; `publish` stands for the engine's publisher."""
        for name in (producer, consumer):
            if name not in self._parts and name != PUBLISH:
                self._say(name, "is connected, but was never added")
        self._links.append((producer, consumer))

    @classmethod
    def chain(
        cls,
        source: Source,
        decoder: Decoder | None,
        stages: list[tuple[str, Stage]],
        sinks: list[tuple[str, Sink]],
    ) -> Graph:
        """Build the usual graph: one chain, and every sink behind the publisher."""
        graph = cls()
        previous = graph.add("source", source)
        middle: list[tuple[str, Part]] = [] if decoder is None else [("decode", decoder)]
        for name, part in [*middle, *stages]:
            graph.add(name, part)
            graph.connect(previous, name)
            previous = name
        graph.connect(previous, PUBLISH)
        for name, sink in sinks:
            graph.add(name, sink)
            graph.connect(PUBLISH, name)
        return graph

    def check(self, mode: Mode) -> Plan:
        """Return the plan.

        Raises:
            ConfigError: with every problem of the graph.
        """
        problems = list(self._problems)
        if not problems:
            problems = [*self._shape_problems(), *self._resource_problems()]
        if not problems:
            problems = [*self._type_problems(), *self._role_problems(mode)]
        if problems:
            raise ConfigError(problems)
        order = self._chain_order()
        first, *rest = (self._parts[name] for name in order)
        assert isinstance(first, Source)
        decoder = rest[0] if rest and isinstance(rest[0], Decoder) else None
        return Plan(
            source=first,
            decoder=decoder,
            stages=tuple((name, part) for name in order if isinstance(part := self._parts[name], Stage)),
            sinks=tuple((name, part) for name, part in self._parts.items() if isinstance(part, Sink)),
        )

    def _say(self, node: str, message: str) -> None:
        self._problems.append(Problem(f"graph.{node}", message))

    def _next(self, name: str) -> list[str]:
        return [consumer for producer, consumer in self._links if producer == name]

    def _sources(self) -> list[str]:
        return [name for name, part in self._parts.items() if isinstance(part, Source)]

    def _chain_order(self) -> list[str]:
        """Follow the links from the source to the publisher; the shape was checked."""
        order = self._sources()
        while (following := self._next(order[-1])[0]) != PUBLISH:
            order.append(following)
        return order

    def _shape_problems(self) -> list[Problem]:
        problems = []
        sources = self._sources()
        if len(sources) != 1:
            problems.append(Problem("graph", f"needs exactly one source, not {len(sources)}"))
        for name, part in self._parts.items():
            problems += self._node_problems(name, part)
        cycle = self._find_cycle()
        if cycle:
            problems.append(Problem("graph", f"goes round in a circle: {' -> '.join(cycle)}"))
        return problems

    def _node_problems(self, name: str, part: Part) -> list[Problem]:
        producers = [producer for producer, consumer in self._links if consumer == name]
        consumers = self._next(name)
        path = f"graph.{name}"
        if isinstance(part, Sink):
            if consumers:
                return [Problem(path, f"is a sink and can feed nothing, but is connected to {consumers[0]}")]
            return [] if producers == [PUBLISH] else [Problem(path, "is a sink and must be connected to publish")]
        problems = []
        if not consumers:
            problems.append(Problem(path, "is a dead end: nothing takes what it produces"))
        elif len(consumers) > 1:
            problems.append(Problem(path, f"feeds {', '.join(consumers)}; a stage feeds exactly one other"))
        if isinstance(part, Source):
            problems += [Problem(path, "is a source and takes no input")] if producers else []
        elif not producers:
            problems.append(Problem(path, "gets no input"))
        elif len(producers) > 1:
            problems.append(Problem(path, f"is fed by {', '.join(producers)}; a stage has exactly one input"))
        return problems

    def _find_cycle(self) -> list[str]:
        for start in self._parts:
            path = [start]
            while (following := self._next(path[-1])) and following[0] != PUBLISH:
                path.append(following[0])
                if following[0] == start:
                    return path
                if len(path) > len(self._parts):
                    break  # another node's circle; it is found from there
        return []

    def _resource_problems(self) -> list[Problem]:
        problems = []
        owners: dict[str, str] = {}
        for name, part in self._parts.items():
            resource = part.resource
            if resource is None:
                continue
            if resource in owners:
                problems.append(Problem(name, f"cannot have {resource}, which is in use by {owners[resource]}"))
            owners[resource] = name
        return problems

    def _type_problems(self) -> list[Problem]:
        problems = []
        order = self._chain_order()
        for producer, consumer in itertools.pairwise(order):
            made = getattr(self._parts[producer], "produces", object)
            taken = getattr(self._parts[consumer], "accepts", object)
            if made is not object and not issubclass(made, taken):
                message = f"takes {taken.__name__}, but {producer} before it makes {made.__name__}"
                problems.append(Problem(f"graph.{consumer}", message))
        return problems

    def _role_problems(self, mode: Mode) -> list[Problem]:
        problems = []
        order = self._chain_order()
        for place, name in enumerate(order):
            if isinstance(self._parts[name], Decoder) and place != 1:
                problems.append(Problem(f"graph.{name}", "is a decoder and must come right after the source"))
        detectors = [name for name in order if getattr(self._parts[name], "detector", False)]
        if len(detectors) > 1 or (mode is Mode.LIVE and not detectors):
            problems.append(Problem("graph", f"needs exactly one detector stage, not {len(detectors)}"))
        return problems
