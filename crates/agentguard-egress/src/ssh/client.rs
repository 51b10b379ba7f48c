//! OpenSSH's client, and all that it is told: nothing is left to files of anybody's, and nothing but one of git's two
//! commands is ever run.
//!
//! # References
//!
//! - ssh(1), ssh_config(5)

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::errand::Service;

/// Where it lies. It is not looked for anywhere else: a path is somebody's.
const PROGRAMS: [&str; 3] = ["/usr/bin/ssh", "/usr/local/bin/ssh", "/bin/ssh"];

/// What is fixed. What is not said here has defaults that take nothing from the surroundings once there is no file of
/// settings (`-F none`).
const OPTIONS: &[&str] = &[
    // Only this key, and nobody to be asked.
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "AddKeysToAgent=no",
    "PreferredAuthentications=publickey",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "GSSAPIAuthentication=no",
    "HostbasedAuthentication=no",
    "EnableSSHKeysign=no",
    // Only a host with a key that was known before.
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "CheckHostIP=no",
    "NoHostAuthenticationForLocalhost=no",
    // Only to this address, by nothing in between.
    "CanonicalizeHostname=no",
    "ProxyCommand=none",
    "ProxyJump=none",
    "ControlMaster=no",
    "ControlPath=none",
    "ControlPersist=no",
    // Nothing but one command: no way back from there, and nothing that is run here.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "EscapeChar=none",
    "SendEnv=GIT_PROTOCOL",
    "LogLevel=ERROR",
    "ConnectionAttempts=1",
    // A server that is gone is known to be within a minute.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
];

/// What one conversation needs.
pub(super) struct Talk<'t> {
    /// By which name the host is known.
    pub(super) host: &'t str,
    pub(super) user: &'t str,
    pub(super) at: SocketAddr,
    pub(super) key: &'t Path,
    pub(super) known_hosts: &'t Path,
    pub(super) service: Service,
    /// As the server gets it.
    pub(super) repository: &'t str,
    pub(super) is_second: bool,
    pub(super) patience: Duration,
}

/// The path of a repository as a server gets it, between quotes. One that begins with `~` is below the home of its user.
///
/// # Errors
///
/// Returns why it is not said to any shell.
pub(super) fn path(segments: &[String]) -> Result<String, &'static str> {
    let (first, below) = match segments.split_first() {
        Some((first, rest)) if first == "~" => ("", rest),
        Some(_) | None => ("/", segments),
    };
    if below.is_empty() {
        return Err("its path names no repository");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~+@=,:-".contains(c);
    for segment in below {
        // What begins with a dash is an option to somebody.
        if segment.is_empty() || segment.starts_with(['-', '~']) || !segment.chars().all(is_plain) {
            return Err(
                "the path of a repository is said to a shell there: letters, digits and `._~+@=,:-`, none of them first that means something else",
            );
        }
        if segment == "." || segment == ".." {
            return Err("its path leads elsewhere than it says");
        }
    }
    Ok(format!("{first}{}", below.join("/")))
}

/// Refuses a path that is not said to any server.
///
/// # Errors
///
/// Returns why not.
pub(crate) fn quotable(segments: &[String]) -> Result<(), &'static str> {
    path(segments).map(|_| ())
}

/// Finds the client.
pub(super) fn program<'p>(programs: impl IntoIterator<Item = &'p str>) -> Option<PathBuf> {
    let mut programs = programs.into_iter().map(PathBuf::from);
    programs.find(|program| program.is_file())
}

/// The client, as it is installed.
pub(super) fn installed() -> Option<PathBuf> {
    program(PROGRAMS)
}

/// All that it is told.
fn arguments(talk: &Talk<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["-F", "none"].map(Into::into).into();
    let mut say = |option: OsString| arguments.extend([OsString::from("-o"), option]);
    OPTIONS.iter().for_each(|option| say(option.into()));
    say(format!("ConnectTimeout={}", talk.patience.as_secs().max(1)).into());
    say(format!("HostKeyAlias={}", talk.host).into());
    say(format!("Hostname={}", talk.at.ip()).into());
    say(format!("Port={}", talk.at.port()).into());
    say(format!("User={}", talk.user).into());
    for (name, file) in [
        ("IdentityFile", talk.key),
        ("UserKnownHostsFile", talk.known_hosts),
    ] {
        // It is a list, in which `%` stands for something.
        let file = file.as_os_str().as_bytes().to_vec();
        let file = file.iter().flat_map(|byte| match byte {
            b'%' => b"%%".to_vec(),
            byte => vec![*byte],
        });
        let quoted: Vec<u8> = std::iter::once(b'"').chain(file).chain([b'"']).collect();
        let mut option = OsString::from(format!("{name}="));
        option.push(OsString::from_vec(quoted));
        say(option);
    }
    let (command, path) = (talk.service.command(), talk.repository);
    arguments.extend([
        "--".into(),
        talk.host.into(),
        format!("{command} '{path}'").into(),
    ]);
    arguments
}

/// Starts it.
pub(super) fn start(
    program: &Path,
    talk: &Talk<'_>,
    [stdin, stdout, stderr]: [OwnedFd; 3],
) -> std::io::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it is asked for what a permit was given for, and looked at against that"
    )]
    let mut command = Command::new(program);
    command
        .args(arguments(talk))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        // A key that ends the guard is not for it to hear.
        .process_group(0)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr));
    if talk.is_second {
        command.env("GIT_PROTOCOL", "version=2");
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Result<String, &'static str> {
        let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
        super::path(&segments)
    }

    #[test]
    fn a_path_is_said_as_it_is_or_not_at_all() {
        assert_eq!(of("o/r.git").as_deref(), Ok("/o/r.git"));
        assert_eq!(of("~/o/r.git").as_deref(), Ok("o/r.git"));
        assert_eq!(of("srv/git/a_b+c@d").as_deref(), Ok("/srv/git/a_b+c@d"));
        for bad in [
            "",
            "~",
            "~root/r.git",
            "-r.git",
            "o/-oProxyCommand=x",
            "~/--upload-pack=x",
            "o/../r",
            "o/./r",
            "o//r",
            "o/r'; id; '",
            "o/r\nid",
            "o/$(id)",
            "o/`id`",
            "o/r git",
            "o/r\\",
            "o/r\0",
            "o/r\"",
            "o/r;id",
            "o/!r",
            "o/*",
            "o/ä",
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    fn words() -> Vec<String> {
        let talk = Talk {
            host: "git.test",
            user: "git",
            at: ([203, 0, 113, 7], 2222).into(),
            key: Path::new("/a %d/k"),
            known_hosts: Path::new("/a %d/h"),
            service: Service::ReceiveNothing,
            repository: "/o/r.git",
            is_second: false,
            patience: Duration::from_secs(15),
        };
        let words = arguments(&talk).into_iter();
        words.map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn all_that_is_run_there_is_one_command_with_one_path() {
        let all = words();
        assert_eq!(all[..2], ["-F", "none"]);
        let end: Vec<_> = all.iter().rev().take(3).map(String::as_str).collect();
        assert_eq!(end, ["git-receive-pack '/o/r.git'", "git.test", "--"]);
        for option in [
            "IdentityFile=\"/a %%d/k\"",
            "UserKnownHostsFile=\"/a %%d/h\"",
        ] {
            assert!(all.iter().any(|word| word == option), "{option}");
        }
        assert_eq!(
            all.iter().filter(|word| *word == "-o").count(),
            OPTIONS.len() + 7
        );
    }

    /// What settings of somebody's would say that want the opposite of all of it.
    const OPPOSITE: &str = "\
        BatchMode no\nIdentitiesOnly no\nIdentityAgent /x\nAddKeysToAgent yes\nPreferredAuthentications password\n\
        PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nGSSAPIAuthentication yes\nUser x\nPort 9\n\
        HostbasedAuthentication yes\nEnableSSHKeysign yes\nStrictHostKeyChecking no\nGlobalKnownHostsFile /x\n\
        UpdateHostKeys yes\nVerifyHostKeyDNS yes\nCheckHostIP yes\nNoHostAuthenticationForLocalhost yes\n\
        CanonicalizeHostname always\nProxyCommand /x\nProxyJump x\nControlMaster auto\nControlPath /x\n\
        ControlPersist yes\nClearAllForwardings no\nForwardAgent yes\nForwardX11 yes\nTunnel yes\n\
        PermitLocalCommand yes\nRequestTTY force\nEscapeChar !\nSendEnv X\nLogLevel DEBUG\nHostname x\n\
        ConnectionAttempts 9\nServerAliveInterval 0\nServerAliveCountMax 9\nConnectTimeout 9\nHostKeyAlias x\n";

    /// What holds all the same, in OpenSSH's words.
    const TOLD: [&str; 36] = [
        "hostname 203.0.113.7",
        "port 2222",
        "user git",
        "hostkeyalias git.test",
        "connecttimeout 15",
        "batchmode yes",
        "identitiesonly yes",
        "identityagent none",
        "addkeystoagent false",
        "preferredauthentications publickey",
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "gssapiauthentication no",
        "hostbasedauthentication no",
        "enablesshkeysign no",
        "stricthostkeychecking true",
        "globalknownhostsfile none",
        "updatehostkeys false",
        "verifyhostkeydns false",
        "checkhostip no",
        "nohostauthenticationforlocalhost no",
        "canonicalizehostname false",
        "controlmaster false",
        "controlpersist no",
        "clearallforwardings yes",
        "forwardagent no",
        "forwardx11 no",
        "tunnel false",
        "permitlocalcommand no",
        "requesttty false",
        "escapechar none",
        "sendenv GIT_PROTOCOL",
        "loglevel ERROR",
        "connectionattempts 1",
        "serveraliveinterval 15",
        "serveralivecountmax 3",
    ];

    /// OpenSSH itself says what it makes of its words.
    #[test]
    fn what_is_told_holds_whatever_settings_say() {
        let file = std::env::temp_dir().join(format!("agentguard-ssh-{}", std::process::id()));
        std::fs::write(&file, OPPOSITE).unwrap();
        let mut words = words();
        words[1] = file.to_str().unwrap().to_owned();
        #[expect(clippy::disallowed_methods, reason = "it says what it would do")]
        let output = Command::new(installed().unwrap())
            .arg("-G")
            .args(words)
            .output();
        std::fs::remove_file(&file).unwrap();
        let told = String::from_utf8(output.unwrap().stdout).unwrap();
        let told: Vec<_> = told.lines().collect();
        for line in TOLD {
            assert!(told.contains(&line), "{line}: {told:?}");
        }
        for none in ["proxycommand", "proxyjump", "controlpath"] {
            let is_said = |line: &&str| line.split(' ').next() == Some(none);
            assert!(!told.iter().any(is_said), "{none}: {told:?}");
        }
    }

    #[test]
    fn a_client_is_found_where_it_is() {
        assert_eq!(program(["/nowhere/ssh"]), None);
        assert_eq!(program(["/nowhere/ssh", "/bin/sh"]), Some("/bin/sh".into()));
    }
}
