//! From what failed, and what surrounds it, to a cause and one remedy.

use super::finding::{Answer, What};
use super::surroundings::Surroundings;
use crate::error::Failure;

const NEWER: &str = "boot Linux 6.2 or newer";
/// The first Linux that has scopes in its Landlock.
const SCOPED: (u32, u32) = (6, 12);
const CONTAINER: &str = "start the container with `--security-opt seccomp=unconfined --security-opt \
                         apparmor=unconfined --security-opt systempaths=unconfined`";
const OUTSIDE: &str = "run it outside of that session";

/// Why `failure` came about, and what to do.
pub(super) fn explain(what: What, failure: &Failure, around: &Surroundings) -> Answer {
    let told = known(what, failure, around).unwrap_or_else(|| unknown(failure, around));
    Answer::Missing {
        cause: told.cause,
        remedy: told.remedy,
    }
}

struct Told {
    cause: String,
    remedy: String,
}

fn told(cause: impl Into<String>, remedy: impl Into<String>) -> Option<Told> {
    Some(Told {
        cause: cause.into(),
        remedy: remedy.into(),
    })
}

fn known(what: What, failure: &Failure, around: &Surroundings) -> Option<Told> {
    let errno = failure.errno.unwrap_or(0);
    if around.is_inside {
        let cause =
            "this runs inside a session of agentguard already, and a process has one supervisor";
        return told(cause, OUTSIDE);
    }
    match what {
        What::Outermost => None,
        What::Kernel => told(
            format!(
                "this is Linux {}; what distributions added to it is found below",
                around.release
            ),
            NEWER,
        ),
        What::NoNewPrivileges => filtered(around),
        What::Ordinary => told(
            "root can show its files to no other user without mounts, and an agent must not be root",
            "start agentguard as an ordinary user that owns the workspace",
        ),
        What::Users => users(around),
        What::Owners => owners(failure, errno),
        What::UserNamespaces | What::Namespaces | What::Mounts => namespaces(what, errno, around),
        What::Proc => covered(errno, around).or_else(|| namespaces(what, errno, around)),
        What::Tracing => tracing(errno, around, 3),
        What::TracingBeside => tracing(errno, around, 2),
        What::Landlock => landlock(errno, around),
        What::Scopes => scopes(errno, around),
        What::Notifications => notifications(errno, around),
        What::Images => images(failure, around),
        What::Gate => gate(failure, around),
        What::Ipv6 => told(
            format!(
                "cannot {}: {}; programs inside have IPv4 only, and so has the way to hosts that are granted",
                failure.step, failure.reason
            ),
            "boot without `ipv6.disable=1`, and set `net.ipv6.conf.all.disable_ipv6=0`",
        ),
        What::Keyring => keyring(errno, around),
        What::Limits => told(
            format!(
                "{}; each process is limited on its own, and temporary files",
                failure.reason
            ),
            "start it below a cgroup that is yours, as `systemd-run --user --scope -p Delegate=yes` makes one",
        ),
    }
}

fn gate(failure: &Failure, around: &Surroundings) -> Option<Told> {
    let without = "a session that is granted hosts reaches them at ports 80, 443 and those that grants name, and no others";
    if around.is_filtered {
        let told = filtered(around)?;
        return Some(Told {
            cause: format!("{}; {without}", told.cause),
            ..told
        });
    }
    told(
        format!("cannot {}: {}; {without}", failure.step, failure.reason),
        "have root load what the kernel has as modules: `modprobe -a nf_tables nft_chain_nat nft_redir`",
    )
}

fn keyring(errno: i32, around: &Surroundings) -> Option<Told> {
    let instead =
        "neither `--keep keyring` nor `--from-keyring` can be used, and tokens are kept in files";
    let (cause, remedy) = match (filtered(around), errno) {
        (Some(found), _) => (found.cause, found.remedy),
        (None, libc::ENOSYS) => (
            "the kernel was built without keyrings (CONFIG_KEYS)".to_owned(),
            "keep tokens by `--keep age`, which encrypts them".to_owned(),
        ),
        (None, _) => return None,
    };
    told(format!("{cause}; {instead}"), remedy)
}

/// What nobody foresaw: the words of the kernel.
fn unknown(failure: &Failure, around: &Surroundings) -> Told {
    if let Some(found) = filtered(around) {
        return found;
    }
    let cause = format!("the kernel refuses: {}: {}", failure.step, failure.reason);
    let remedy = match around.is_old() {
        true => NEWER,
        false => {
            "ask whoever runs this machine what forbids it; `strace -f agentguard doctor` shows the call"
        }
    };
    Told {
        cause,
        remedy: remedy.to_owned(),
    }
}

fn filtered(around: &Surroundings) -> Option<Told> {
    if !around.is_filtered {
        return None;
    }
    if around.is_contained {
        return told("the container's seccomp filter refuses it", CONTAINER);
    }
    told(
        "a seccomp filter around this process refuses it",
        "start agentguard outside of what installs the filter, or let that allow it",
    )
}

fn users(around: &Surroundings) -> Option<Told> {
    filtered(around).or_else(|| {
        told(
            "root here may become no other user",
            "start agentguard as an ordinary user",
        )
    })
}

fn owners(failure: &Failure, errno: i32) -> Option<Told> {
    let remedy = "start agentguard as an ordinary user that owns the workspace";
    match errno {
        libc::EINVAL => told(
            format!(
                "cannot {}: the filesystem supports no idmapped mounts",
                failure.step
            ),
            remedy,
        ),
        libc::EPERM => told(
            format!(
                "cannot {}: root here has too few capabilities (CAP_SYS_ADMIN)",
                failure.step
            ),
            remedy,
        ),
        _ => None,
    }
}

fn namespaces(what: What, errno: i32, around: &Surroundings) -> Option<Told> {
    let is_refused = matches!(errno, libc::EPERM | libc::EACCES);
    if errno == libc::ENOSPC
        && let Some(kind) = around.none_of.first()
    {
        return told(
            format!("`user.max_{kind}_namespaces` is 0, which forbids them"),
            format!("`sudo sysctl -w user.max_{kind}_namespaces=15000`"),
        );
    }
    if errno == libc::ENOSPC || errno == libc::EUSERS {
        return told(
            "as many namespaces as may be are there, or this is 32 user namespaces deep",
            "start agentguard outside of other sandboxes, or raise `user.max_user_namespaces`",
        );
    }
    if is_refused && around.userns_clone == Some(0) {
        return told(
            "`kernel.unprivileged_userns_clone` is 0, which forbids user namespaces",
            "`sudo sysctl -w kernel.unprivileged_userns_clone=1`",
        );
    }
    if is_refused && around.apparmor == Some(1) {
        return told(
            "AppArmor allows user namespaces only to programs with a profile \
             (`kernel.apparmor_restrict_unprivileged_userns` is 1)",
            apparmor_profile(around.program.as_deref()),
        );
    }
    if is_refused && around.is_chroot && what == What::UserNamespaces {
        return told(
            "this process lives in a chroot, where the kernel makes no user namespaces",
            "start agentguard outside of it, or enter it by `pivot_root`",
        );
    }
    filtered(around).or_else(|| match errno {
        libc::EINVAL | libc::ENOSYS if what == What::UserNamespaces => told(
            "the kernel was built without user namespaces (CONFIG_USER_NS)",
            "boot a kernel that has them",
        ),
        libc::EINVAL if what == What::Mounts => told(
            "the root lies on a ramfs, as in an initramfs, and cannot be changed for another",
            "start agentguard after `switch_root`",
        ),
        _ => None,
    })
}

/// The profile that lets this one program make user namespaces, and the command that loads it.
fn apparmor_profile(program: Option<&str>) -> String {
    let Some(program) = program else {
        return "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`".to_owned();
    };
    format!(
        "`printf 'abi <abi/4.0>,\\nprofile agentguard {program} flags=(unconfined) {{ userns, }}\\n' | \
         sudo tee /etc/apparmor.d/agentguard && sudo apparmor_parser -r /etc/apparmor.d/agentguard`"
    )
}

fn covered(errno: i32, around: &Surroundings) -> Option<Told> {
    let first = around.over_proc.first().filter(|_| errno == libc::EPERM)?;
    let others = match around.over_proc.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let cause = format!(
        "`{first}`{others} is covered, as containers do it, and the kernel then mounts no `/proc` anew"
    );
    let remedy = match around.is_contained {
        true => CONTAINER,
        false => "start agentguard where nothing is mounted below `/proc`",
    };
    told(cause, remedy)
}

/// Yama lets nobody trace from 3 on, and from 2 on only who has a capability.
fn tracing(errno: i32, around: &Surroundings, least: u64) -> Option<Told> {
    let scope = around.yama.filter(|scope| *scope >= least);
    if let (libc::EPERM | libc::EACCES, Some(scope)) = (errno, scope) {
        if scope == 2 {
            return told(
                "Yama lets nobody trace but who has a capability (`kernel.yama.ptrace_scope` is 2)",
                "`sudo sysctl -w kernel.yama.ptrace_scope=1`, or run at level `full`, which needs none",
            );
        }
        return told(
            format!("Yama forbids tracing altogether (`kernel.yama.ptrace_scope` is {scope})"),
            "set `kernel.yama.ptrace_scope=2` in `/etc/sysctl.d` and boot anew: 3 cannot be undone before",
        );
    }
    filtered(around)
}

fn landlock(errno: i32, around: &Surroundings) -> Option<Told> {
    if around.is_old() {
        return told(
            format!("Linux {} has too old a Landlock", around.release),
            NEWER,
        );
    }
    let modules = around.modules.as_deref();
    let is_off = modules.is_some_and(|list| !list.split(',').any(|one| one == "landlock"));
    if errno == libc::EOPNOTSUPP || is_off {
        let add = modules.unwrap_or("...");
        return told(
            "Landlock is not among the security modules that the kernel was booted with",
            format!("boot with `lsm=landlock,{add}` on the kernel's command line"),
        );
    }
    filtered(around).or_else(|| match errno {
        libc::ENOSYS => told(
            "the kernel was built without Landlock (CONFIG_SECURITY_LANDLOCK)",
            "boot a kernel that has it",
        ),
        _ => None,
    })
}

/// Where the kernel is new enough, Landlock itself is what is missing.
fn scopes(errno: i32, around: &Surroundings) -> Option<Told> {
    if around.version.is_some_and(|version| version >= SCOPED) {
        return landlock(errno, around);
    }
    told(
        format!(
            "Linux {} is older than 6.12; at level `full` other processes are kept apart by namespaces",
            around.release
        ),
        "boot Linux 6.12 or newer",
    )
}

fn notifications(errno: i32, around: &Surroundings) -> Option<Told> {
    if errno == libc::EBUSY {
        return told(
            "another supervisor asks about this process's system calls already, and there can be one",
            "start agentguard outside of it",
        );
    }
    if around.is_old() && errno == libc::EINVAL {
        return told(
            format!(
                "Linux {} has no killable notifications, which came with 5.19",
                around.release
            ),
            NEWER,
        );
    }
    filtered(around).or_else(|| match errno {
        libc::ENOSYS | libc::EINVAL => told(
            "the kernel was built without seccomp filters (CONFIG_SECCOMP_FILTER)",
            "boot a kernel that has them",
        ),
        _ => None,
    })
}

fn images(failure: &Failure, around: &Surroundings) -> Option<Told> {
    if failure.errno.is_none() {
        return told(
            format!(
                "Linux {} lets programs be written to while they run",
                around.release
            ),
            "boot Linux 6.13 or newer, where it is refused again",
        );
    }
    filtered(around)
}

#[cfg(test)]
mod tests;
