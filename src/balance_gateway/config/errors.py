"""Defines the errors of the configuration."""


class ConfigError(Exception):
    """The configuration is invalid; the message is one line that names the key and the fix."""


class InvalidSetting(ValueError):
    """A setting contradicts another one of its table.

    Attributes:
        key: the key at fault, without the name of its table.
        problem: the rest of the sentence that begins with the key.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key} {problem}")
        self.key = key
        self.problem = problem
