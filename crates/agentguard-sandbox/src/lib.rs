//! Confines an agent with namespaces, Landlock, seccomp and a mediator.
#![deny(unsafe_code)]
