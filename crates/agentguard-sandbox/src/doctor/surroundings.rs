//! What can be read about this machine and this process. None of it decides anything: it only tells why
//! something that was tried does not hold.

use std::fs;
use std::path::{Path, PathBuf};

/// The first Linux in which everything that level `full` needs exists.
const LEAST_KERNEL: (u32, u32) = (6, 2);
/// How many of each kind of namespace there may be (namespaces(7)).
const COUNTS: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// What surrounds this process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Surroundings {
    /// The kernel, as it calls itself.
    pub(super) release: String,
    /// Its version, as far as that is one.
    pub(super) version: Option<(u32, u32)>,
    /// Whether a session of agentguard is around this process.
    pub(super) is_inside: bool,
    /// Whether a seccomp filter is.
    pub(super) is_filtered: bool,
    /// Whether a container is.
    pub(super) is_contained: bool,
    /// Whether the root is no mount of its own.
    pub(super) is_chroot: bool,
    /// Kinds of namespaces of which there may be none.
    pub(super) none_of: Vec<&'static str>,
    /// Debian's `kernel.unprivileged_userns_clone`.
    pub(super) userns_clone: Option<u64>,
    /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns`.
    pub(super) apparmor: Option<u64>,
    /// `kernel.yama.ptrace_scope`.
    pub(super) yama: Option<u64>,
    /// The security modules that run, where that can be read.
    pub(super) modules: Option<String>,
    /// What lies over `/proc` and below it.
    pub(super) over_proc: Vec<String>,
    /// This program's path, where it can be written into a shell line as it is.
    pub(super) program: Option<String>,
}

impl Surroundings {
    /// Reads them.
    pub(super) fn read() -> Self {
        let release = text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mounts = text("/proc/self/mountinfo").unwrap_or_default();
        let status = text("/proc/self/status").unwrap_or_default();
        let is_filtered = status.lines().any(|line| {
            line.strip_prefix("Seccomp:")
                .is_some_and(|mode| mode.trim() == "2")
        });
        let none_of = COUNTS
            .into_iter()
            .filter(|kind| number(&format!("/proc/sys/user/max_{kind}_namespaces")) == Some(0));
        Self {
            version: version(&release),
            release,
            is_inside: is_filtered && Path::new("/run/agentguard/rules").exists(),
            is_filtered,
            is_contained: ["/.dockerenv", "/run/.containerenv"]
                .iter()
                .any(|mark| Path::new(mark).exists()),
            is_chroot: !mounts.is_empty() && !places(&mounts).any(|place| place == "/"),
            none_of: none_of.collect(),
            userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            yama: number("/proc/sys/kernel/yama/ptrace_scope"),
            modules: text("/sys/kernel/security/lsm"),
            over_proc: over_proc(&mounts),
            program: fs::read_link("/proc/self/exe").ok().and_then(plain),
        }
    }

    /// Whether the kernel is older than what `full` builds on.
    pub(super) fn is_old(&self) -> bool {
        self.version.is_some_and(|version| version < LEAST_KERNEL)
    }
}

fn places(mounts: &str) -> impl Iterator<Item = &str> {
    mounts.lines().filter_map(|line| line.split(' ').nth(4))
}

/// What lies below `/proc`, or a second time at it. A filesystem that mounts itself there on access is
/// there on every machine.
fn over_proc(mounts: &str) -> Vec<String> {
    places(mounts)
        .filter(|place| place.starts_with("/proc/") && *place != "/proc/sys/fs/binfmt_misc")
        .map(str::to_owned)
        .collect()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim_end().to_owned())
}

fn number(path: &str) -> Option<u64> {
    text(path)?.parse().ok()
}

fn plain(path: PathBuf) -> Option<String> {
    let path = path.to_str()?;
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    path.chars().all(is_plain).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (release, is_old) in [
            ("6.1.0-44-cloud-amd64", true),
            ("5.19", true),
            ("6.2.0", false),
            ("6.18.44-fc", false),
            ("10.0", false),
            ("unheard-of", false),
        ] {
            let surroundings = Surroundings {
                version: version(release),
                ..Surroundings::default()
            };
            assert_eq!(surroundings.is_old(), is_old, "{release}");
        }
    }

    #[test]
    fn what_covers_proc_is_found_and_a_plain_proc_is_not() {
        let docker = "1 2 0:1 / /proc rw - proc proc rw\n3 1 0:2 / /proc/kcore rw - tmpfs tmpfs rw\n\
                      4 1 0:1 /sys /proc/sys ro - proc proc rw";
        assert_eq!(over_proc(docker), ["/proc/kcore", "/proc/sys"]);
        let plain = "1 2 0:1 / /proc rw - proc proc rw\n\
                     3 1 0:9 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw";
        assert!(over_proc(plain).is_empty());
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let surroundings = Surroundings::read();
        assert!(surroundings.version.is_some_and(|version| version > (3, 0)));
        assert!(!surroundings.is_chroot);
    }
}
