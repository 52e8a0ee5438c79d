"""Cuts the file into what a team would have: the first day as history, the second one still to come.

The data say when a transaction was only in seconds since the first one, some day in September 2013; here the first one is
on September 1, 2013 at 00:00 UTC. Each transaction gets a number, so that two in one second can be told apart.
"""

import os
from datetime import datetime, timedelta

import data

DAY_ONE = "2013-09-01T00:00:00Z"
# What is known of a transaction when it happens, as far as features are made of it.
TRANSACTION = ["tx_id", "event_time", "Amount"]
# What is known once somebody has looked into it.
LABELLED = ["tx_id", "event_time", *data.FEATURES, data.TARGET]


# What models learn from until then, and what they are judged on: no training set has any of it, not later either.
DAY = "event_time < TIMESTAMP '2013-09-01T18:00:00Z'"
EVENING = "event_time >= TIMESTAMP '2013-09-01T18:00:00Z' AND event_time < TIMESTAMP '2013-09-02T00:00:00Z'"

# What comes on the second day.
REPLAYED = "event_time >= TIMESTAMP '2013-09-02T00:00:00Z'"

# Names how many hours of the second day are replayed.
HOURS = "STRONGBACK_DEMO_HOURS"


def transactions() -> "pandas.DataFrame":  # noqa: F821 - pandas is imported where it is needed
    """All transactions in order of time."""
    import pandas as pd

    loaded = data.load()
    loaded["tx_id"] = range(len(loaded))
    loaded["event_time"] = (pd.Timestamp(DAY_ONE) + pd.to_timedelta(loaded["Time"], unit="s")).dt.strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    return loaded


def hours() -> float:
    """How much of the second day is replayed: STRONGBACK_DEMO_HOURS, 2 if nothing is said."""
    return float(os.environ.get(HOURS, "2"))


def same_hours() -> str:
    """The hours of day 1 that are replayed of day 2, as a condition."""
    end = datetime.fromisoformat(DAY_ONE) + timedelta(hours=hours())
    return f"event_time < TIMESTAMP '{end:%Y-%m-%dT%H:%M:%SZ}'"


def to_come() -> "pandas.DataFrame":  # noqa: F821
    """What of the second day is replayed."""
    loaded = transactions()
    seconds = loaded["Time"] - data.DAY_TWO_STARTS_S
    return loaded[(seconds >= 0) & (seconds < hours() * 3600)]


def main():
    loaded = transactions()
    history = loaded[loaded["Time"] < data.DAY_TWO_STARTS_S]
    history[TRANSACTION].to_csv("transactions.csv", index=False)
    history[LABELLED].to_csv("labelled.csv", index=False)
    coming = to_come()
    coming[LABELLED].to_csv("labelled_later.csv", index=False)
    print(f"transactions.csv and labelled.csv hold the {len(history):,} transactions of day 1")
    print(f"labelled_later.csv holds {len(coming):,} of day 2, as somebody will have labelled them")


if __name__ == "__main__":
    main()
