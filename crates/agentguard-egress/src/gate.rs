//! The gate's own side.

/// What the program is called when it is started as a gate.
pub const NAME: &str = "agentguard-gate";

/// Becomes the gate where this program was started for that, and returns whether it was. Call it first in
/// `main`, and end where it says so.
#[must_use]
pub fn enter_if_asked() -> bool {
    std::env::args_os().next().is_some_and(|name| name == NAME)
}
