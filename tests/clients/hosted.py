"""git as a host sets it up: nginx over TLS, and `git http-backend` behind it by FastCGI. The server's refs tell."""

import shutil
import subprocess

import pushing

URL = "https://{}/git/tally.git"
OWN = "refs/heads/agent/$AGENTGUARD_AGENT/$(printf %.8s $AGENTGUARD_SESSION)/hosted"
# What nginx does with a request below `/git/`.
LOCATION = """
        location ~ ^/git(/.*)$ {{
            fastcgi_pass unix:{socket}; fastcgi_param SCRIPT_FILENAME {backend};
            fastcgi_param GIT_PROJECT_ROOT {repositories}; fastcgi_param GIT_HTTP_EXPORT_ALL yes;
            fastcgi_param PATH_INFO $1; fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param REMOTE_ADDR $remote_addr;
        }}
"""
CLONE = "set -e; cd $TMPDIR; rm -rf hosted; git clone -q {url} hosted; cd hosted; "
COMMIT = "{content} > hosted; git add hosted; git commit -qm hosted; "
# What the command does not say is not refused by it, but on its way.
PUSH = "git config remote.origin.push {}; git push origin"
# More than git sends of one piece, so that it is sent in several.
LARGE = "head -c 3000000 /dev/urandom"
# What is run after that, what becomes of the branch, and who refuses it.
ACTS = [
    ("makes its own branch", COMMIT.format(content="echo one") + f"git push -q origin HEAD:{OWN}", 1, None),
    ("does not push to main", COMMIT.format(content="echo two") + PUSH.format("HEAD:refs/heads/main"), 0, "push/protected"),
    ("does not delete main", PUSH.format(":refs/heads/main"), 0, "push/delete"),
    ("makes no tag", "git push origin HEAD:refs/tags/v9", 0, "push/tag"),
    ("pushes what is large, in pieces", COMMIT.format(content=LARGE) + f"git push -q origin HEAD:{OWN}", 1, None),
    (
        "throws its own branch back, and removes it",
        COMMIT.format(content="echo three")
        + f"git push -q origin HEAD:{OWN}; git commit -q --amend -m four; git push -q --force-with-lease origin HEAD:{OWN}; "
        + f"git push -q origin :{OWN}",
        0,
        None,
    ),
]


def missing():
    """Why this cannot be played, if it cannot."""
    return None if shutil.which("fcgiwrap", path="/usr/sbin:/usr/bin:/usr/local/sbin") else "fcgiwrap is not installed"


def serve(directory):
    """Starts what starts git for nginx, if it is there."""
    if missing():
        return None
    command = ["fcgiwrap", "-s", f"unix:{directory / 'git.sock'}"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/bin"})


def location(directory, repositories):
    """The lines of nginx's settings."""
    backend = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    words = {"socket": directory / "git.sock", "backend": f"{backend}/git-http-backend", "repositories": repositories}
    return LOCATION.format(**words)


def play(findings, place, host):
    """Each act is a session of its own."""
    reason = missing()
    if reason:
        print(f"absent  git behind nginx: {reason}")
        return
    for title, script, more, rule in ACTS:
        before, known = pushing.refs(place), place.refusals(rule) if rule else 0
        code, said = place.run(CLONE.format(url=URL.format(host)) + script)
        after = pushing.refs(place)
        found = [] if (code == 0) == (rule is None) else [f"exit code {code}"]
        new = {name for name, held in after.items() if before.get(name) != held}
        is_own = all(name.endswith("/hosted") for name in new) and before.keys() <= after.keys()
        found += [] if len(new) == more and is_own else [f"the server has {after}"]
        if rule:
            found += [] if place.refusals(rule) == known + 1 else [f"no refusal by `{rule}`"]
            found += [] if rule in said else ["git does not say why"]
        findings.expect(f"git behind nginx {title}", [said, *found] if found else [])
