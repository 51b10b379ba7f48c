//! What is made of a session before there is a plan for it: namespaces, which take the kernel longest.
//!
//! The guard still reads its policies then. A mediator that is root must open as root what the plan names
//! before it becomes the agent's user. So a process of its own becomes that user and makes the namespaces,
//! and the mediator enters them when it may: they are owned by the user that it has become by then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use agentguard_core::Network;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::setup::{become_user, enter_namespaces, namespace_for, open_proc, own_ids};
use crate::error::{Failure, Step};
use crate::plan::User;
use crate::sys;

/// What was made before the plan was there.
pub(super) struct Early {
    user: Option<User>,
    network: Network,
    /// The namespace that shows what is this process's own as the agent's: most of what an agent may write is.
    pub(super) owner: Option<((u32, u32), OwnedFd)>,
    namespaces: Namespaces,
}

enum Namespaces {
    /// This process is in them, or could not make them.
    Here(Result<(), Failure>),
    /// Another process is. `None` where it could not be made; then they are made later.
    Elsewhere(Option<Elsewhere>),
}

/// A process that makes namespaces, and waits to be left.
struct Elsewhere {
    process: Pid,
    handle: OwnedFd,
    /// Can be read once they are made; ends where they cannot.
    made: OwnedFd,
    /// Its end is the process's.
    wait: OwnedFd,
}

impl Early {
    /// Makes what can be made for an agent that will be `user`, or stay who this process is.
    pub(super) fn make(user: Option<User>, network: Network) -> Self {
        let (owner, namespaces) = match user {
            None => (None, Namespaces::Here(enter_here(network))),
            Some(user) => {
                let elsewhere = Elsewhere::make(user, network).ok();
                (owner(user).ok(), Namespaces::Elsewhere(elsewhere))
            }
        };
        Self {
            user,
            network,
            owner,
            namespaces,
        }
    }

    /// Refuses a plan for another session than was announced: its namespaces could be wrong. Only policy knows
    /// whether a network of its own has a gate, which is made later.
    pub(super) fn check(&self, user: Option<User>, network: Network) -> Result<(), Failure> {
        let is_it = self.user == user && self.network.is_own() == network.is_own();
        match is_it {
            true => Ok(()),
            false => Err(Failure::new(
                "build the session",
                "another one was announced",
            )),
        }
    }

    /// Enters the namespaces. This process has become the agent's user.
    pub(super) fn enter(self, proc: BorrowedFd<'_>) -> Result<(), Failure> {
        match self.namespaces {
            Namespaces::Here(entered) => entered,
            Namespaces::Elsewhere(elsewhere) => match elsewhere.map(Elsewhere::enter) {
                Some(Ok(())) => Ok(()),
                // Why it cannot be is said by whoever does it here.
                Some(Err(_)) | None => enter_namespaces(self.network, proc),
            },
        }
    }
}

fn enter_here(network: Network) -> Result<(), Failure> {
    enter_namespaces(network, open_proc()?.as_fd())
}

fn owner(user: User) -> Result<((u32, u32), OwnedFd), Failure> {
    let (proc, owner) = (open_proc()?, own_ids());
    Ok((owner, namespace_for(proc.as_fd(), owner, user)?))
}

impl Elsewhere {
    fn make(user: User, network: Network) -> Result<Self, Failure> {
        const STEP: &str = "make a process for namespaces";
        let proc = open_proc()?;
        let (made, made_end) = pipe_with(PipeFlags::CLOEXEC).step(STEP)?;
        let (wait_end, wait) = pipe_with(PipeFlags::CLOEXEC).step(STEP)?;
        let process = match sys::fork().step(STEP)? {
            sys::Forked::Child => {
                drop((made, wait));
                let entered =
                    become_user(user).and_then(|()| enter_namespaces(network, proc.as_fd()));
                if entered.is_ok() {
                    let _ = rustix::io::write(&made_end, &[1]);
                }
                drop(made_end);
                let _ = rustix::io::read(&wait_end, &mut [0u8; 1]);
                sys::end(0)
            }
            sys::Forked::Parent(process) => process,
        };
        let handle = pidfd_open(process, PidfdFlags::empty()).step(STEP)?;
        Ok(Self {
            process,
            handle,
            made,
            wait,
        })
    }

    fn enter(self) -> Result<(), Failure> {
        const STEP: &str = "enter namespaces";
        let is_made = rustix::io::read(&self.made, &mut [0u8; 1]) == Ok(1);
        let all = ThreadNameSpaceType::USER
            | ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::CONTROL_GROUP
            | ThreadNameSpaceType::NETWORK;
        let entered = match is_made {
            true => move_into_thread_name_spaces(self.handle.as_fd(), all).step(STEP),
            false => Err(Failure::new(STEP, "they could not be made")),
        };
        drop(self.wait);
        let _ = rustix::process::waitpid(Some(self.process), WaitOptions::empty());
        entered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_that_were_made_for_another_session_are_not_taken() {
        let user = |uid| User { uid, gid: uid };
        let early = |user, network| Early {
            user,
            network,
            owner: None,
            namespaces: Namespaces::Elsewhere(None),
        };
        let is_it = |early: &Early, user, network| early.check(user, network).is_ok();
        let own = early(Some(user(1)), Network::Isolated);
        for network in [Network::Isolated, Network::Gated] {
            assert!(is_it(&own, Some(user(1)), network));
        }
        assert!(!is_it(&own, Some(user(1)), Network::Host));
        assert!(!is_it(&own, Some(user(2)), Network::Isolated));
        assert!(!is_it(&own, None, Network::Isolated));
        let hosts = early(None, Network::Host);
        assert!(is_it(&hosts, None, Network::Host));
        assert!(!is_it(&hosts, None, Network::Isolated));
        assert!(!is_it(&hosts, None, Network::Gated));
    }
}
