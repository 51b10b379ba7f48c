"""Clients that push without git: to a branch of the session's own, and to one that is not. The server's refs tell.

A second word has them commit the whole directory of another of the server's branches, which they leave out of a pack."""

import shutil
from dataclasses import dataclass

URL = "https://git.test/git/tally.git"
PROTECTED = "refs/heads/main"
OTHER = "other"

DULWICH = f"""
import sys, tempfile
from dulwich import porcelain
from dulwich.repo import Repo

at, who = tempfile.mkdtemp(), b"Ada <ada@example.org>"
porcelain.clone("{URL}", at).close()
if len(sys.argv) > 2:
    repository = Repo(at)
    other = repository[repository.refs[b"refs/remotes/origin/" + sys.argv[2].encode()]]
    repository.get_worktree().commit(message=b"two", author=who, committer=who, tree=other.tree)
else:
    with open(at + "/dulwich", "w") as file:
        file.write("one\\n")
    porcelain.add(at, [at + "/dulwich"])
    porcelain.commit(at, message=b"two", author=who, committer=who)
porcelain.push(at, "{URL}", "HEAD:" + sys.argv[1], errstream=sys.stdout.buffer)
"""
PYGIT2 = f"""
import sys, tempfile
import pygit2

class Told(pygit2.RemoteCallbacks):
    def push_update_reference(self, name, message):
        print(name, message or "is there")

    def sideband_progress(self, text):
        print(text)

repository = pygit2.clone_repository("{URL}", tempfile.mkdtemp())
if len(sys.argv) > 2:
    tree = repository.branches["origin/" + sys.argv[2]].peel().tree.id
else:
    blob = repository.create_blob(sys.argv[1].encode())
    builder = repository.TreeBuilder(repository.head.peel().tree)
    builder.insert("pygit2", blob, pygit2.GIT_FILEMODE_BLOB)
    tree = builder.write()
who = pygit2.Signature("Ada", "ada@example.org")
repository.create_commit("refs/heads/work", who, who, "two", tree, [repository.head.target])
repository.remotes["origin"].push(["refs/heads/work:" + sys.argv[1]], callbacks=Told())
"""
ISOMORPHIC = f"""
const git = require('./push/node_modules/isomorphic-git')
const http = require('./push/node_modules/isomorphic-git/http/node')
const fs = require('fs'), path = require('path')
const url = '{URL}', [remoteRef, other] = process.argv.slice(2)
const dir = fs.mkdtempSync(path.join(process.env.TMPDIR, 'isomorphic-'))
const author = {{ name: 'Ada', email: 'ada@example.org' }}

async function main() {{
  await git.clone({{ fs, http, dir, url }})
  fs.writeFileSync(path.join(dir, 'isomorphic'), 'two\\n')
  await git.add({{ fs, dir, filepath: 'isomorphic' }})
  const taken = other && await git.resolveRef({{ fs, dir, ref: `refs/remotes/origin/${{other}}` }})
  const tree = taken && (await git.readCommit({{ fs, dir, oid: taken }})).commit.tree
  await git.commit({{ fs, dir, message: 'two', author, tree }})
  const onMessage = text => console.log(text)
  const told = await git.push({{ fs, http, dir, url, ref: 'main', remoteRef, force: true, onMessage }})
  console.log(JSON.stringify(told))
}}
main().catch(error => {{ console.log(String(error), JSON.stringify(error.data)); process.exitCode = 1 }})
"""


@dataclass(frozen=True)
class Pusher:
    """A program that pushes to the ref that it is told."""

    name: str
    program: str
    file: str
    text: str
    # What has to be there of it.
    needs: str


PUSHERS = [
    Pusher("dulwich", "venv/bin/python", "push_dulwich.py", DULWICH, "venv/lib/*/site-packages/dulwich"),
    Pusher("pygit2", "venv/bin/python", "push_pygit2.py", PYGIT2, "venv/lib/*/site-packages/pygit2"),
    Pusher("isomorphic-git", "node", "push_isomorphic.js", ISOMORPHIC, "push/node_modules/isomorphic-git"),
]


# A file that git-lfs sends by its own way before git pushes what stands for it. Hooks and filters would do the same.
LFS = """
set -e
cd $TMPDIR && rm -rf large && git clone -q {url} large && cd large
to={to}
git checkout -q -B $to
head -c 100000 /dev/urandom | git lfs clean > a.bin
echo 'a.bin filter=lfs' > .gitattributes
git add . && git commit -qm large
git lfs push origin $to && git push -q origin HEAD:refs/heads/$to
"""


def bring(directory, workspace):
    """Puts what was installed, and the programs, into the workspace."""
    if (directory / "push").exists():
        shutil.copytree(directory / "push", workspace / "push", symlinks=True)
    for pusher in PUSHERS:
        (workspace / pusher.file).write_text(pusher.text)


def play(findings, options, place, server):
    """Has each push twice, and names those that are not there."""
    for pusher in PUSHERS:
        if options.only and pusher.name not in options.only:
            continue
        there = "/" in pusher.program or shutil.which(pusher.program, path=place.path)
        if not there or not list(place.workspace.glob(pusher.needs)):
            print(f"absent  {pusher.name}: it was not installed, or could not be")
            continue
        own = f"refs/heads/agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)/{pusher.name}"
        findings.expect(f"{pusher.name} pushes to its own branch", allowed(place, pusher, own, ""))
        taken = allowed(place, pusher, own, "-taken", OTHER)
        findings.expect(f"{pusher.name} pushes what another branch holds", taken)
        findings.expect(f"{pusher.name} does not push to main", refused(place, pusher))
    if not options.only or "git-lfs" in options.only:
        if shutil.which("git-lfs", path=place.path):
            play_large(findings, place, server)
        else:
            print("absent  git-lfs: it is not installed")
    server.heard()


def play_large(findings, place, server):
    """git-lfs: what is large comes to the server with a branch of the session's own, and with no other."""
    own = "agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)/large"
    for to, is_let in [("main", False), (own, True)]:
        before, known = refs(place), place.refusals("api/lfs-upload")
        code, said = place.run(LFS.format(url=URL, to=to))
        is_there = any(name.endswith("/large") for name in refs(place))
        sizes = [len(held) for held in server.large.values()]
        found = [] if (code == 0) == is_let else [f"exit code {code}"]
        found += [] if is_there == is_let else [f"the server has {refs(place)}"]
        found += [] if is_let or refs(place) == before else ["the server's refs changed"]
        found += [] if sizes == [100000] * is_let else [f"the server has large files of {sizes}"]
        found += [] if is_let or place.refusals("api/lfs-upload") > known else ["no refusal"]
        title = "pushes with" if is_let else "does not push with"
        findings.expect(f"git {title} git-lfs to {to.rpartition('/')[2]}", [said, *found] if found else [])


def allowed(place, pusher, own, end, *words):
    """What is not as it should be of a push to a branch of the session's own."""
    before = refs(place)
    command = [pusher.program, pusher.file, own + end, *words]
    code, said = place.run(" ".join(command))
    new = {name: held for name, held in refs(place).items() if before.get(name) != held}
    is_there = len(new) == 1 and all(name.endswith(f"/{pusher.name}{end}") for name in new)
    return [] if code == 0 and is_there else [said, f"exit code {code}, and the server has {new}"]


def refused(place, pusher):
    """The same of one to a branch that is not."""
    before, known = refs(place), place.refusals("push/protected")
    _, said = place.run(f"{pusher.program} {pusher.file} {PROTECTED}")
    found = [] if refs(place) == before else ["the server's refs changed"]
    found += [] if place.refusals("push/protected") == known + 1 else ["no refusal by `push/protected`"]
    found += [] if "push/protected" in said else ["it does not say why"]
    return [said, *found] if found else []


def refs(place):
    """The server's refs, by name."""
    bare = str(place.repositories / "tally.git")
    lines = place.outside("git", "--git-dir", bare, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split() for line in lines.splitlines())
