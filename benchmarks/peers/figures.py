"""What the outcome of a run means to a reader: ages, shares in time, silent losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from peers import Outcome
from task import Answer, Sent

LIMITS_MS = (50, 100, 200)
WARM_UP_NS = 2_000_000_000
"""After the first answer; not counted."""
TAIL_NS = 1_000_000_000
"""Before the end; what was sent then may still have been under way."""
LATE_NOTE_NS = 5_000_000
"""The camera may note a picture so much after it was sent, when it is not run in between."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One peer under one load. Ages are from the camera's sending to the answer."""

    sent: int
    """Pictures that count."""
    fresh: int
    """Answered with a result for that very picture."""
    age_p50_ms: float
    """Of the fresh ones; not a number where there are none."""
    age_p99_ms: float
    age_max_ms: float
    fresh_by: dict[int, float]
    """Share of what was sent with a fresh answer, by limit in ms."""
    answered_by: dict[int, float]
    """The same with forecasts; the same number for peers that have none."""
    silent: int
    """Pictures without any answer, not even `blind`."""
    told: int
    """Pictures that the peer itself says it did not answer, of the whole run."""
    first_answer_s: float
    """From the start of its process to its first answer that says something; not a number where none did."""
    cpu_cores: float
    peak_rss_mib: float


def figures(outcome: Outcome) -> Figures:
    """Return the figures of a run.

    Raises:
        ValueError: it gave no answers that count.
    """
    answers = sorted(outcome.answers, key=lambda answer: answer.given_ns)
    informed = [answer for answer in answers if answer.status != "blind"]
    if not answers:
        raise ValueError(outcome.failure or "no answer")
    first_ns = informed[0].given_ns if informed else answers[0].given_ns
    counted = _counted(outcome.sent, first_ns + WARM_UP_NS, answers[-1].given_ns - TAIL_NS)
    if not counted:
        raise ValueError(outcome.failure or "too short a run")
    fresh_ages = _ages(counted, [answer for answer in informed if answer.status == "fresh"])
    informed_ages = _ages(counted, informed)
    any_ages = _ages(counted, answers)
    values = np.array(sorted(fresh_ages.values())) if fresh_ages else np.array([np.nan])
    p50, p99 = np.percentile(values, (50, 99))
    return Figures(
        sent=len(counted),
        fresh=len(fresh_ages),
        age_p50_ms=round(float(p50), 1),
        age_p99_ms=round(float(p99), 1),
        age_max_ms=round(float(values[-1]), 1),
        fresh_by=_shares(fresh_ages, len(counted)),
        answered_by=_shares(informed_ages, len(counted)),
        silent=len(counted) - len(any_ages),
        told=outcome.told,
        first_answer_s=round((first_ns - outcome.start_ns) / 1e9, 2) if informed else math.nan,
        cpu_cores=round(outcome.cpu_cores, 2),
        peak_rss_mib=round(outcome.peak_rss_mib),
    )


def _counted(sent: Sequence[Sent], begin_ns: int, end_ns: int) -> dict[int, int]:
    """Return when each picture that counts was sent, by number; of a number that was sent twice, the last time.

    A peer that looks at the stream and then opens it again gets the same numbers again.
    """
    return {row.number: row.at_ns for row in sent if begin_ns <= row.at_ns <= end_ns}


def _ages(counted: dict[int, int], answers: Sequence[Answer]) -> dict[int, float]:
    """Return the age in ms of the first answer to each picture that counts."""
    ages: dict[int, float] = {}
    for answer in answers:
        sent_ns = counted.get(answer.number)
        if sent_ns is not None and answer.given_ns >= sent_ns - LATE_NOTE_NS:
            ages.setdefault(answer.number, (answer.given_ns - sent_ns) / 1e6)
    return ages


def _shares(ages: dict[int, float], count: int) -> dict[int, float]:
    return {limit: round(sum(age <= limit for age in ages.values()) / count, 4) for limit in LIMITS_MS}
