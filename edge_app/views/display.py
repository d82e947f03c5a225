"""Whether a window can be opened here, in a sentence: Qt itself ends the process with a core dump where it cannot.

Imports Qt only inside, so that a missing system library can be told too.
"""

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_app.core.errors import RuntimeUnavailable

DEBIAN_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
}
"""What Qt links to outside its own wheel: file name to the package that brings it on Debian and Ubuntu."""

NO_DISPLAY = (
    "app needs a display: expected DISPLAY or WAYLAND_DISPLAY, found neither; "
    "on a machine without a screen use `sedge listen`, or QT_QPA_PLATFORM=offscreen with --screenshot"
)


def check_display(environment: Mapping[str, str] | None = None) -> None:
    """Raise RuntimeUnavailable where Qt cannot be loaded, or has no display to open a window on."""
    check_qt()
    if sys.platform != "linux":  # elsewhere the system always has a display to offer
        return
    names = platform_names(os.environ if environment is None else environment)
    if not names:
        raise RuntimeUnavailable(NO_DISPLAY)
    problems = [problem_of(name, os.environ if environment is None else environment) for name in names]
    if all(problem is not None for problem in problems):
        raise RuntimeUnavailable("app: " + "; ".join(filter(None, problems)))


def check_qt() -> None:
    """Raise RuntimeUnavailable where Qt's libraries lack one of the system."""
    try:
        import PyQt6.QtWidgets  # noqa: F401
    except ImportError as error:
        raise RuntimeUnavailable(f"app: Qt cannot be loaded: {lacking(str(error))}") from None


def platform_names(environment: Mapping[str, str]) -> list[str]:
    """The platforms that Qt will try, in order; none where nothing says which display to use."""
    asked = environment.get("QT_QPA_PLATFORM", "")
    if asked:
        return [name.partition(":")[0] for name in asked.split(";") if name]
    return list(_displays(environment))


def _displays(environment: Mapping[str, str]) -> Iterator[str]:
    # An empty variable counts as none, as it does for the libraries of both.
    if environment.get("WAYLAND_DISPLAY"):
        yield "wayland"
    if environment.get("DISPLAY"):
        yield "xcb"


def problem_of(name: str, environment: Mapping[str, str]) -> str | None:
    """Why that platform of Qt cannot be used, or None; those that need no display can."""
    if name == "xcb":
        return missing_library(name) or x11_problem(environment.get("DISPLAY", ""))
    if name == "wayland":
        return missing_library(name) or wayland_problem(environment)
    return None


def missing_library(name: str) -> str | None:
    """What the platform's plugin lacks of the system, or None; a plugin that is not there is Qt's to report."""
    from PyQt6.QtCore import QLibraryInfo

    folder = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
    plugin = folder / "platforms" / f"libq{name}.so"
    if not plugin.exists():
        return None
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return f"Qt's part for {name} cannot be loaded: {lacking(str(error))}"
    return None


def lacking(message: str) -> str:
    """The loader's message, with the package that brings the library where it is known."""
    library = message.partition(":")[0].strip()
    package = DEBIAN_PACKAGES.get(library)
    return f"{library} is not installed: apt-get install {package}" if package else message


def x11_problem(display: str) -> str | None:
    """Why the X server of that name takes no connection, or None."""
    if not display:
        return "expected DISPLAY for xcb, found none"
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return None  # then Qt's own plugin would not have loaded
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    xcb.xcb_connection_has_error.argtypes = [ctypes.c_void_p]
    xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(os.fsencode(display), None)
    refused = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return f"the display {display} does not answer, or does not let this user in" if refused else None


def wayland_problem(environment: Mapping[str, str]) -> str | None:
    """Why there is no Wayland server at the socket that the environment names, or None."""
    name = environment.get("WAYLAND_DISPLAY") or "wayland-0"
    folder = environment.get("XDG_RUNTIME_DIR", "")
    socket = Path(folder, name)  # an absolute name stands for itself
    if not socket.is_absolute():
        return "expected XDG_RUNTIME_DIR for wayland, found none"
    return None if socket.exists() else f"no Wayland display at {socket}"
