"""Guards that say no: errors that no retry heals, each of which names what a person can do."""


class Refusal(Exception):
    """A guard said no. Ends a process with exit code 3; the message says why and what to do."""

    exit_code = 3


class SettingsRefused(Refusal):
    """Settings contradict what is already there, or each other."""


class AccessRefused(Refusal):
    """Anybody could do anything from elsewhere, or the tokens that would prevent it cannot be trusted."""


class TopicRefused(Refusal):
    """A topic is missing, or its settings endanger data."""


class SourceRecreated(Refusal):
    """A source topic is not the one that the checkpoint was taken from."""


class CheckpointRefused(Refusal):
    """A checkpoint cannot be trusted: its parts disagree."""
