//! What an agent may not do, tried: each test is an attack, run for real and judged from outside.
//!
//! The attacks are small C programs (`attacks/`), compiled when the tests run: system calls as they are,
//! with no library between that would look first. A test runs one under `agentguard exec` in a home of
//! its own, looks from outside at what it did (the file, the process, the listener, the log), and shows
//! that what is allowed beside it works. Where an attack could fail for a reason of its own, it is first
//! run without us, and must succeed there.
//!
//! A test says which promises of its level it needs, where not every level makes them. With
//! `AGENTGUARD_TEST_LEVEL=no-namespaces` the whole suite runs at that level, on a kernel that seems to have no
//! user namespaces; where a promise is not made, the test is that a session says so. What is played with namespaces
//! only, since the gate is the same without, is there the test that a session is led to it.
//!
//! Started as root every test runs twice, as root and as an ordinary user. Started as an ordinary user it
//! runs once.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]
#![expect(
    clippy::print_stdout,
    reason = "what was tried is shown where it fails"
)]

mod approvals;
mod attack;
mod beside;
mod bounds;
mod calls;
mod chance;
mod credentials;
mod execs;
mod explained;
mod files;
mod forced;
mod forge;
mod gated;
mod git_server;
mod grounds;
mod held;
mod held_execs;
mod hung;
mod infrastructure;
mod jobs;
mod kept;
mod kernel;
mod learned;
mod lent;
mod lent_git;
mod levels;
mod lifetime;
mod masked;
mod named;
mod names;
mod network;
mod outside;
mod over_ssh;
mod packed;
mod pinned;
mod pins;
mod processes;
mod programs;
mod provenance;
mod pushes;
mod pushing;
mod races;
mod recorded;
mod resolved;
mod scene;
mod session;
mod shadow;
mod signed;
mod signed_answers;
mod smuggled;
mod sockets;
mod sshd;
mod streams;
mod table;
mod terminal;
mod trailers;
mod turned;
mod ways;
mod work;
mod written;
