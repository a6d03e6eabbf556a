"""When a replay does more harm than good: shares of records that are bad, against what its order allows. Pure."""

from console.desk.replay_order import ReplayOrder, Tally
from console.desk.verdicts import Verdicts

FEWEST = 10  # records below which a share says nothing; a canary may be smaller


def unrepairable_share(tally: Tally, order: ReplayOrder) -> str | None:
    """Says so where the recipe does not repair too large a share of the letters that it was tried on."""
    bad, tried = tally.unrepairable, tally.unrepairable + tally.repaired
    if tried < FEWEST or bad <= order.abort_above * tried:
        return None
    reason, count = tally.reasons.most_common(1)[0]
    sample = f"{count:,} times: {reason}, such as {tally.samples[reason]}"
    return _too_many(f"{bad:,} of {tried:,} cannot be repaired", order, sample)


def failed_share(verdicts: Verdicts, order: ReplayOrder, fewest: int = FEWEST) -> str | None:
    """Says so where too large a share of the records with a verdict has failed again."""
    bad, judged = verdicts.failed, verdicts.judged
    if judged < max(1, fewest) or bad <= order.abort_above * judged:
        return None
    return _too_many(f"{bad:,} of {judged:,} failed again", order, verdicts.sample)


def _too_many(what: str, order: ReplayOrder, sample: str) -> str:
    return f"{what}, more than the {order.abort_above:.0%} that --abort-above allows: {sample}"
