//! The smallest program there is: it waits. For finding out whether a program that runs can be written to.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{self, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitOptions, kill_process, set_parent_process_death_signal};

use crate::error::{Failure, Step};
use crate::sys;

const STEP: &str = "run a program of our own";
const BASE: u64 = 0x40_0000;
const HEADERS: u16 = 64 + 56;

/// `pause`, and again.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0x6a, 0x22, 0x58, 0x0f, 0x05, 0xeb, 0xf9];
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62; // EM_X86_64, elf(5)

/// `ppoll` of nothing without an end, and again.
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2,
    0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xfa, 0xff, 0xff, 0x17,
];
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183; // EM_AARCH64

/// Runs a program from memory, and tries to open what runs for writing.
pub(super) fn cannot_be_written() -> Result<(), Failure> {
    let written = fs::memfd_create("agentguard-doctor", MemfdFlags::CLOEXEC).step(STEP)?;
    rustix::io::write(&written, &program()).step(STEP)?;
    let path = format!("/proc/self/fd/{}", written.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let image = fs::open(path, flags, Mode::empty()).step(STEP)?;
    drop(written); // what is open for writing cannot be executed
    let (started, starting) = pipe_with(PipeFlags::CLOEXEC).step(STEP)?;
    let child = match sys::fork().step(STEP)? {
        sys::Forked::Child => {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            let errno = execute(&image);
            let _ = rustix::io::write(&starting, &errno.to_ne_bytes());
            sys::end(1)
        }
        sys::Forked::Parent(child) => child,
    };
    drop(starting);
    let opened = wait_for_start(&started).and_then(|()| try_to_write(&image));
    let _ = kill_process(child, Signal::KILL);
    let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
    opened
}

fn execute(image: &OwnedFd) -> i32 {
    let Ok(path) = CString::new(format!("/proc/self/fd/{}", image.as_raw_fd())) else {
        return libc::EINVAL;
    };
    let error = sys::replace_image(&path, &[c"agentguard-doctor".to_owned()], &[]);
    error.raw_os_error().unwrap_or(libc::ENOEXEC)
}

/// The pipe closes when the image is replaced; else the error's number comes through it.
fn wait_for_start(started: &OwnedFd) -> Result<(), Failure> {
    let mut errno = [0; 4];
    match rustix::io::read(started.as_fd(), &mut errno) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Errno::from_raw_os_error(i32::from_ne_bytes(errno))).step(STEP),
        Err(error) => Err(error).step(STEP),
    }
}

fn try_to_write(image: &OwnedFd) -> Result<(), Failure> {
    let path = format!("/proc/self/fd/{}", image.as_raw_fd());
    match fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::TXTBSY) => Ok(()),
        Ok(_) => Err(Failure::new(
            "write to a program that runs",
            "the kernel lets it",
        )),
        Err(error) => Err(error).step("write to a program that runs"),
    }
}

/// An ELF file of one segment (elf(5)).
fn program() -> Vec<u8> {
    let length = u64::from(HEADERS) + u64::try_from(CODE.len()).unwrap_or(0);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2, MACHINE] {
        file.extend(half.to_le_bytes()); // an executable, for this machine
    }
    file.extend(1u32.to_le_bytes());
    for word in [BASE + u64::from(HEADERS), 64, 0] {
        file.extend(word.to_le_bytes()); // where it begins, where its one segment is described
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes()); // a segment to load
    file.extend(5u32.to_le_bytes()); // to read and to execute
    for word in [0, BASE, BASE, length, length, 0x1_0000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(CODE);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_as_long_as_its_headers_say() {
        let file = program();
        assert_eq!(file.len(), usize::from(HEADERS) + CODE.len());
        assert_eq!(&file[usize::from(HEADERS)..], CODE);
    }
}
