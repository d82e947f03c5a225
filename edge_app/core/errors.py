"""Errors that a user can mend. Each message is one line: what, where, expected, found."""

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_DEVICE_OR_MODEL = 3
EXIT_INTERRUPTED = 130  # as shells report a command that Ctrl-C ended


class SedgeError(Exception):
    """A mistake or a lack that the user can mend; the command line prints it without a traceback."""

    exit_code = EXIT_USAGE


class AudioError(SedgeError):
    """A recording that cannot be read as audio."""

    exit_code = EXIT_SOME_FAILED


class BundleError(SedgeError):
    """A bundle that is missing, damaged, or of a kind that this version does not know."""

    exit_code = EXIT_NO_DEVICE_OR_MODEL


class DeviceError(SedgeError):
    """No usable sound device."""

    exit_code = EXIT_NO_DEVICE_OR_MODEL


class RuntimeUnavailable(SedgeError):  # noqa: N818
    """A runtime that cannot run a bundle on this machine, or must not: says why, and what to do about it."""

    exit_code = EXIT_NO_DEVICE_OR_MODEL
