//! Nobody has to remember to look at a new kernel: these do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

use super::super::{ASKED, REFUSED, existing, numbers_inside};
use super::*;

/// The name as manual pages write it.
fn name_of(call: &Call) -> &'static str {
    call.1.strip_prefix("SYS_").unwrap_or(call.1)
}

/// Numbers and names that a kernel's header defines.
fn defined(header: &str) -> BTreeMap<libc::c_long, String> {
    let lines = header.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((number.trim().parse().ok()?, name.to_owned()))
    });
    lines.collect()
}

/// The header of this machine, as its compiler sees it.
#[expect(
    clippy::disallowed_methods,
    reason = "the compiler is the test's own tool"
)]
fn header() -> String {
    let compiler = Command::new("cc")
        .args(["-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        compiler.status.success(),
        "{}",
        String::from_utf8_lossy(&compiler.stderr)
    );
    String::from_utf8(compiler.stdout).unwrap()
}

/// Every number that somebody has put somewhere.
fn classified() -> BTreeSet<libc::c_long> {
    let mut numbers = numbers_inside();
    numbers.extend(ABSENT.iter().map(|absent| absent.call.0));
    numbers
}

/// The names among these that stand nowhere.
fn forgotten(kernel: &BTreeMap<libc::c_long, String>) -> Vec<&str> {
    let classified = classified();
    let missing = kernel
        .iter()
        .filter(|(number, _)| !classified.contains(number));
    missing.map(|(_, name)| name.as_str()).collect()
}

#[test]
fn every_call_of_the_kernel_is_classified() {
    let kernel = defined(&header());
    assert!(kernel.len() > 250, "that is no list of system calls");
    assert_eq!(forgotten(&kernel), Vec::<&str>::new());
    let more = defined("#define __NR_read 0\n#define __NR_brand_new 4711\n");
    assert_eq!(forgotten(&more), ["brand_new"]);
}

#[test]
fn every_call_has_the_number_of_its_name() {
    let kernel = defined(&header());
    let allowed = ALLOWED.iter().flat_map(|group| group.calls);
    for call in allowed.chain(ABSENT.iter().map(|absent| &absent.call)) {
        if let Some(name) = kernel.get(&call.0) {
            assert_eq!(name, name_of(call));
        }
    }
}

/// What the running kernel calls otherwise than its callers do, and calls of other interfaces that it was
/// built with.
const OTHER_NAMES: &[&str] = &[
    "fadvise64_64",
    "gethostname",
    "ipc",
    "llseek",
    "mmap_pgoff",
    "newfstat",
    "newlstat",
    "newstat",
    "newuname",
    "ni_syscall",
    "nice",
    "old_getrlimit",
    "old_msgctl",
    "old_readdir",
    "old_semctl",
    "old_shmctl",
    "oldumount",
    "olduname",
    "pciconfig_iobase",
    "pciconfig_read",
    "pciconfig_write",
    "recv",
    "rtas",
    "s390_ipc",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "send",
    "sendfile64",
    "sgetmask",
    "signal",
    "sigpending",
    "sigprocmask",
    "sigsuspend",
    "socketcall",
    "spu_create",
    "spu_run",
    "ssetmask",
    "statfs64",
    "fstatfs64",
    "stime",
    "subpage_prot",
    "sync_file_range2",
    "umount",
    "vm86",
    "vm86old",
    "waitpid",
];

/// The header may be older than the kernel, whose own symbols tell the rest.
#[cfg(target_arch = "x86_64")]
#[test]
fn every_call_of_the_running_kernel_is_classified() {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    assert!(
        symbols.contains(" __x64_sys_read"),
        "`/proc/kallsyms` does not tell the calls of this kernel"
    );
    let names = symbols
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("__x64_sys_"))
        .filter_map(|name| name.split('.').next());
    let is_of_this_interface = |name: &&str| {
        !name.ends_with("time32")
            && !name.ends_with("16")
            && !name.starts_with("ia32_")
            && !OTHER_NAMES.contains(name)
    };
    let allowed = ALLOWED.iter().flat_map(|group| group.calls);
    let listed = allowed.chain(ABSENT.iter().map(|absent| &absent.call));
    let mut known: BTreeSet<&str> = listed.map(name_of).collect();
    let header = defined(&header());
    let numbers = ASKED
        .iter()
        .map(|row| &row.number)
        .chain(REFUSED.iter().map(|row| &row.number));
    known.extend(numbers.filter_map(|number| header.get(number).map(String::as_str)));
    let missing: BTreeSet<&str> = names
        .filter(is_of_this_interface)
        .filter(|name| !known.contains(name))
        .collect();
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn no_call_stands_in_two_places_that_contradict() {
    let mut seen = BTreeSet::new();
    let allowed: Vec<&Call> = ALLOWED.iter().flat_map(|group| group.calls).collect();
    let absent = ABSENT.iter().map(|absent| &absent.call);
    for call in allowed.iter().copied().chain(absent.clone()) {
        assert!(seen.insert(call.0), "{} stands twice", name_of(call));
    }
    let always: BTreeSet<_> = REFUSED
        .iter()
        .filter(|row| row.when.is_empty())
        .map(|row| row.number)
        .collect();
    for row in REFUSED.iter().filter(|row| !row.when.is_empty()) {
        assert!(
            allowed.iter().any(|call| call.0 == row.number) && !always.contains(&row.number),
            "{} is refused for some arguments, and let through for no others",
            row.number
        );
    }
    for number in &always {
        assert!(!seen.contains(number), "{number} is refused and allowed");
    }
    let inside = numbers_inside();
    for call in absent {
        assert!(!inside.contains(&call.0), "{} is not absent", name_of(call));
    }
}

#[test]
fn every_list_has_a_reason() {
    assert!(ALLOWED.iter().all(|group| group.why.len() > 10));
    assert!(ABSENT.iter().all(|absent| absent.why.len() > 10));
}

/// Runs a program of the filter as the kernel would.
fn answer(program: &[seccompiler::sock_filter], architecture: u32, number: u32) -> u32 {
    let (mut at, mut value) = (0usize, 0);
    loop {
        let step = &program[at];
        at += 1;
        match step.code {
            0x20 => value = if step.k == 4 { architecture } else { number },
            0x06 => return step.k,
            code => {
                let holds = match code {
                    0x15 => value == step.k,
                    0x25 => value > step.k,
                    0x35 => value >= step.k,
                    _ => panic!("{code} is no instruction of ours"),
                };
                at += usize::from(if holds { step.jt } else { step.jf });
            }
        }
    }
}

#[test]
fn what_nobody_has_thought_about_does_not_exist() {
    const OURS: u32 = if cfg!(target_arch = "x86_64") {
        0xc000_003e
    } else {
        0xc000_00b7
    };
    let inside = numbers_inside();
    let program = existing(&inside).unwrap();
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    for number in 0..2000 {
        let expected = match inside.contains(&libc::c_long::from(number)) {
            true => libc::SECCOMP_RET_ALLOW,
            false => absent,
        };
        assert_eq!(answer(&program, OURS, number), expected, "{number}");
    }
    for number in [0x4000_0000, 0x4000_003b, u32::MAX] {
        assert_eq!(answer(&program, OURS, number), absent, "{number}");
    }
    // i386, where 11 is execve.
    let foreign = answer(&program, 0x4000_0003, 11);
    assert_eq!(foreign, libc::SECCOMP_RET_KILL_PROCESS);
}
