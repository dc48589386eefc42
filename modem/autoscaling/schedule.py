"""Floors by the clock: at least so many replicas from then to then."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from modem.config import Config

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Clock = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Floor(Config):
    """At least so many replicas while it holds.

    Attributes:
        from_time: When it begins, as ``HH:MM``.
        to_time: When it ends; on the next day if that is earlier than the beginning.
        days: Days on which it begins.
        replicas: Least number of replicas.
    """

    from_time: Clock
    to_time: Clock
    days: tuple[Day, ...] = DAYS
    replicas: int = Field(ge=1)

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.from_time == self.to_time:
            raise ValueError("to_time is from_time: the floor would never hold; write another time")
        if not self.days:
            raise ValueError("days is empty: the floor would never hold; name some, or leave it out")
        return self

    def holds(self, at: datetime) -> bool:
        """Return whether it holds at a local time."""
        begin, end, clock = time.fromisoformat(self.from_time), time.fromisoformat(self.to_time), at.time()
        if begin < end:
            return begin <= clock < end and DAYS[at.weekday()] in self.days
        began = at if clock >= begin else at - timedelta(days=1)
        return (clock >= begin or clock < end) and DAYS[began.weekday()] in self.days


def floor_at(at_s: float, floors: Sequence[Floor], timezone: str) -> int:
    """Return the highest floor that holds at a time, in seconds since the epoch; 0 if none does."""
    if not floors:
        return 0
    local = datetime.fromtimestamp(at_s, ZoneInfo(timezone))
    return max((floor.replicas for floor in floors if floor.holds(local)), default=0)
