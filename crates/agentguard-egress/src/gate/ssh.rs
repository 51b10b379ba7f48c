//! SSH, which is not passed on: whoever speaks it is told so in its own words (RFC 4253).

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::Shared;
use super::ask::Told;
use super::serve;

/// Where servers of it listen.
pub(super) const PORT: u16 = 22;
/// What clients say first (section 4.2). They say all of it at once.
const BEGINNING: [u8; 4] = *b"SSH-";
/// What a server says first.
const OWN: &[u8] = b"SSH-2.0-agentguard\r\n";
/// A message that ends a connection, and that the host may not be connected to (section 11.1).
const DISCONNECT: u8 = 1;
const NOT_ALLOWED: u32 = 1;
/// Clients show no more of it.
const LONGEST: usize = 400;

/// Whether a client speaks it.
pub(super) async fn is_spoken(shared: &Shared, stream: &TcpStream) -> bool {
    let mut bytes = [0; BEGINNING.len()];
    let peeked = timeout(shared.patience.client, stream.peek(&mut bytes)).await;
    matches!(peeked, Ok(Ok(length)) if length == bytes.len()) && bytes == BEGINNING
}

/// Tells a client why its connection ends.
pub(super) async fn turn_away(stream: &mut TcpStream, told: &Told) {
    let answer = [OWN, &disconnect(&text(told))].concat();
    // Whoever left needs no answer.
    let _ = stream.write_all(&answer).await;
    serve::linger(stream).await;
}

fn text(told: &Told) -> String {
    let rule = &told.rule;
    let mut text = format!("agentguard: {} ({})", rule.reason, rule.id);
    if let Some(remedy) = &rule.remedy {
        text += &format!("; {remedy}");
    }
    if let Some(entry) = told.entry {
        text += &format!("; entry {entry} of the log says so");
    }
    text.chars()
        .filter(|c| c.is_ascii() && !c.is_control())
        .take(LONGEST)
        .collect()
}

/// A message that ends a connection, before keys are exchanged (sections 6 and 11.1).
fn disconnect(text: &str) -> Vec<u8> {
    let mut payload = vec![DISCONNECT];
    payload.extend(NOT_ALLOWED.to_be_bytes());
    payload.extend(length(text.len()));
    payload.extend(text.as_bytes());
    // In no language.
    payload.extend(length(0));
    let padding = 8 + (8 - (5 + payload.len()) % 8) % 8;
    let mut packet = Vec::new();
    packet.extend(length(1 + payload.len() + padding));
    packet.extend(u8::try_from(padding));
    packet.extend(payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(0).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_says_and_whole_blocks() {
        for text in ["", "a", "no way", &"x".repeat(LONGEST)] {
            let packet = disconnect(text);
            assert_eq!(packet.len() % 8, 0);
            let said = u32::from_be_bytes(packet[..4].try_into().unwrap());
            assert_eq!(said as usize, packet.len() - 4);
            assert!((4..=255).contains(&packet[4]));
            assert_eq!(&packet[14..14 + text.len()], text.as_bytes());
        }
    }
}
