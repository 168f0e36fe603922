"""The one exception whose message is meant for a reader: the command line prints it and exits 2."""


class UserError(Exception):
    """Bad input. The message is a single line that names the field or file, and the value."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))
