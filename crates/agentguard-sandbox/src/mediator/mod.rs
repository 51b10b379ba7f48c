//! The mediator: a process of ours that builds the session, and judges each exec in it on the guard's
//! word. It has the agent's user, no capability and a Landlock domain that holds the agent's.

mod agent;
mod arguments;
mod bounds;
mod caller;
mod environment;
mod exec;
mod explain;
mod image;
mod init;
mod places;
mod serve;
pub(crate) mod setup;
mod verify;
mod watch;

pub use image::{content_key, content_of};
pub use serve::enter_if_asked;

pub(crate) use serve::NAME;
