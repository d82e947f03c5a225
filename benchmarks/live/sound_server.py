"""A microphone that hears what a player plays: a PulseAudio null sink, of the user's own or of ours alone."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_app.core.errors import DeviceError

SINK = "sedge_bench"
RATE_HZ = 44_100
PROGRAMS = ("pulseaudio", "pactl", "paplay")
ALSA_SETTINGS = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
FOREIGN = ("PULSE_SERVER", "PULSE_RUNTIME_PATH", "DBUS_SESSION_BUS_ADDRESS")
TRIES, TRY_S = 100, 0.1


def check_programs(names: Sequence[str] = PROGRAMS) -> None:
    """Raise DeviceError where a program of the sound server is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise DeviceError(
            f"expected the programs {', '.join(names)}, not found: {', '.join(missing)}; "
            "on Debian or Ubuntu: apt-get install pulseaudio pulseaudio-utils libasound2-plugins"
        )


@contextmanager
def own_sound_server(folder: Path) -> Iterator[str]:
    """A PulseAudio of this process's own, with a null sink whose monitor is the default microphone: the sink's name.

    Before PortAudio is first used; the environment is as it was afterwards. Raises DeviceError where it does not run.
    """
    check_programs()
    home, run = folder / "home", folder / "run"
    home.mkdir()
    run.mkdir(mode=0o700)
    (home / ".asoundrc").write_text(ALSA_SETTINGS)
    with _environment({"HOME": str(home), "XDG_RUNTIME_DIR": str(run), "XDG_CONFIG_HOME": str(home)}):
        server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"),
                "--load=module-native-protocol-unix",
                f"--load=module-null-sink sink_name={SINK} rate={RATE_HZ}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(server)
            subprocess.run(["pactl", "set-default-source", f"{SINK}.monitor"], check=True, timeout=10)
            yield SINK
        finally:
            server.kill()
            server.wait()


@contextmanager
def _environment(changed: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changed)
    for name in FOREIGN:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _wait_for(server: "subprocess.Popen[bytes]") -> None:
    said = ""
    for _ in range(TRIES):
        asked = subprocess.run(["pactl", "info"], capture_output=True, text=True, timeout=10, check=False)
        if asked.returncode == 0:
            return
        said = asked.stderr
        with suppress(subprocess.TimeoutExpired):
            server.wait(TRY_S)
            break
    raise DeviceError(f"pulseaudio: expected an answer, found none: {' '.join(said.split())}")


class Player:
    """Plays a recording into a sink, from `start` until it ends or is closed. DeviceError without paplay."""

    def __init__(self, sink: str, recording: Path) -> None:
        check_programs(("paplay",))
        self._command = ["paplay", "--device", sink, str(recording)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to play."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )

    def close(self) -> None:
        """End it. Raises DeviceError where it had failed by itself."""
        process = self._process
        if process is None:
            return
        failed = process.poll() not in (None, 0)
        process.kill()
        _, said = process.communicate()
        if failed:
            words = " ".join(said.decode(errors="replace").split())
            raise DeviceError(f"{' '.join(self._command[:3])}: expected it to play, found: {words}")
