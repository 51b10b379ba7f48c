//! What the filters answer, and that no row of their table lacks its reason.

use super::*;

#[test]
fn every_row_has_a_reason_and_no_row_stands_twice() {
    let mut seen = std::collections::BTreeSet::new();
    for row in REFUSED {
        assert!(row.why.len() > 10);
        let conditions: Vec<String> = row
            .when
            .iter()
            .map(|when| match when {
                When::Is(a, v) => format!("{a}={v}"),
                When::Not(a, v) => format!("{a}!{v}"),
                When::Bits(a, m, v) => format!("{a}&{m}={v}"),
            })
            .collect();
        assert!(
            seen.insert((row.number, conditions)),
            "{} stands twice",
            row.number
        );
    }
}

/// An error for which no program is made would be a row that refuses nothing.
#[test]
fn every_row_answers_with_an_error_that_has_a_program() {
    for row in REFUSED {
        assert!(ANSWERS.contains(&row.errno), "{}", row.number);
    }
    for row in UNTOLD.iter().chain(BESIDE).chain(NETWORKS).chain(GATED) {
        assert!(ANSWERS_BESIDE.contains(&row.errno), "{}", row.number);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is what must fail")]
fn a_mediator_can_start_no_program() {
    let status = || std::process::Command::new("/bin/true").status();
    assert!(status().unwrap().success());
    let filtered = move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        crate::sys::install_filter(&for_mediator().unwrap()).unwrap();
        status().map_err(|error| error.raw_os_error())
    };
    // The filters hold for this one thread, and what it starts.
    let answer = std::thread::spawn(filtered).join().unwrap();
    assert_eq!(answer.unwrap_err(), Some(libc::EPERM));
}

/// What a program answers to a call, as the kernel runs it (linux/bpf_common.h).
fn answer(program: &[sock_filter], number: u32, architecture: u32, arguments: [u32; 6]) -> u32 {
    let (mut at, mut value) = (0, 0u32);
    loop {
        let step = &program[at];
        let is_met = match step.code {
            0x20 => {
                value = match step.k {
                    0 => number,
                    4 => architecture,
                    low if low >= 16 && (low - 16) % 8 == 0 => {
                        arguments[usize::try_from((low - 16) / 8).unwrap()]
                    }
                    _ => 0,
                };
                at += 1;
                continue;
            }
            0x54 => {
                value &= step.k;
                at += 1;
                continue;
            }
            0x05 => {
                at += 1 + usize::try_from(step.k).unwrap();
                continue;
            }
            0x06 => return step.k,
            0x15 => value == step.k,
            0x25 => value > step.k,
            0x35 => value >= step.k,
            0x45 => value & step.k != 0,
            other => panic!("nobody knows what {other:#x} does"),
        };
        at += 1 + usize::from(if is_met { step.jt } else { step.jf });
    }
}

/// Numbers and arguments at which some row of some program answers, and their neighbours.
fn calls() -> Vec<(u32, u32, [u32; 6])> {
    const OURS: u32 = 0xc000_003e;
    let conditions = REFUSED.iter().chain(UNTOLD).chain(BESIDE);
    let conditions = conditions.chain(NETWORKS).chain(GATED);
    let conditions = conditions.flat_map(|row| row.when.iter().map(|when| (row.number, *when)));
    let mut all = vec![(59, 0x4000_0003, [0; 6])];
    for number in (0..600).chain([0x4000_0000, 0x4000_003b, u32::MAX]) {
        all.push((number, OURS, [0; 6]));
        all.push((number, OURS, [u32::MAX; 6]));
    }
    for (number, when) in conditions {
        let (argument, value) = match when {
            When::Is(argument, value) | When::Not(argument, value) => (argument, value),
            When::Bits(argument, _, value) => (argument, value),
        };
        for first in 0..20 {
            for value in [value, value + 1, value | SGID] {
                let mut arguments = [first; 6];
                let low = value & u64::from(u32::MAX);
                arguments[usize::from(argument)] = u32::try_from(low).unwrap();
                all.push((u32::try_from(number).unwrap(), OURS, arguments));
            }
        }
    }
    all
}

#[test]
#[cfg(target_arch = "x86_64")]
fn one_program_answers_as_all_of_them_would() {
    const MOST: usize = 4096; // BPF_MAXINSNS, linux/bpf_common.h
    let mut stacks = vec![all_for_mediator().unwrap()];
    for beside in [
        None,
        Some(Network::Isolated),
        Some(Network::Gated),
        Some(Network::Host),
    ] {
        for (files_are_roots, judged) in [
            (true, Judged::Names),
            (false, Judged::Opens),
            (true, Judged::Nothing),
        ] {
            let handed_in = judged == Judged::Opens;
            stacks.push(all_for_agent(files_are_roots, judged, beside, handed_in).unwrap());
        }
    }
    let mut answers = BTreeSet::new();
    for stack in stacks {
        let whole = chain(stack.clone()).unwrap();
        assert!(whole.len() <= MOST, "{}", whole.len());
        for (number, architecture, arguments) in calls() {
            let of = |program: &BpfProgram| answer(program, number, architecture, arguments);
            // As signed numbers they are in the order of their strictness (`seccomp_run_filters`).
            let action = |answer: &u32| (answer & 0xffff_0000).cast_signed();
            let strictest = stack.iter().map(of).min_by_key(action).unwrap();
            assert_eq!(of(&whole), strictest, "{number} {arguments:?}");
            answers.insert(strictest);
        }
    }
    // Let through, asked about, killed, and three errors at least.
    assert!(answers.len() >= 6, "{answers:?}");
}

#[test]
fn the_asking_program_asks() {
    let program = asking(Judged::Names, &[]).unwrap();
    assert!(
        program
            .iter()
            .any(|i| i.code == 0x06 && i.k == libc::SECCOMP_RET_USER_NOTIF)
    );
    assert!(
        !program
            .iter()
            .any(|i| i.code == 0x06 && i.k & 0xffff_0000 == libc::SECCOMP_RET_TRACE)
    );
}
