"""How a command ends when it does not end well. Exit codes: 1 failed, 2 usage, 3 refused (`runtime.refusals`)."""


class CommandFailed(Exception):
    """The command could not do what it was asked, or the answer is no. The message is for the person who asked."""

    exit_code = 1


class UsageError(CommandFailed):
    """What was asked makes no sense: an option, a file or a setting is wrong."""

    exit_code = 2
