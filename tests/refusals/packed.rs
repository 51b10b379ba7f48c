//! What is in a pack, and what is not: a push is judged by what its commits hold, wherever that is.

use crate::git_server::{Server, git_of};
use crate::pushes::{BODY, assert_refused_last, push, refused_by, watching, with_server};
use crate::scene::Scene;

/// Branches of others: one with directories of its own, and one with a workflow.
fn others(scene: &Scene, server: &Server) {
    let script = format!(
        "git checkout -q -b other && mkdir -p lib/deep && echo x > lib/deep/f && git add . && git commit -qm other && \
         git checkout -q -b evil && mkdir -p .github/workflows && echo on: push > .github/workflows/ci.yml && \
         git add . && git commit -qm evil && git push -q {} other evil && git checkout -q work",
        server.repository.display()
    );
    assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
}

/// With an index of what leads where, git leaves out of a pack all that the server has, as other clients always do:
/// `alone` says how many objects are left, and makes of a tree the commit that is pushed.
const LEAN: &str = "git repack -adbq
alone() {
    one=$(git commit-tree -p HEAD -m x $1)
    printf '%s\\n^main\\n^other\\n^evil\\n' $one | git pack-objects --revs --stdout -q | head -c 12 | tail -c 4 | od -An -tx1
}
";

#[test]
fn a_directory_that_only_the_server_has_is_judged_by_what_it_holds() {
    with_server(|scene, server| {
        others(scene, server);
        let before = server.refs(scene);
        let beside = |name: &str, what: &str| {
            format!(
                "$( (git ls-tree HEAD; printf '040000 tree %s\\t{name}\\n' $(git rev-parse {what})) | git mktree)"
            )
        };
        for (tree, rule) in [
            ("evil^{tree}".to_owned(), "push/pipeline"),
            (beside(".github", "evil:.github"), "push/pipeline"),
        ] {
            let script = format!("{LEAN}alone {tree}; git push origin $one:refs/heads/$own/x");
            let ran = push(scene, server, &script);
            assert_eq!(server.refs(scene), before, "{tree}: {}", ran.stderr);
            assert_refused_last(scene, rule, &format!("{tree}: {}", ran.stderr));
        }
        for (number, tree) in ["other^{tree}".to_owned(), beside("moved", "other:lib/deep")]
            .iter()
            .enumerate()
        {
            let script =
                format!("{LEAN}alone {tree}; git push origin $one:refs/heads/$own/{number}");
            let ran = push(scene, server, &script);
            assert!(
                server.refs(scene).contains(&format!("/{number} ")),
                "{tree}: {}",
                ran.stderr
            );
            // It was about something: of the first, nothing but the commit was in the pack.
            assert!(number > 0 || ran.stdout.contains("00 00 00 01"));
        }
    });
}

#[test]
fn a_directory_that_nobody_has_is_not_taken_for_an_empty_one() {
    with_server(|scene, server| {
        others(scene, server);
        let before = server.refs(scene);
        let all_but = |what: &str| {
            format!(
                "{BODY}mkdir -p new/deep && echo y > new/deep/y && git add new && (git commit -qm new || true)\n\
                 git rev-list --objects main..HEAD | cut -d' ' -f1 | grep -v $(git rev-parse {what}) > all\n\
                 line=\"$(printf %040d 0) $(git rev-parse HEAD) refs/heads/$own/x\"\n\
                 (printf '%04x%s\\000 report-status0000' $((${{#line}} + 19)) \"$line\"; git pack-objects --stdout -q < all) | post"
            )
        };
        for what in ["HEAD^{tree}", "HEAD:new", "HEAD:new/deep"] {
            let ran = push(scene, server, &all_but(what));
            assert_eq!(server.refs(scene), before, "{what}: {}", ran.stderr);
            let told = &ran.stdout;
            assert!(
                told.contains("what it builds upon is not known") && told.contains("gate/push"),
                "{what}: {told}"
            );
        }
    });
}

/// Packs that are small and grow, made by hand: `bomb KIND NAME COMMIT` writes the push that carries one.
const BOMB: &str = r#"cat > bomb.py <<'END'
import hashlib, struct, sys, zlib

MIB = 1 << 20

def head(kind, size):
    byte, out = kind << 4 | size & 15, b""
    size >>= 4
    while size:
        out += bytes([byte | 128])
        byte, size = size & 127, size >> 7
    return out + bytes([byte])

def number(size):
    out = b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])

def back(distance):
    out, distance = [distance & 127], distance >> 7
    while distance:
        out, distance = [128 | distance - 1 & 127, *out], distance - 1 >> 7
    return bytes(out)

def zeros(size):
    """So many of them, compressed by repeating a piece."""
    one = zlib.compressobj(9)
    begin = one.compress(bytes(MIB)) + one.flush(zlib.Z_FULL_FLUSH)
    again = one.compress(bytes(MIB)) + one.flush(zlib.Z_FULL_FLUSH)
    end = one.flush()[:-4] + struct.pack(">I", size % 65521 << 16 | 1)
    return begin + again * (size // MIB - 1) + end

def difference(before, after):
    """Made of pieces of what was there before."""
    words, at = number(before) + number(after), 0
    while at < after:
        size = min(after - at, before, 0xffffff)
        words += b"\xff" + struct.pack("<I", 0) + struct.pack("<I", size)[:3]
        at += size
    return words

def chain(sizes):
    entries, before, last = [head(3, sizes[0]) + zlib.compress(bytes(sizes[0]))], sizes[0], None
    for number, after in enumerate(sizes[1:]):
        words = difference(before, after)
        if before == after:
            # Each is another.
            words = words[:-8] + words[-8:-3] + struct.pack("<I", before - 4)[:3] + b"\x04" + struct.pack("<I", number)
        entries.append(head(6, len(words)) + back(len(entries[-1])) + zlib.compress(words))
        before = after
    return entries

def named(entries):
    """The same by names, which nobody knows before they were made."""
    content, made = bytes(100), entries[:1]
    for number in range(len(entries) - 1):
        base = hashlib.sha1(b"blob 100\0" + content).digest()
        content = content[:96] + struct.pack("<I", number)
        words = b"dd\xff" + bytes(4) + b"\x60\0\0\x04" + content[96:]
        made.append(head(7, len(words)) + base + zlib.compress(words))
    return made

kind, name, new = sys.argv[1:]
entries = {
    "small": lambda: chain([MIB, 2 * MIB]),
    "inflated": lambda: [head(3, 4096 * MIB) + zeros(4096 * MIB)],
    "many": lambda: [head(3, (100 + n) * MIB) + zeros((100 + n) * MIB) for n in range(30)],
    "said": lambda: [head(3, 4096 * MIB) + zlib.compress(b"x")],
    "doubled": lambda: chain([MIB << n for n in range(13)]),
    "directory": lambda: [head(2, 1024 * MIB) + zeros(1024 * MIB)],
    "commit": lambda: [head(1, 1024 * MIB) + zeros(1024 * MIB)],
    "deep": lambda: chain([100] * 5_000),
    "named": lambda: named(chain([100] * 66_000)),
    "held": lambda: chain([MIB] * 400),
    "long": lambda: [head(3, 300 * MIB) + zeros(300 * MIB)],
    "upon": lambda: chain([40 * MIB, 41 * MIB]),
}[kind]()
pack = b"PACK" + struct.pack(">II", 2, len(entries)) + b"".join(entries)
line = f"{'0' * 40} {new} {name}\0 report-status".encode()
with open("body", "wb") as file:
    file.write(b"%04x%b0000%b%b" % (len(line) + 4, line, pack, hashlib.sha1(pack).digest()))
print(kind, len(pack) >> 10, "KiB")
END
bomb() { /usr/bin/python3 bomb.py "$@"; }
"#;

#[test]
fn what_grows_in_the_gate_is_not_read_and_the_gate_does_not_grow() {
    with_server(|scene, server| {
        let before = (server.refs(scene), objects(scene, server));
        for kind in [
            "inflated",
            "many",
            "said",
            "doubled",
            "directory",
            "commit",
            "deep",
            "named",
            "held",
        ] {
            let script = format!(
                "{BODY}{BOMB}bomb {kind} refs/heads/$own/x $(git rev-parse HEAD); post < body"
            );
            let begun = std::time::Instant::now();
            let (ran, memory) = watching(|| push(scene, server, &script));
            println!(
                "{kind}: {} KiB of no file's, {:?}",
                memory.1,
                begun.elapsed()
            );
            let now = (server.refs(scene), objects(scene, server));
            assert_eq!(now, before, "{kind}: {}", ran.stderr);
            assert!(
                ran.stdout.contains("agentguard: ") && ran.stdout.contains("gate/push"),
                "{kind}: {}{}",
                ran.stdout,
                ran.stderr
            );
            assert!(
                memory.1 > 0 && memory.1 < 128 << 10,
                "{kind}: {} KiB",
                memory.1
            );
        }
        let upon =
            format!("{BODY}{BOMB}bomb upon refs/heads/$own/x $(git rev-parse HEAD); post < body");
        let ran = push(scene, server, &upon);
        let now = (server.refs(scene), objects(scene, server));
        assert_eq!(now, before, "{}", ran.stderr);
        assert!(
            ran.stdout.contains("core.bigFileThreshold"),
            "{}",
            ran.stdout
        );
        let small =
            format!("{BODY}{BOMB}bomb small refs/heads/$own/x $(git rev-parse HEAD); post < body");
        let ran = push(scene, server, &small);
        assert!(
            server.refs(scene).contains("/x "),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
    });
}

#[test]
fn a_pack_that_is_too_large_is_refused_in_gits_own_words() {
    with_server(|scene, server| {
        let before = (server.refs(scene), objects(scene, server));
        let commit = "git config core.compression 0; git config core.bigFileThreshold 1m\n\
             for n in $(seq 26); do (echo $n; head -c 20M /dev/zero) > big$n; done; git add .; git commit -qm big";
        assert_eq!(scene.run_bare(&["sh", "-ec", commit]).code, Some(0));
        let script = "git push origin HEAD:refs/heads/$own/x || true";
        let (ran, memory) = watching(|| push(scene, server, script));
        let now = (server.refs(scene), objects(scene, server));
        assert_eq!(now, before, "{}", ran.stderr);
        for told in [
            "larger than 512 MiB",
            "push in smaller steps",
            "[remote rejected]",
        ] {
            assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
        }
        assert!(memory.1 > 0 && memory.1 < 64 << 10, "{} KiB", memory.1);
    });
}

#[test]
fn a_file_that_is_too_large_to_be_held_is_judged_by_its_name() {
    with_server(|scene, server| {
        let before = server.refs(scene);
        let begin = "git() { command git -c core.compression=0 -c core.bigFileThreshold=16m \"$@\"; }\n\
             head -c 50M /dev/urandom > big; git add big; git commit -qm big\n";
        // Where it stands is judged as ever.
        let evil = format!(
            "{begin}inner=$(printf '100644 blob %s\\tconfig.yml\\n' $(git rev-parse HEAD:big) | git mktree)\n\
             tree=$( (git ls-tree HEAD; printf '040000 tree %s\\t.circleci\\n' $inner) | git mktree)\n\
             wire $(git commit-tree -p HEAD -m x $tree):refs/heads/$own/x"
        );
        let ran = push(scene, server, &evil);
        assert_eq!(server.refs(scene), before, "{}", ran.stderr);
        assert_eq!(refused_by(scene), ["push/pipeline"], "{}", ran.stderr);
        let (ran, (all, anonymous)) = watching(|| {
            push(
                scene,
                server,
                "wire HEAD:refs/heads/$own/x\ngit rev-parse HEAD:big",
            )
        });
        assert!(
            server.refs(scene).contains("/x "),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
        let words = ["cat-file", "-s", ran.stdout.lines().last().unwrap()];
        let size = git_of(scene, &server.repository, &words);
        assert_eq!(size.trim(), (50 << 20).to_string());
        println!(
            "a gate holds {} MiB at most, {} MiB of it no file's",
            all >> 10,
            anonymous >> 10
        );
        assert!(all > 0 && all < 160 << 10, "{all} KiB");
        assert!(anonymous < 32 << 10, "{anonymous} KiB");
        let long = format!(
            "{BODY}{BOMB}bomb long refs/heads/$own/long $(git rev-parse HEAD~1); post < body"
        );
        let (ran, (_, anonymous)) = watching(|| push(scene, server, &long));
        assert!(
            server.refs(scene).contains("/long "),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
        assert!(anonymous < 32 << 10, "{anonymous} KiB");
    });
}

/// What lies in the server's repository.
fn objects(scene: &Scene, server: &Server) -> String {
    let at = server.repository.join("objects").display().to_string();
    scene.run_bare(&["find", &at, "-type", "f"]).stdout
}
