"""Installing an agent, and running it once, with or without agentguard."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = "package-lock.json"
LONGEST_RUN = 180

HUMAN = "ada@example.org"

# Without agentguard nothing but this keeps an agent from calling home.
NOWHERE = "http://127.0.0.1:9"
NO_NETWORK = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    code: int | str
    seconds: float
    said: str


def install(agent, directory):
    """Installs what the lock file pins below `directory`, once, and returns where that is."""
    place = directory / agent.name
    done = place / "installed.json"
    wanted = (HERE / "agents" / agent.name / LOCK).read_text()
    if not done.exists() or done.read_text() != wanted:
        place.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        for name in ["package.json", LOCK]:
            shutil.copy(HERE / "agents" / agent.name / name, place / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        command += ["--no-update-notifier", "--loglevel=error"]
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        done.write_text(wanted)
    return place / "node_modules"


def program(agent, packages):
    """The agent's program among its packages: npm picked those for this machine."""
    found = sorted(packages.glob(agent.programs))
    for candidate in found:
        if subprocess.run([candidate, "--version"], capture_output=True).returncode == 0:
            return candidate
    raise RuntimeError(f"no program below {packages} runs on this machine")


def run_bare(agent, scene, port):
    """Runs the agent as it is."""
    name, *words = agent.command(port)
    return run(scene, [name, *agent.alone, *words], agent.variables(port) | NO_NETWORK)


def run_guarded(agent, scene, port, agentguard, words=()):
    """Runs the agent under agentguard, which reaches nothing but the model. `words` are for the agent."""
    variables = agent.variables(port)
    command = [agentguard, "exec", "--agent", f"{agent.name}-test", "--by", HUMAN]
    command += ["--profile", agent.name, "--workspace", str(scene.workspace), "--port", str(port)]
    for name in variables:
        command += ["--env", name]
    return run(scene, [*command, "--", *agent.command(port), *words], variables)


def lend(agent, scene, agentguard, token):
    """Hands the key of the agent's model to the guard, as a human does, on stdin."""
    command = [agentguard, "credential", "add", agent.credential, "--for", agent.credential]
    subprocess.run(command, env=scene.environment, input=token.encode(), check=True, stdout=subprocess.DEVNULL, **scene.who)


def run_gated(agent, scene, agentguard, policy, root):
    """Runs the agent under agentguard, with its model where it always is: at a host, behind the gate. The authority
    `root` is told to the guard alone, and so is the key."""
    # Told of no place, an agent goes to its own. Its key is lent.
    variables = {k: v for k, v in agent.variables(0).items() if not v.startswith("http") and k != agent.key}
    command = [agentguard, "exec", "--agent", f"{agent.name}-test", "--by", HUMAN]
    command += ["--approval-timeout", "0"]  # nobody is there to say yes
    command += ["--profile", agent.name, "--workspace", str(scene.workspace), "--policy", str(policy)]
    for name in variables:
        command += ["--env", name]
    command += ["--", *agent.command(0)]
    return run(scene, command, variables | {"SSL_CERT_FILE": str(root)})


def run_pushing(agent, scene, agentguard, pushed, event):
    """Runs the agent under agentguard as a platform does: the event says who asked."""
    variables = {k: v for k, v in agent.variables(0).items() if not v.startswith("http") and k != agent.key}
    command = [agentguard, "exec", "--agent", f"{agent.name}-test", "--approval-timeout", "0"]
    command += ["--profile", agent.name, "--workspace", str(scene.workspace), "--policy", str(pushed.policy)]
    for name in variables:
        command += ["--env", name]
    command += ["--", *agent.command(0)]
    return run(scene, command, variables | event | {"SSL_CERT_FILE": str(pushed.root)})


def run(scene, command, variables):
    """Runs `command` in the workspace to its end, or until it takes too long. What it says goes to
    a file: a pipe would wait for whatever it left behind."""
    said = scene.directory / "said"
    started = time.monotonic()
    with said.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=scene.workspace,
            env=scene.environment | variables,
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
