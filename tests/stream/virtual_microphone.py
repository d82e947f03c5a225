"""A PulseAudio of the test's own: what is played into its null sink is what its microphone hears."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[2]
SINK = "vmic"
RATE_HZ = 44_100
ALSA_SETTINGS = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"


class VirtualMicrophone:
    """Runs while the context is open, with a home and a run-time folder of its own under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_CONFIG_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
        }
        for name in ("PULSE_SERVER", "PULSE_RUNTIME_PATH", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS"):
            self._environment.pop(name, None)

    def __enter__(self) -> Self:
        (self._folder / "home").mkdir(parents=True)
        (self._folder / "run").mkdir(mode=0o700)
        (self._folder / "home" / ".asoundrc").write_text(ALSA_SETTINGS)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Begin the server, as if the sound card were plugged in."""
        self._server = subprocess.Popen(
            [
                "pulseaudio",
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--load=module-native-protocol-unix",
                f"--load=module-null-sink sink_name={SINK} rate={RATE_HZ}",
            ],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_answers()
        self.run("pactl", "set-default-source", f"{SINK}.monitor")

    def kill(self) -> None:
        """End the server, as if the sound card were pulled out."""
        self._server.kill()
        self._server.wait()

    def unplug(self) -> None:
        """Take the microphone away; the sound system goes on."""
        self.run("pactl", "unload-module", "module-null-sink")

    def plug(self) -> None:
        """Bring the microphone back."""
        self.run("pactl", "load-module", "module-null-sink", f"sink_name={SINK}", f"rate={RATE_HZ}")
        self.run("pactl", "set-default-source", f"{SINK}.monitor")

    def run(self, *command: str) -> str:
        """Run a program in this sound system, wait for its end and give what it printed."""
        done = subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    @contextmanager
    def playing(self, recording: Path) -> Iterator[None]:
        """A recording is played into the microphone, from now until it ends or the context does."""
        player = subprocess.Popen(
            ["paplay", "--device", SINK, str(recording)],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            player.kill()
            player.wait()

    def hear(self, seconds: float) -> None:
        """Let so much sound go through the microphone, by the sound server's own time."""
        recorder = subprocess.Popen(
            [
                "parec",
                "--device",
                f"{SINK}.monitor",
                "--format",
                "s16le",
                "--channels",
                "1",
                "--rate",
                str(RATE_HZ),
            ],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert recorder.stdout is not None
        with recorder.stdout as recorded:
            recorded.read(round(2 * RATE_HZ * seconds))
        recorder.kill()
        recorder.wait()

    def sedge(self, *arguments: str) -> subprocess.Popen[str]:
        """`sedge`, with this microphone as the system's default."""
        return self.python("edge_app", *arguments)

    def python(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A Python module, with this microphone as the system's default."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**self._environment, **(environment or {})},
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _wait_until_it_answers(self) -> None:
        error = ""
        for _ in range(100):
            try:
                self.run("pactl", "info")
                return
            except subprocess.CalledProcessError as refused:
                error = refused.stderr
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(0.1)
                break
        self.kill()
        raise RuntimeError(f"PulseAudio does not answer: {error!r}")
