"""A story of one change, from the event that asked for it to a second clone that takes it: a commit that the agent's key
signs, a push to the main branch that is refused in git's own words, one to a branch of the session's own, a receipt."""

import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

from judge import ask, entries
from model import Model
from story import Call, shell

sys.path.append(str(Path(__file__).resolve().parent.parent / "clients"))

from place import Authority
from server import Server

HOST = "git.example.org"
OWNER, ID = "octocat", "583231"
# What asked for the change: an issue on a platform.
EVENT = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": OWNER,
    "GITHUB_ACTOR_ID": ID,
    "GITHUB_EVENT_NAME": "issues",
    "GITHUB_RUN_ID": "123",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "ada/tally",
}
OWN = "refs/heads/agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)/tabs"
# Without these words git is told where to push by its settings, so that nobody could have refused the command by them.
MAIN = "git -c remote.origin.push=HEAD:refs/heads/main push origin"


class Pushed:
    """The model at the agent's own host and git's own server, both on loopback. The policy says where they are."""

    def __init__(self, directory, agent, scene, turns):
        self.scene = scene
        authority = Authority(directory, [agent.host, HOST])
        self.root = authority.root
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(authority.certificate, authority.key)
        self.model = Model(agent.protocol, turns, tls)
        self.repositories = directory / "repositories"
        self.repository = self.repositories / "tally.git"
        shutil.copytree(scene.origin, self.repository)
        for setting in ["http.receivepack", "uploadpack.allowFilter"]:
            self.served("config", setting, "true")
        self.server = Server(authority, {}, self.repositories)
        # Of a session that began on the main branch no word of a push without a branch's name would reach the gate.
        scene.git("switch", "--quiet", "--create", "tabs")
        scene.git("remote", "set-url", "origin", f"https://{HOST}/git/tally.git")
        if scene.user:
            scene.give_to_user()
        self.policy = directory / "policy"
        self.policy.mkdir()
        lines = ["package agentguard.sandbox", "", f'hosts contains "{HOST}"', 'signs contains "commits"']
        for host, port in {agent.host: self.model.port, HOST: self.server.port}.items():
            lines.append(f'addresses contains {{"host": "{host}", "at": "127.0.0.1:{port}"}}')
        (self.policy / "pushed.rego").write_text("\n".join(lines) + "\n")
        self.before = self.refs()

    def __enter__(self):
        self.model.__enter__()
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)
        self.model.__exit__(*error)

    def served(self, *words):
        """What git says of the repository that is served."""
        command = ["git", "-c", "safe.directory=*", "--git-dir", str(self.repository), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def refs(self):
        """The server's refs, each with what it points to."""
        lines = self.served("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)


def calls(scene):
    """The story. The agent configures nothing."""
    source = f"{scene.workspace}/tally.c"
    edit = {
        "title": "count tabs, too",
        "path": source,
        "old": "    return letter == ' ' || letter == '\\n';",
        "new": "    return letter == ' ' || letter == '\\t' || letter == '\\n';",
    }
    refused = r"(?s)remote rejected.*push/protected"
    return [
        Call("read the source", "read", {"path": source}, r"is_space"),
        Call("edit the source", "edit", edit, None),
        shell("see it pass", "make check", r"words: passed"),
        shell("commit", "git commit -qam 'count tabs as space' && git log -1 --format=%s", r"count tabs as space"),
        shell("push to the main branch", MAIN, r"HEAD -> main$", refused),
        shell("push to a branch of its own", f"git push origin HEAD:{OWN}", r"new branch"),
    ]


class Reviewer:
    """Somebody else: a home without any key, and a clone."""

    def __init__(self, directory, pushed, agentguard):
        self.home = directory / "reviewer"
        self.clone = self.home / "clone"
        self.home.mkdir()
        self.agentguard = agentguard
        self.environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
        (self.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        self.run("git", "clone", "--quiet", str(pushed.repository), str(self.clone), at=self.home)

    def run(self, *command, at=None):
        """A command of theirs: exit code, and what it said."""
        done = subprocess.run(
            list(map(str, command)), cwd=at or self.clone, env=self.environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    def verify(self, commit, receipt, key):
        """Whether a commit is accepted by a receipt and a key."""
        return self.run(self.agentguard, "verify", "--commit", commit, "--receipt", receipt, "--key", key)


def judge(findings, agent, directory, pushed, agentguard):
    """What the server has, what the log says of it, and what somebody else makes of both."""
    scene, refs = pushed.scene, pushed.refs()
    new = sorted(set(refs) - set(pushed.before))
    kept = {name: refs.get(name) for name in pushed.before}
    findings.expect("the main branch is as it was", kept == pushed.before, refs)
    findings.expect("one branch is new", len(new) == 1 and new[0].endswith("/tabs"), new)
    commit, old = refs.get(new[0], "none") if new else "none", pushed.before["refs/heads/main"]

    _, words = ask(scene, agentguard, "trace", commit)
    for told in ["allowed signature of sha512:", "refused push to", "allowed push to", f"asked by  {OWNER} (github:{ID}, asserted)"]:
        findings.expect(f"the commit leads to `{told}`", told in words, words)
    signed = entries(scene, agentguard, "--kind", "signature")
    findings.expect("it was signed once", len(signed) == 1, signed)
    code, words = ask(scene, agentguard, "verify")
    findings.expect("the log verifies", code == 0 and "verified: session" in words, words)

    reviewer = Reviewer(directory, pushed, agentguard)
    receipt, allowed = scene.home / "commit.receipt", reviewer.home / "allowed"
    code, words = ask(scene, agentguard, "receipt", commit, "--output", str(receipt))
    findings.expect("it has a receipt", code == 0, words)
    _, key = ask(scene, agentguard, "log", "key")
    _, keys = ask(scene, agentguard, "agent", "show", f"{agent.name}-test", "--signers")
    allowed.write_text(keys)
    signers = ["-c", f"gpg.ssh.allowedSignersFile={allowed}"]
    code, words = reviewer.run("git", *signers, "verify-commit", commit)
    findings.expect("git takes the signature in a second clone", code == 0 and "Good" in words, words)
    code, words = reviewer.run("git", *signers, "verify-commit", old)
    findings.expect("and finds none on another commit", code != 0, words)
    code, words = reviewer.verify(commit, receipt, key.strip())
    findings.expect("the second clone accepts the commit", code == 0 and f"verified: commit {commit}" in words, words)
    findings.expect("by whom it was asked for", OWNER in words, words)
    code, words = reviewer.verify(old, receipt, key.strip())
    findings.expect("and not one that did not come this way", code == 1 and "no receipt names it" in words, words)
