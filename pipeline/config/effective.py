"""The configuration as it is in force: defaults filled in, flags laid over it, secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.assembly import RunSettings
from pipeline.config.model import PartConfig, RunConfig
from pipeline.masking import masked_settings
from pipeline.stage import Options

_PARTS = ("source", "decode", "stages", "sinks")


@dataclass(frozen=True, slots=True)
class Made:
    """A part that was made."""

    written: PartConfig
    options: Options
    """Validated, with defaults."""


def effective_configuration(
    config: RunConfig, settings: RunSettings, parts: Mapping[str, list[Made]]
) -> dict[str, object]:
    """Return the configuration in force as plain data, as a file would say it; durations are texts with a unit.

    Args:
        config: as written.
        settings: of the run, where they were decided.
        parts: by the key that they stand under, in order.
    """
    shown = config.model_dump(mode="json", exclude=set(_PARTS))
    shown["mode"] = settings.mode.value
    shown["engine"]["workers"] = settings.workers
    described = {key: [_described(made) for made in parts.get(key, [])] for key in _PARTS}
    front: dict[str, object] = {"source": described["source"][0], "decode": next(iter(described["decode"]), None)}
    masked = masked_settings(front | shown | {key: described[key] for key in ("stages", "sinks")})
    assert isinstance(masked, dict)
    return masked


def _described(made: Made) -> dict[str, object]:
    """Return the kind and the options of a part, as a configuration says them."""
    name = {} if made.written.name is None else {"name": made.written.name}
    return {"kind": made.written.kind, **name, **made.options.model_dump(mode="json", fallback=str)}
