"""The one exception whose message is meant for a reader: the command line prints it and exits 2."""

from minitrain.common.messages import ENGLISH, Message, session_language, shortened

_LONGEST = 1000  # characters; each value in a message has a bound of its own


class UserError(Exception):
    """Bad input. The message is a single line that names the field or file, and the value.

    `str` of it is English. A `Message` can be read in other languages too; plain text cannot.
    """

    def __init__(self, message: str | Message):
        self.message = message
        super().__init__(self.text())

    def text(self, language: str = ENGLISH) -> str:
        """The line in a reader's language, without anything that would move a terminal's cursor."""
        message = self.message
        text = message.text(language) if isinstance(message, Message) else message
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
        return shortened(line, _LONGEST)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the line, in the notebook's language."""
        return [self.text(session_language() or ENGLISH)]
