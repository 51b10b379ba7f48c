"""The clients: how each is found or installed, what it is asked to do, and what the server must have heard of it."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import registries
from server import ANYTHING

JAVA = """
import java.net.URI;
import java.net.http.*;

class Ask {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create("https://api.test/java")).build();
        System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
"""
GO = """package main

import ("fmt"; "io"; "net/http")

func main() {
    answer, err := http.Get("https://api.test/go")
    if err != nil { panic(err) }
    body, _ := io.ReadAll(answer.Body)
    fmt.Println(string(body))
}
"""
NODE = "require('https').get('https://api.test/node', a => a.on('data', d => process.stdout.write(d)))"
FETCH = "fetch('https://api.test/{}').then(a => a.text()).then(t => console.log(t))"
URLLIB = "import urllib.request as r; print(r.urlopen('https://api.test/python').read())"
REQUESTS = "import requests; print(requests.get('https://api.test/requests').text)"
HTTPX = "import httpx; print(httpx.get('https://api.test/httpx').text)"
CARGO = '[package]\nname = "own"\nversion = "0.1.0"\nedition = "2021"\nlicense = "MIT"\ndescription = "x"\n'

# A session's environment emptied, as `sudo` or a build system may leave it.
EMPTIED = 'env -i PATH="$PATH" HOME="$HOME" TMPDIR="$TMPDIR" sh -c {}'


@dataclass(frozen=True)
class Client:
    """One client doing one thing. The script says `says`, and the server hears `heard`; or, where a rule is named, the
    request is refused by it and the server hears none of `unheard`."""

    name: str
    program: str
    script: str
    heard: list[str] = field(default_factory=list)
    says: str = "reached"
    # Whether it works in an emptied environment as well: its authorities come from a file.
    by_file: bool = False
    rule: str | None = None
    unheard: str | None = None


def asks(name, program, script, by_file=False):
    """A client that reads one page."""
    return Client(name, program, script, [f"GET {ANYTHING}/{name}"], by_file=by_file)


SIMPLE = [
    asks("curl", "curl", "curl -sS https://api.test/curl", by_file=True),
    asks("wget", "wget", "wget -q -O- https://api.test/wget", by_file=True),
    asks("python", "/usr/bin/python3", f'/usr/bin/python3 -c "{URLLIB}"', by_file=True),
    asks("requests", "venv/bin/python", f'venv/bin/python -c "{REQUESTS}"'),
    asks("httpx", "venv/bin/python", f'venv/bin/python -c "{HTTPX}"'),
    asks("node", "node", f'node -e "{NODE}"'),
    asks("node-fetch", "node", f'node -e "{FETCH.format("node-fetch")}"'),
    asks("deno", "npm/deno", f'npm/deno eval "{FETCH.format("deno")}"'),
    asks("bun", "npm/bun", f'npm/bun -e "{FETCH.format("bun")}"'),
    asks("go", "go", "go run go.go", by_file=True),
    asks("java", "javac", "javac Ask.java && java -cp . Ask", by_file=True),
    Client(
        "git",
        "git",
        "cd $TMPDIR && rm -rf cloned && git clone -q https://git.test/git/tally.git cloned"
        " && git -C cloned fetch -q && cat cloned/tally",
        ["GET git.test/git/tally.git/info/refs?service=git-upload-pack"]
        + ["POST git.test/git/tally.git/git-upload-pack"],
        says="one",
        by_file=True,
    ),
]

_WHEEL = "/packages/tally-1.0.0-py3-none-any.whl"
_INDEX = f"GET {registries.PYPI}/simple/tally/"
_FETCHED = [_INDEX, f"GET {registries.WHEELS}{_WHEEL}"]

PACKAGES = [
    Client(
        "npm install",
        "npm",
        "rm -rf node_modules && npm install --no-audit tally && node node_modules/tally",
        [f"GET {registries.NPM}/tally", f"GET {registries.NPM}/tally/-/tally-1.0.0.tgz"],
        says=registries.SAYS,
    ),
    Client(
        "bun add",
        "npm/bun",
        "rm -rf bun && mkdir bun && cd bun && echo '{}' > package.json && ../npm/bun add tally && ../npm/bun node_modules/tally",
        [f"GET {registries.NPM}/tally", f"GET {registries.NPM}/tally/-/tally-1.0.0.tgz"],
        says=registries.SAYS,
    ),
    Client(
        "deno add",
        "npm/deno",
        "rm -rf deno && mkdir deno && cd deno && echo '{}' > deno.json && ../npm/deno add npm:tally"
        " && ../npm/deno eval \"import 'tally'\"",
        [f"GET {registries.NPM}/tally", f"GET {registries.NPM}/tally/-/tally-1.0.0.tgz"],
        says=registries.SAYS,
    ),
    Client(
        "pip install",
        "venv/bin/pip",
        "rm -rf pip && venv/bin/python -m pip --no-cache-dir install -q --target pip tally"
        " && PYTHONPATH=pip /usr/bin/python3 -m tally",
        _FETCHED,
        says=registries.SAYS,
    ),
    Client(
        "uv pip install",
        "venv/bin/uv",
        "rm -rf uv && venv/bin/uv -q pip install --no-cache --python venv/bin/python --target uv tally"
        " && PYTHONPATH=uv /usr/bin/python3 -m tally",
        _FETCHED,
        says=registries.SAYS,
    ),
    Client(
        "cargo fetch",
        "cargo",
        "cd crate && rm -rf $HOME/.cargo/registry Cargo.lock && cargo fetch -q && grep checksum Cargo.lock",
        [f"GET {registries.CRATES}/ta/ll/tally"]
        + [f"GET {registries.STATIC_CRATES}/crates/tally/1.0.0/download"],
        says="checksum",
        by_file=True,
    ),
    Client(
        "go mod download",
        "go",
        "cd module && rm -rf go.sum $HOME/go && GOFLAGS=-modcacherw GOSUMDB=off go mod download -json example.org/tally",
        [f"GET {registries.GO}/{registries.MODULE}/@v/v1.0.0.zip"],
        says="v1.0.0",
        by_file=True,
    ),
]



def publishes(name, program, script, to):
    """A command that publishes: it does not even start."""
    return Client(name, program, script, says="refused", rule="commands/publish", unheard=to)


def uploads(name, request, to):
    """The request that such a command makes, from a program that is known for none: the gate refuses it."""
    script = f"curl -sS -w '%{{http_code}}' {request}; exit 1"
    return Client(name, "curl", script, says="403", rule="api/publish", unheard=to)


_WHEEL_FILE = "tally-1.0.0-py3-none-any.whl"
_TO_NPM, _TO_PYPI, _TO_CRATES = f"PUT {registries.NPM}", "POST upload.pypi.org", "PUT crates.io"

PUBLISHING = [
    publishes("npm publish", "npm", "cd package && npm publish --access public", _TO_NPM),
    publishes("uv publish", "venv/bin/uv", f"venv/bin/uv publish --token t {_WHEEL_FILE}", _TO_PYPI),
    publishes("cargo publish", "cargo", "cd own && cargo publish -q --no-verify", _TO_CRATES),
    uploads("upload to npm", "-X PUT -d {} https://registry.npmjs.org/own", _TO_NPM),
    uploads("upload to PyPI", f"-F content=@{_WHEEL_FILE} https://upload.pypi.org/legacy/", _TO_PYPI),
    uploads("upload to crates.io", "-T own/Cargo.toml https://crates.io/api/v1/crates/new", _TO_CRATES),
    uploads("unpublish from npm", "-X DELETE https://registry.npmjs.org/own/-rev/1", "DELETE"),
]


def projects(workspace):
    """What the scripts work on."""
    content = {
        "Ask.java": JAVA,
        "go.go": GO,
        "crate/Cargo.toml": CARGO + '[dependencies]\ntally = "1"\n',
        "crate/src/lib.rs": "",
        "own/Cargo.toml": CARGO,
        "own/src/lib.rs": "",
        "module/go.mod": f"module own\n\ngo 1.16\n\nrequire {registries.MODULE} v1.0.0\n",
        "package/package.json": '{"name": "own", "version": "1.0.0"}',
    }
    for name, text in content.items():
        path = workspace / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (workspace / "tally-1.0.0-py3-none-any.whl").write_bytes(registries.wheel())


def install(directory, large):
    """Installs below `directory`, once, what comes from registries; what could not be is not there."""
    if not list((directory / "venv").glob("lib/*/site-packages/dulwich")):
        quietly("/usr/bin/python3", "-m", "venv", directory / "venv")
        quietly(directory / "venv/bin/pip", "install", "requests", "httpx", "uv", "dulwich", "pygit2")
    if not (directory / "push/node_modules/isomorphic-git").exists():
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", directory / "push"]
        quietly("npm", "install", *options, "isomorphic-git")
    if large and not (directory / "npm/node_modules/bun").exists():
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", directory / "npm"]
        quietly("npm", "install", *options, "deno", "bun")


def quietly(*command):
    """Runs what installs something. What became of it is seen by what is there."""
    subprocess.run(list(map(str, command)), capture_output=True, check=False, timeout=300)


def bring(directory, workspace):
    """Puts what was installed into the workspace."""
    if (directory / "venv").exists():
        shutil.copytree(directory / "venv", workspace / "venv", symlinks=True)
    (workspace / "npm").mkdir()
    places = {"deno": "@deno/*/deno", "bun": "@oven/bun-*/bin/bun"}
    for name, pattern in places.items():
        for found in sorted((directory / "npm/node_modules").glob(pattern)):
            shutil.copy(found, workspace / "npm" / name)
            (workspace / "npm" / name).chmod(0o755)


def toolchains():
    """Directories outside of the system's in which programs are that the session may read."""
    cargo = shutil.which("cargo")
    if not cargo:
        return []
    root = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=False)
    return [Path(root.stdout.strip())] if root.returncode == 0 else []


def missing(client, workspace, path):
    """Why a client is not there, if it is not."""
    if "/" in client.program:
        return None if (workspace / client.program).exists() else "it was not installed, or could not be"
    return None if shutil.which(client.program, path=path) else "it is not installed"


def emptied(script):
    """The script in an emptied environment."""
    quoted = "'" + script.replace("'", "'\\''") + "'"
    return EMPTIED.format(quoted)

