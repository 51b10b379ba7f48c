"""One small package in the shape of each registry, at the names that the real ones have."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile

# npm asks without a version, pip and uv with the newest one.
NPM, CRATES = "registry.npmjs.org", "index.crates.io"
PYPI, WHEELS = "pypi.org", "files.pythonhosted.org"
STATIC_CRATES, GO = "static.crates.io", "proxy.golang.org"
HOSTS = [NPM, PYPI, WHEELS, CRATES, STATIC_CRATES, GO, "crates.io", "upload.pypi.org"]

MODULE = "example.org/tally"
SAYS = "tally 1.0.0"


def files():
    """What all of them serve: kinds and bodies, by host and path."""
    return npm() | pypi() | crates() | go()


def npm():
    """A package of npm's."""
    manifest = {"name": "tally", "version": "1.0.0", "main": "index.js"}
    tarball = archive({
        "package/package.json": json.dumps(manifest),
        "package/index.js": f"console.log({SAYS!r});\n",
    })
    digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    place = "/tally/-/tally-1.0.0.tgz"
    manifest["dist"] = {"tarball": f"https://{NPM}{place}", "integrity": f"sha512-{digest}"}
    about = {"name": "tally", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": manifest}}
    return {
        (NPM, "/tally"): ("application/json", json.dumps(about).encode()),
        (NPM, place): ("application/octet-stream", tarball),
    }


def wheel():
    """A package of Python's, as a file."""
    about = "Metadata-Version: 2.1\nName: tally\nVersion: 1.0.0\n"
    kind = "Wheel-Version: 1.0\nGenerator: tally\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {
        "tally.py": f"print({SAYS!r})\n",
        "tally-1.0.0.dist-info/METADATA": about,
        "tally-1.0.0.dist-info/WHEEL": kind,
    }
    record = "tally-1.0.0.dist-info/RECORD"
    content[record] = "".join(f"{name},,\n" for name in [*content, record])
    return zipped(content)


def pypi():
    """The same at an index of Python's."""
    content, name = wheel(), "/packages/tally-1.0.0-py3-none-any.whl"
    link = f"https://{WHEELS}{name}#sha256={hashlib.sha256(content).hexdigest()}"
    page = f'<!DOCTYPE html><html><body><a href="{link}">tally-1.0.0-py3-none-any.whl</a></body></html>'
    return {
        (PYPI, "/simple/tally/"): ("text/html", page.encode()),
        (WHEELS, name): ("application/octet-stream", content),
    }


def crates():
    """A crate, in a sparse index."""
    manifest = '[package]\nname = "tally"\nversion = "1.0.0"\nedition = "2021"\n'
    crate = archive({"tally-1.0.0/Cargo.toml": manifest, "tally-1.0.0/src/lib.rs": ""})
    line = {"name": "tally", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
    line["cksum"] = hashlib.sha256(crate).hexdigest()
    config = {"dl": f"https://{STATIC_CRATES}/crates", "api": "https://crates.io"}
    return {
        (CRATES, "/config.json"): ("application/json", json.dumps(config).encode()),
        (CRATES, "/ta/ll/tally"): ("text/plain", json.dumps(line).encode() + b"\n"),
        (STATIC_CRATES, "/crates/tally/1.0.0/download"): ("application/gzip", crate),
    }


def go():
    """A module of Go's, at its proxy."""
    manifest = f"module {MODULE}\n\ngo 1.16\n"
    source = zipped({
        f"{MODULE}@v1.0.0/go.mod": manifest,
        f"{MODULE}@v1.0.0/tally.go": "package tally\n",
    })
    info = json.dumps({"Version": "v1.0.0", "Time": "2024-01-01T00:00:00Z"})
    base = f"/{MODULE}/@v"
    return {
        (GO, f"{base}/list"): ("text/plain", b"v1.0.0\n"),
        (GO, f"{base}/v1.0.0.info"): ("application/json", info.encode()),
        (GO, f"{base}/v1.0.0.mod"): ("text/plain", manifest.encode()),
        (GO, f"{base}/v1.0.0.zip"): ("application/zip", source),
    }


def archive(content):
    """A compressed archive of tar's."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, text in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(plain.getvalue(), mtime=0)


def zipped(content):
    """The other kind."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive_:
        for name, text in content.items():
            archive_.writestr(name, text)
    return plain.getvalue()
