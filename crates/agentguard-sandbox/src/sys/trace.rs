//! Stopping one exec on its far side, and reading what became of it (ptrace(2)).

use std::io;

use rustix::process::Pid;

use super::checked;

/// A thread that this thread traces, for the length of one exec.
#[derive(Debug)]
pub(crate) struct Tracee(Pid);

/// Where a stopped process stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackTop {
    /// The stack pointer.
    pub(crate) stack: u64,
    /// What the last system call returned.
    pub(crate) result: i64,
}

impl Tracee {
    /// Attaches to a thread without stopping it. It dies if the tracer does.
    pub(crate) fn seize(thread: Pid) -> io::Result<Self> {
        let options = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
        request(
            libc::PTRACE_SEIZE,
            thread,
            0,
            usize::try_from(options).map_err(io::Error::other)?,
        )?;
        Ok(Self(thread))
    }

    /// Asks for a stop when the call it is in returns to it. A call that succeeds in replacing the
    /// image never does.
    pub(crate) fn interrupt(&self) -> io::Result<()> {
        request(libc::PTRACE_INTERRUPT, self.0, 0, 0)
    }

    /// Lets `process` go, with `signal` delivered. An error means that it was killed meanwhile.
    pub(crate) fn detach(process: Pid, signal: i32) -> io::Result<()> {
        request(
            libc::PTRACE_DETACH,
            process,
            0,
            usize::try_from(signal).map_err(io::Error::other)?,
        )
    }

    /// Writes over what the stopped `process` would do next, in its own copy: all that it still does is to exit.
    pub(crate) fn replace_by_exit(process: Pid) -> io::Result<()> {
        let start = next_instruction(&Self::registers(process)?);
        let start = usize::try_from(start).map_err(io::Error::other)?;
        for (number, word) in EXIT.into_iter().enumerate() {
            let place = start.wrapping_add(number.wrapping_mul(size_of::<usize>()));
            request(
                libc::PTRACE_POKETEXT,
                process,
                place,
                usize::from_le_bytes(word),
            )?;
        }
        Ok(())
    }

    /// Where the stopped `process` stands.
    pub(crate) fn stack_top(process: Pid) -> io::Result<StackTop> {
        Self::registers(process).map(|registers| of_registers(&registers))
    }

    fn registers(process: Pid) -> io::Result<libc::user_regs_struct> {
        // SAFETY: `user_regs_struct` is plain old data, for which zeroes are a valid value.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        let mut buffer = libc::iovec {
            iov_base: std::ptr::from_mut(&mut registers).cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        };
        let set = usize::try_from(libc::NT_PRSTATUS).map_err(io::Error::other)?;
        // SAFETY: PTRACE_GETREGSET writes at most `iov_len` bytes to `iov_base`, which point to
        // `registers`, and the length written to `buffer`; both live until the call is over.
        let result = unsafe {
            libc::ptrace(
                libc::PTRACE_GETREGSET,
                process.as_raw_nonzero().get(),
                set,
                std::ptr::from_mut(&mut buffer),
            )
        };
        checked(result)?;
        Ok(registers)
    }
}

/// `exit_group(126)`, the code by which shells say that a program cannot be executed. The call that replaced the
/// image still answers by a register, so that its number is put there by an instruction.
#[cfg(target_arch = "x86_64")]
const EXIT: [[u8; 8]; 2] = [
    [0xb8, 231, 0, 0, 0, 0xbf, 126, 0], // mov eax, 231; mov edi, 126
    [0, 0, 0x0f, 0x05, 0xcc, 0xcc, 0xcc, 0xcc], // syscall; int3
];

#[cfg(target_arch = "aarch64")]
const EXIT: [[u8; 8]; 2] = [
    [0xc8, 0x0b, 0x80, 0xd2, 0xc0, 0x0f, 0x80, 0xd2], // mov x8, 94; mov x0, 126
    [0x01, 0, 0, 0xd4, 0, 0, 0x20, 0xd4],             // svc 0; brk 0
];

#[cfg(target_arch = "x86_64")]
fn next_instruction(registers: &libc::user_regs_struct) -> u64 {
    registers.rip
}

#[cfg(target_arch = "aarch64")]
fn next_instruction(registers: &libc::user_regs_struct) -> u64 {
    registers.pc
}

#[cfg(target_arch = "x86_64")]
fn of_registers(registers: &libc::user_regs_struct) -> StackTop {
    StackTop {
        stack: registers.rsp,
        result: registers.rax.cast_signed(),
    }
}

#[cfg(target_arch = "aarch64")]
fn of_registers(registers: &libc::user_regs_struct) -> StackTop {
    let [result, ..] = registers.regs;
    StackTop {
        stack: registers.sp,
        result: result.cast_signed(),
    }
}

fn request(what: libc::c_uint, thread: Pid, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: the requests used here (SEIZE, INTERRUPT, DETACH, POKETEXT) take integers in both arguments and
    // touch no memory of this process.
    checked(unsafe { libc::ptrace(what, thread.as_raw_nonzero().get(), address, data) })?;
    Ok(())
}

/// Reads another process's memory from `address` on; returns how much of it could be read.
pub(crate) fn read_memory(process: Pid, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let start = usize::try_from(address).map_err(io::Error::other)?;
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(start),
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, which is borrowed mutably; the
    // remote address is only a number to this process.
    let read = unsafe {
        libc::process_vm_readv(
            process.as_raw_nonzero().get(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Writes to another process's memory from `address` on; returns how much of it could be written.
pub(crate) fn write_memory(process: Pid, address: u64, bytes: &[u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let start = usize::try_from(address).map_err(io::Error::other)?;
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(start),
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel only reads `bytes`, which are borrowed; the remote address is only a number to this
    // process.
    let written = unsafe {
        libc::process_vm_writev(
            process.as_raw_nonzero().get(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Reads several pieces of another process's memory at once, one after the other into `into`, which is
/// as long as all of them together. Returns how much could be read before the first that could not.
pub(crate) fn read_pieces(
    process: Pid,
    pieces: &[(u64, usize)],
    into: &mut [u8],
) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = pieces.iter().map(|(address, length)| {
        let start = usize::try_from(*address).map_err(io::Error::other)?;
        Ok(libc::iovec {
            iov_base: std::ptr::without_provenance_mut(start),
            iov_len: *length,
        })
    });
    let remote = remote.collect::<io::Result<Vec<_>>>()?;
    let count = libc::c_ulong::try_from(remote.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, which is borrowed mutably; the
    // remote addresses are only numbers to this process, and `remote` holds `count` of them.
    let read = unsafe {
        libc::process_vm_readv(
            process.as_raw_nonzero().get(),
            &raw const local,
            1,
            remote.as_ptr(),
            count,
            0,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
