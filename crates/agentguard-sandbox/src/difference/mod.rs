//! What a session changed in its workspace, seen by one walk that opens nothing but directories.
//!
//! A [`Snapshot`] is every path with what `stat` says of it. Two of them make a [`Difference`]; only
//! then is content read, and only of regular files that changed. Everything is done beneath one
//! directory's descriptor, following no link and running no program: the tree belongs to the agent,
//! and its `.git/config` alone would be a way out.
//!
//! The walk leaves out `.git/objects` at the top, and nothing else: objects are known by the refs that
//! lead to them. Another file system mounted within is not entered; unless it is one of the masks, the
//! snapshot is then not complete.

pub(crate) mod beneath;
mod compare;
mod debounce;
mod escaped;
mod nested;
mod scripts;
mod snapshot;
#[cfg(test)]
mod tests;

pub use compare::{Difference, difference};
pub use debounce::Debounce;
pub use escaped::{escape_path, unescape_path};
pub(crate) use nested::Nested;
pub(crate) use scripts::Scripts;
pub use snapshot::{Limits as WalkLimits, Snapshot};
