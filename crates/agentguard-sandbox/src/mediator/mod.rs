//! The mediator: a process of ours that builds the session, judges each exec in it on the guard's word,
//! and connects sockets for it. It has the agent's user, no capability and a Landlock domain that holds the agent's.

mod agent;
mod arguments;
mod attributes;
mod beside;
mod bounds;
mod caller;
mod calling;
mod connect;
mod diagnosis;
mod early;
mod environment;
mod exec;
mod explain;
mod front;
mod held;
mod image;
mod init;
mod itself;
mod messages;
mod mute;
mod names;
mod nowhere;
mod pairs;
mod peers;
mod places;
mod resolve;
mod seats;
mod serve;
pub(crate) mod setup;
mod turning;
mod verify;
mod waits;
mod watch;

pub use image::{content_key, content_of};
pub use serve::enter_if_asked;

pub(crate) use names::Fetched;
pub(crate) use serve::NAME;
