"""The agent under test: installing it, and running it once, with or without agentguard."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import story

HERE = Path(__file__).resolve().parent
LOCK = "package-lock.json"
LONGEST_RUN = 180

# What the agent needs to know of its model. The key is a dummy: the model asks for none.
SETTINGS = {
    "ANTHROPIC_API_KEY": "dummy",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
COMMAND = ["claude", "-p", story.PROMPT, "--dangerously-skip-permissions"]
COMMAND += ["--output-format", "stream-json", "--verbose"]

AGENT = "claude-test"
HUMAN = "ada@example.org"


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    code: int | str
    seconds: float
    said: str


def install(directory):
    """Installs what the lock file pins below `directory`, once, and returns the program's path."""
    place = directory / "claude-code"
    done = place / "installed.json"
    wanted = (HERE / LOCK).read_text()
    if not done.exists() or done.read_text() != wanted:
        place.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        for name in ["package.json", LOCK]:
            shutil.copy(HERE / name, place / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        command += ["--no-update-notifier", "--loglevel=error"]
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        done.write_text(wanted)
    return program(place)


def program(place):
    """The native program among the installed packages: npm picked the one for this machine."""
    found = sorted(place.glob("node_modules/@anthropic-ai/claude-code-linux-*/claude"))
    for candidate in found:
        if subprocess.run([candidate, "--version"], capture_output=True).returncode == 0:
            return candidate
    raise RuntimeError(f"no program below {place} runs on this machine")


def run_bare(scene, port):
    """Runs the agent as it is."""
    return run(scene, port, COMMAND)


def run_guarded(scene, port, agentguard):
    """Runs the agent under agentguard, which reaches nothing but the model."""
    command = [agentguard, "exec", "--agent", AGENT, "--by", HUMAN, "--profile", "claude-code"]
    command += ["--workspace", str(scene.workspace), "--port", str(port)]
    for name in ["ANTHROPIC_BASE_URL", *SETTINGS]:
        command += ["--env", name]
    return run(scene, port, [*command, "--", *COMMAND])


def run(scene, port, command):
    """Runs `command` in the workspace to its end, or until it takes too long. What it says goes to
    a file: a pipe would wait for whatever it left behind."""
    environment = scene.environment | SETTINGS | {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}"}
    said = scene.directory / "said"
    started = time.monotonic()
    with said.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=scene.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **scene.who,
        )
        try:
            code = process.wait(LONGEST_RUN)
        except subprocess.TimeoutExpired:
            code = f"none after {LONGEST_RUN} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return Run(code, time.monotonic() - started, said.read_text(errors="replace"))
