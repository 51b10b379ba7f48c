//! The gate as it is met: real sockets on loopback before it, real servers behind it, and a judge beside it.
//! What passed is judged by what the server received.
#![expect(clippy::unwrap_used, reason = "a test may stop")]
#![expect(clippy::panic, reason = "a test may stop")]
#![expect(clippy::indexing_slicing, reason = "a test may stop")]
#![expect(clippy::string_slice, reason = "a test may stop")]

mod bodies;
mod client;
mod credentials;
mod flows;
mod grpc;
mod hostile;
mod http;
mod kept;
mod lifetime;
mod misplaced;
mod names;
mod near;
mod scene;
mod server;
mod signed;
mod tls;
mod uninspected;
mod upgrades;

/// A gate is this program again, and runs this test.
#[test]
fn agentguard_gate_entry() {
    let _ = agentguard_egress::enter_if_asked();
}
