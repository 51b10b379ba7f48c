"""Where the suite plays: an authority of its own, a human's home, a workspace, and sessions in it."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

LIMIT = 120
GITCONFIG = "[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"


class Authority:
    """An authority that signs one certificate, for `hosts`."""

    def __init__(self, directory, hosts):
        self.root, self.certificate = directory / "root.pem", directory / "server.pem"
        self.key = directory / "server.key"
        names = directory / "names"
        names.write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts))
        root_key, request = directory / "root.key", directory / "server.csr"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *key, "-keyout", root_key, "-out", self.root, "-subj", "/CN=tests")
        openssl("req", *key, "-keyout", self.key, "-out", request, "-subj", "/CN=server")
        sign = ["-CA", self.root, "-CAkey", root_key, "-CAcreateserial", "-extfile", names]
        openssl("x509", "-req", "-in", request, "-out", self.certificate, *sign)


def openssl(*words):
    """Runs openssl."""
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Place:
    """A home, a workspace in it, and a repository that is served."""

    def __init__(self, agentguard):
        self.directory = Path(tempfile.mkdtemp(prefix="agentguard-clients-"))
        self.agentguard = agentguard
        self.home = self.directory / "home"
        self.workspace = self.home / "work"
        self.policy = self.directory / "policy"
        self.repositories = self.directory / "repositories"
        for directory in [self.workspace, self.policy, self.repositories]:
            directory.mkdir(parents=True)
        (self.home / ".gitconfig").write_text(GITCONFIG)
        self.root = None
        self.tools = []
        self.set_up_repository()

    def set_up_repository(self):
        """One commit, that can be cloned."""
        project = self.directory / "project"
        bare = self.repositories / "tally.git"
        self.outside("git", "init", "--quiet", str(project))
        (project / "tally").write_text("one\n")
        self.outside("git", "-C", str(project), "add", ".")
        self.outside("git", "-C", str(project), "commit", "--quiet", "--message", "one")
        # Beside it, a branch of directories of its own.
        self.outside("git", "-C", str(project), "checkout", "--quiet", "-b", "other")
        (project / "lib").mkdir()
        (project / "lib/tally").write_text("two\n")
        self.outside("git", "-C", str(project), "add", ".")
        self.outside("git", "-C", str(project), "commit", "--quiet", "--message", "other")
        self.outside("git", "-C", str(project), "checkout", "--quiet", "main")
        self.outside("git", "clone", "--quiet", "--bare", str(project), str(bare))
        self.outside("git", "-C", str(bare), "config", "http.receivepack", "true")
        # As every large host has it: the gate asks for directories without their files.
        self.outside("git", "-C", str(bare), "config", "uploadpack.allowFilter", "true")

    def outside(self, *command):
        """Runs a command as the human would."""
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def grant(self, hosts, port, trees, root):
        """Writes the policy: the hosts, all of them at the server, whose authority the human trusts."""
        self.root = root
        lines = ["package agentguard.sandbox", ""]
        for host in hosts:
            lines.append(f'hosts contains "{host}"')
            lines.append(f'addresses contains {{"host": "{host}", "at": "127.0.0.1:{port}"}}')
        lines += [f"read contains {json.dumps(str(tree))}" for tree in trees]
        (self.policy / "clients.rego").write_text("\n".join(lines) + "\n")

    def grant_at(self, ports, root, rules):
        """Writes the policy anew: hosts at ports of their own, and rules beside it."""
        self.root = root
        lines = ["package agentguard.sandbox", ""]
        for host, port in ports.items():
            lines.append(f'hosts contains "{host}"')
            lines.append(f'addresses contains {{"host": "{host}", "at": "127.0.0.1:{port}"}}')
        (self.policy / "clients.rego").write_text("\n".join(lines) + "\n")
        (self.policy / "rules.rego").write_text(rules)

    @property
    def path(self):
        """Where programs are looked for."""
        return ":".join([*map(str, self.tools), "/usr/local/bin:/usr/bin:/bin"])

    @property
    def environment(self):
        """The human's environment."""
        environment = {"HOME": str(self.home), "PATH": self.path}
        if self.root:
            environment["SSL_CERT_FILE"] = str(self.root)
        return environment

    def run(self, script):
        """Runs a script in a session: its exit code, and what was said."""
        command = [self.agentguard, "exec", "--agent", "clients", "--by", "ada@example.org"]
        # Nobody is there to say yes.
        command += ["--approval-timeout", "0"]
        command += ["--policy", self.policy, "--timeout", str(LIMIT), "--", "sh", "-c", script]
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.workspace,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * LIMIT,
            check=False,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        return done.returncode, said

    def requests(self):
        """The log's decisions about requests, of all sessions: ruling and rule."""
        found = []
        for entry in self.entries("--kind", "api"):
            ruling = entry["event"]["ruling"]
            found.append((ruling["ruling"], ruling["rule"]["id"]))
        return found

    def refusals(self, rule):
        """How often a rule refused something so far."""
        return len(self.entries("--ruling", "deny", "--rule", rule))

    def entries(self, *filters):
        """The log's entries that pass the filters."""
        return [line["entry"] for line in self.lines(*filters)]

    def lines(self, *filters):
        """The same with their texts, and each with its place among all of them."""
        code, said = self.ask("log", "query", "--json", *filters)
        # 1 is that there are none.
        if code not in (0, 1):
            raise RuntimeError(said)
        lines = said.splitlines() if code == 0 else []
        return [{**json.loads(line), "at": at} for at, line in enumerate(lines)]

    def ask(self, *words):
        """Asks agentguard as the human would: exit code, and what it said."""
        done = subprocess.run(
            [str(self.agentguard), *words],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def remove(self):
        """Removes all of it."""
        shutil.rmtree(self.directory, ignore_errors=True)

