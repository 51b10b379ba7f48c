//! Tokens that were handed over, where they are kept: out of reach of sessions, and gone when they are taken back.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::lent::{TOKEN, credential};
use crate::scene::{Ran, Scene, as_everyone};

const POLICY: &str = "package agentguard.sandbox\n\nhosts contains \"api.test\"\n\n\
                      addresses contains {\"host\": \"api.test\", \"at\": \"127.0.0.1:1\"}\n\n\
                      credentials contains \"lent\"\n";

/// Adds a credential whose token is kept as these words say.
fn add(scene: &Scene, name: &str, keep: &[&str]) {
    let words = ["add", name, "--host=api.test", "--variable=LENT"];
    let ran = credential(scene, &[&words, keep].concat(), TOKEN);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

/// Takes them back when dropped: a key outlives the home that it is described in.
struct TakenBack<'s>(&'s Scene, &'s [&'s str]);

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        for name in self.1 {
            credential(self.0, &["revoke", name], "");
        }
    }
}

/// What stands for it inside, if it is lent.
fn lent(ran: &Ran) -> Option<&str> {
    let value = ran
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("LENT="));
    value.filter(|value| !value.is_empty())
}

/// A credential's key in the kernel's keyring, by its description and number, as its user sees it outside.
fn key(scene: &Scene, name: &str) -> Option<(String, String)> {
    let ran = scene.run_bare(&["cat", "/proc/keys"]);
    let start = format!("agentguard:{name}:");
    ran.stdout.lines().find_map(|line| {
        let description = line
            .split_whitespace()
            .find(|word| word.starts_with(&start))?;
        // Another test of this user may have one of the same name: ours is described in this home.
        let description = description.trim_end_matches(':');
        let kept = scene.root.join(format!(
            "home/.local/state/agentguard/credentials/{name}.json"
        ));
        // One that was taken back is shown until the kernel gets round to it.
        let is_over = line.split_whitespace().nth(1)?.ends_with('i');
        let id = description.strip_prefix(&start)?;
        fs::read_to_string(kept)
            .unwrap()
            .contains(id)
            .then_some(())?;
        if is_over {
            return None;
        }
        let number = u32::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        Some((description.to_owned(), number.to_string()))
    })
}

/// The same command with an empty keyring for its session, as service managers start theirs.
fn apart(scene: &Scene, command: &Command) -> Command {
    let mut apart = scene.command(scene.work().join("attack"));
    apart
        .arg("apart")
        .arg(command.get_program())
        .args(command.get_args());
    apart
}

/// Whether a file below `directory` holds the token.
fn holds_token(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds_token(&path);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes
            .windows(TOKEN.len())
            .any(|part| part == TOKEN.as_bytes())
    })
}

#[test]
fn a_key_in_the_kernels_keyring_is_out_of_reach_of_a_session() {
    as_everyone(|scene| {
        let _taken_back = TakenBack(scene, &["lent", "other"]);
        add(scene, "lent", &["--keep=keyring"]);
        add(scene, "other", &["--keep=keyring"]);
        assert!(!holds_token(&scene.root.join("home")));
        let outside = {
            let (description, number) = key(scene, "other").unwrap();
            scene.run_bare(&["./attack", "keys", &description, &number])
        };
        let (description, number) = key(scene, "lent").unwrap();
        let inside = scene
            .run(&["./attack", "keys", &description, &number])
            .tried();
        let again = scene.run_with(&[&scene.policy(POLICY)], &["sh", "-c", "echo LENT=$LENT"]);
        // Who is not confined reads it, and puts another in its place.
        let outside = outside.tried();
        for way in [
            "search-user",
            "link-user",
            "read-again",
            "replace",
            "/proc/keys",
        ] {
            assert_eq!(outside.result(way), "ok", "{way}");
        }
        assert_eq!(inside.result("was-read"), "nothing");
        // How it is called is told to whoever is the same user, whatever namespaces that is in.
        let told = match scene.is_ordinary() {
            true => "ok",
            false => "absent",
        };
        for file in ["/proc/keys", "/proc/key-users"] {
            assert_eq!(inside.result(file), told);
        }
        let others = ["was-read", "/proc/keys", "/proc/key-users"];
        let doors = ["x32-read", "int80-read"];
        if cfg!(target_arch = "x86_64") {
            let results = doors.map(|door| inside.result(door));
            assert_eq!(results, ["ENOSYS", "killed"]);
        }
        inside.all_are(&["EPERM"], &[&others[..], &doors].concat());
        // It is what it was: the guard lends it.
        assert!(
            lent(&again).is_some_and(|lent| lent != TOKEN),
            "{}",
            again.stdout
        );
    });
}

#[test]
fn a_token_in_the_keyring_is_lent_to_services_too_until_it_is_taken_back() {
    as_everyone(|scene| {
        let _taken_back = TakenBack(scene, &["lent"]);
        add(scene, "lent", &["--keep=keyring"]);
        let policy = scene.policy(POLICY);
        let exec = || scene.exec(&[&policy], &["sh", "-c", "echo LENT=$LENT"]);
        let ran = scene.run_command(apart(scene, &exec()));
        let list = || credential(scene, &["list"], "").stdout;
        let listed = list();
        // Somebody empties the keyring, as a restart does.
        let (description, number) = key(scene, "lent").unwrap();
        let emptied = scene.run_bare(&["./attack", "forget", &number]);
        let gone = (list(), scene.run_command(exec()));
        // Nobody has to take back what is gone.
        add(scene, "lent", &["--keep=keyring"]);
        let (another, _) = key(scene, "lent").unwrap();
        assert_eq!(credential(scene, &["revoke", "lent"], "").code, Some(0));
        assert_eq!(key(scene, "lent"), None);
        assert!(lent(&ran).is_some(), "{}", ran.stderr);
        assert!(!listed.contains("gone"), "{listed}");
        assert_eq!(emptied.code, Some(0));
        assert!(gone.0.contains("it is gone from there"), "{}", gone.0);
        assert_eq!(lent(&gone.1), None);
        let told = "`lent` is not lent: the token is gone from where it was kept";
        assert!(gone.1.stderr.contains(told), "{}", gone.1.stderr);
        assert_ne!(description, another);
    });
}

#[test]
fn a_token_that_is_encrypted_lies_nowhere_and_is_lent_while_its_identity_is_there() {
    as_everyone(|scene| {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/age");
        let text = fs::read_to_string(vectors.join("identity")).unwrap();
        let identity = scene.write("outside/identity", &text);
        let set = |mode: &str| {
            let ran = scene.run_bare(&["chmod", mode, &identity.display().to_string()]);
            assert_eq!(ran.code, Some(0));
        };
        let named = format!("--identity={}", identity.display());
        let words = ["add", "lent", "--host=api.test", "--keep=age", &named];
        let open = credential(scene, &words, TOKEN);
        assert!(open.stderr.contains("is open to others"), "{}", open.stderr);
        set("600");
        add(scene, "lent", &["--keep=age", &named]);
        assert!(!holds_token(&scene.root.join("home")));
        let policy = scene.policy(POLICY);
        let run = || scene.run_with(&[&policy], &["sh", "-c", "echo LENT=$LENT"]);
        assert!(lent(&run()).is_some_and(|lent| lent != TOKEN));
        // The tool itself opens the file, and so it is lent as what a command writes.
        let file = scene
            .root
            .join("home/.local/state/agentguard/credentials/lent.age");
        let file = file.display().to_string();
        let decrypt = ["age", "-d", "-i", &identity.display().to_string(), &file].join(" ");
        let opened = scene.run_bare(&["sh", "-c", &decrypt]);
        assert_eq!(
            opened.stdout, TOKEN,
            "this test needs `age`: {}",
            opened.stderr
        );
        let copied = scene.write("outside/lent.age", "");
        fs::copy(&file, &copied).unwrap();
        for path in [&identity, &copied] {
            scene.own(path);
        }
        assert_eq!(credential(scene, &["revoke", "lent"], "").code, Some(0));
        assert!(!Path::new(&file).exists());
        let decrypt = decrypt.replace(&file, &copied.display().to_string());
        add(scene, "lent", &["--from-command", &decrypt]);
        assert!(lent(&run()).is_some_and(|lent| lent != TOKEN));
        assert_eq!(credential(scene, &["revoke", "lent"], "").code, Some(0));
        // One that is plugged out is missed, and told.
        add(scene, "lent", &["--keep=age", &named]);
        fs::remove_file(&identity).unwrap();
        let without = run();
        assert_eq!(lent(&without), None);
        assert!(
            without.stderr.contains("`lent` is not lent"),
            "{}",
            without.stderr
        );
    });
}

/// The same command beside a desktop's keyring that is open, in which [`TOKEN`] lies: the home's own, so that it is
/// there again the next time.
fn on_a_desktop(scene: &Scene, command: &Command) -> Command {
    let mut desktop = scene.command("dbus-run-session");
    desktop
        .args(["--", "sh", "-c", DESKTOP, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env("TOKEN", TOKEN);
    desktop
}

const DESKTOP: &str = "set -e
mkdir -p \"$HOME/.local/share/keyrings\"
printf password | gnome-keyring-daemon --unlock --components=secrets --replace > /dev/null 2>&1
until dbus-send --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner \
    string:org.freedesktop.secrets | grep -q true; do
  sleep 0.02 # nothing tells that it has taken its name
done
printf %s \"$TOKEN\" | secret-tool store --label=lent service agentguard token lent
printf %s \"$DBUS_SESSION_BUS_ADDRESS\" > bus
unset TOKEN
\"$@\"
";

#[test]
fn a_token_in_the_desktops_keyring_is_lent_and_the_keyring_is_out_of_reach() {
    const LOOK: &str = "secret-tool lookup service agentguard token lent";
    as_everyone(|scene| {
        let outside =
            scene.run_command(on_a_desktop(scene, scene.command("sh").args(["-c", LOOK])));
        assert_eq!(
            outside.stdout, TOKEN,
            "this test needs `dbus-run-session`, `gnome-keyring-daemon` and `secret-tool`: {}",
            outside.stderr
        );
        // What it writes is looked at when it is added.
        let mut add = scene.command(scene.root.join("agentguard"));
        add.args(["credential", "add", "lent", "--host=api.test"]);
        add.args(["--variable=LENT", "--from-command", LOOK]);
        let added = scene.run_command(on_a_desktop(scene, &add));
        assert_eq!(added.code, Some(0), "{}", added.stderr);
        let inside = format!(
            "echo LENT=$LENT; export DBUS_SESSION_BUS_ADDRESS=\"$(cat bus)\"; \
             echo BUS=$DBUS_SESSION_BUS_ADDRESS; {LOOK}; echo $?"
        );
        let policy = scene.policy(POLICY);
        let ran = scene.run_command(on_a_desktop(
            scene,
            &scene.exec(&[&policy], &["sh", "-c", &inside]),
        ));
        assert!(
            lent(&ran).is_some_and(|lent| lent != TOKEN),
            "{}",
            ran.stderr
        );
        // It knows where the keyring is reached, and does not get there.
        let is_told = ran.stdout.lines().any(|line| line.starts_with("BUS=unix:"));
        assert!(is_told && ran.stdout.ends_with("\n1\n"), "{}", ran.stdout);
        assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN));
        // Without a desktop nobody has it, and that is told.
        let without = scene.run_with(&[&policy], &["sh", "-c", &inside]);
        assert_eq!(lent(&without), None);
        assert!(
            without.stderr.contains("`lent` is not lent"),
            "{}",
            without.stderr
        );
    });
}
