"""The agents: where each one's program lies, how it is started, and what its tools are called."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import story
from protocols import completions, gemini, messages, responses

# The models ask for no key.
KEY = "dummy"
# Claude Code's own sandbox, with no way round it.
STRICT = {"enabled": True, "allowUnsandboxedCommands": False, "failIfUnavailable": True}

GEMINI_KEY = {"auth": {"selectedType": "gemini-api-key"}}


@dataclass(frozen=True)
class OwnSandbox:
    """A sandbox of the agent's own: the words, or the project's files, that ask for it, and what is said where it cannot
    be had."""

    words: list[str]
    says: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Agent:
    """One agent. Its name is also that of its profile, and of the directory with its lock file."""

    name: str
    # Where its program lies among the packages that npm installs: one of them runs on this machine.
    programs: str
    # How it is started to do one thing and end, and what it is told of its model, by its port.
    command: Callable[[int], list[str]]
    variables: Callable[[int], dict[str, str]]
    protocol: ModuleType
    # What the tools are called, and how their arguments are, by what the story calls them.
    tools: dict[str, Callable[[dict], tuple[str, dict | str]]]
    # What a tool that has no words of the story's says when it has done its work.
    says: dict[str, str]
    # What it refuses by itself, by the call's title, and what it says then.
    refuses: dict[str, str] = field(default_factory=dict)
    # What the project holds for it.
    files: dict[str, str] = field(default_factory=dict)
    # What its profile says after its name, which it must be told where there is none.
    alone: list[str] = field(default_factory=list)
    own_sandbox: OwnSandbox | None = None
    # Another one, which no words ask for and none turn off.
    set_sandbox: OwnSandbox | None = None
    # The host of its model, which its profile grants, where it finds that by itself; the credential that its profile
    # grants for it, and the variable that holds the key.
    host: str | None = None
    credential: str | None = None
    key: str | None = None


def base(port, path=""):
    """The address of the model."""
    return f"http://127.0.0.1:{port}{path}"


def renamed(name, **names):
    """A tool that takes these of a call's arguments, under names of its own."""
    return lambda given: (name, {own: given[ours] for own, ours in names.items()})


def added(given):
    """A file that is new, as a patch."""
    lines = "".join(f"+{line}\n" for line in given["content"].splitlines())
    return "apply_patch", patch(f"*** Add File: {given['path']}\n{lines}")


def changed(given):
    """A line that is another, as a patch."""
    lines = f"@@\n-{given['old']}\n+{given['new']}\n"
    return "apply_patch", patch(f"*** Update File: {given['path']}\n{lines}")


def patch(body):
    """The envelope of a patch."""
    return f"*** Begin Patch\n{body}*** End Patch\n"


CLAUDE_CODE = Agent(
    name="claude-code",
    programs="@anthropic-ai/claude-code-linux-*/claude",
    command=lambda _: [
        *["claude", "-p", story.PROMPT, "--dangerously-skip-permissions"],
        *["--output-format", "stream-json", "--verbose"],
    ],
    variables=lambda port: {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": base(port)},
    protocol=messages,
    tools={
        "shell": renamed("Bash", command="command", description="title"),
        "write": renamed("Write", file_path="path", content="content"),
        "edit": renamed("Edit", file_path="path", old_string="old", new_string="new"),
        "read": renamed("Read", file_path="path"),
    },
    says={"write": r"created", "edit": r"updated"},
    # It says so itself where there is no socat, and bubblewrap does where there is.
    own_sandbox=OwnSandbox(["--settings", json.dumps({"sandbox": STRICT})], r"[Ss]andbox|bwrap: .*namespace"),
    host="api.anthropic.com",
    credential="anthropic",
    key="ANTHROPIC_API_KEY",
)

CODEX = Agent(
    name="codex",
    programs="@openai/codex-linux-*/vendor/*/bin/codex",
    command=lambda port: [
        *["codex", "--config", "model_provider=story"],
        *["--config", f"model_providers.story={codex_provider(port)}"],
        *["exec", "--model", "gpt-5.5", "--json", story.PROMPT],
    ],
    variables=lambda _: {"STORY_KEY": KEY},
    protocol=responses,
    tools={
        "shell": renamed("exec_command", cmd="command"),
        "write": added,
        "edit": changed,
        "read": lambda given: ("exec_command", {"cmd": f"cat {given['path']}"}),
    },
    says={"write": r"Success", "edit": r"Success"},
    alone=["--config", "sandbox_mode=danger-full-access"],
    own_sandbox=OwnSandbox(["--sandbox", "workspace-write"], r"bwrap: .*namespace"),
)

COPILOT = Agent(
    name="copilot",
    programs="@github/copilot-linux-*/copilot",
    command=lambda _: ["copilot", "--prompt", story.PROMPT, "--allow-all"],
    variables=lambda port: {
        "COPILOT_MODEL": "claude-sonnet-4.5",
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_API_KEY": KEY,
        "COPILOT_PROVIDER_BASE_URL": base(port, "/v1"),
    },
    protocol=completions,
    tools={
        "shell": renamed("bash", command="command", description="title"),
        "write": renamed("create", path="path", file_text="content"),
        "edit": renamed("edit", path="path", old_str="old", new_str="new"),
        "read": renamed("view", path="path"),
    },
    says={"write": r"[Cc]reated", "edit": r"updated"},
    own_sandbox=OwnSandbox(["--sandbox"], r"Cannot start sandboxed command"),
)

GEMINI_CLI = Agent(
    name="gemini-cli",
    programs="@google/gemini-cli/bundle/gemini.js",
    command=lambda _: ["gemini", "--prompt", story.PROMPT, "--yolo", "--model", "gemini-2.5-pro"],
    variables=lambda port: {
        "GEMINI_API_KEY": KEY,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GOOGLE_GEMINI_BASE_URL": base(port),
    },
    protocol=gemini,
    tools={
        "shell": renamed("run_shell_command", command="command", description="title"),
        "write": renamed("write_file", file_path="path", content="content"),
        "edit": renamed(
            "replace", file_path="path", old_string="old", new_string="new", instruction="title"
        ),
        "read": renamed("read_file", file_path="path"),
    },
    says={"write": r"[Cc]reated", "edit": r"[Ss]uccess"},
    refuses={
        "read a secret": r"Path not in workspace",
        "write a new hook": r"Path not in workspace",
    },
    own_sandbox=OwnSandbox(["--sandbox"], r"[Ss]andbox"),
    set_sandbox=OwnSandbox(
        [],
        r"bwrap: .*namespace",
        {".gemini/settings.json": json.dumps({"security": {**GEMINI_KEY, "toolSandboxing": True}})},
    ),
    # Where its model is somebody else's, it has to be told how to show its key.
    files={".gemini/settings.json": json.dumps({"security": GEMINI_KEY})},
)

OPENCODE = Agent(
    name="opencode",
    programs="opencode-linux-*/bin/opencode",
    command=lambda _: ["opencode", "run", "--auto", "--model", "story/story", story.PROMPT],
    variables=lambda port: {"OPENCODE_CONFIG_CONTENT": json.dumps(opencode_provider(port))},
    protocol=completions,
    tools={
        "shell": renamed("bash", command="command", description="title"),
        "write": renamed("write", filePath="path", content="content"),
        "edit": renamed("edit", filePath="path", oldString="old", newString="new"),
        "read": renamed("read", filePath="path"),
    },
    says={"write": r"success", "edit": r"success"},
)

ALL = {agent.name: agent for agent in [CLAUDE_CODE, CODEX, COPILOT, GEMINI_CLI, OPENCODE]}


def codex_provider(port):
    """The model as Codex is told of it, in TOML."""
    names = {"name": "story", "base_url": base(port, "/v1"), "wire_api": "responses"}
    names["env_key"] = "STORY_KEY"
    return "{" + ", ".join(f'{name}="{value}"' for name, value in names.items()) + "}"


def opencode_provider(port):
    """The model as opencode is told of it."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": base(port, "/v1"), "apiKey": KEY},
        "models": {"story": {"tool_call": True, "limit": {"context": 200000, "output": 8000}}},
    }
    return {"provider": {"story": provider}}
