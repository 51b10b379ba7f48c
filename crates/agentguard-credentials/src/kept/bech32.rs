//! Bech32, in which age writes its keys.

use zeroize::Zeroizing;

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// How many letters of a check stand at the end.
const CHECK: usize = 6;

/// The bytes of a text that begins with `prefix` and `1`, all of it in upper case.
///
/// # References
///
/// - BIP 173, "Bech32"; age's specification has no bound on the length
pub(super) fn decode(prefix: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let letters = text.strip_prefix(prefix)?.strip_prefix('1')?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) || letters.len() < CHECK {
        return None;
    }
    let mut fives = Zeroizing::new(Vec::with_capacity(letters.len()));
    for letter in letters.bytes() {
        let letter = letter.to_ascii_lowercase();
        let five = LETTERS.iter().position(|known| *known == letter)?;
        fives.push(u8::try_from(five).ok()?);
    }
    if !is_whole(prefix, &fives) {
        return None;
    }
    bytes(fives.get(..fives.len() - CHECK)?)
}

/// Whether the check at the end is that of what stands before.
fn is_whole(prefix: &str, fives: &[u8]) -> bool {
    let prefix = prefix.to_ascii_lowercase();
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let all = high.chain([0]).chain(low).chain(fives.iter().copied());
    all.fold(1, step) == 1
}

/// BIP 173's `bech32_polymod`, for one more value.
fn step(check: u32, value: u8) -> u32 {
    const GENERATOR: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    let top = check >> 25;
    let next = ((check & 0x01ff_ffff) << 5) ^ u32::from(value);
    let bits = GENERATOR.iter().enumerate();
    bits.filter(|(bit, _)| (top >> bit) & 1 == 1)
        .fold(next, |next, (_, generator)| next ^ generator)
}

/// Values of five bits as bytes. What is left over is short and zero.
fn bytes(fives: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(fives.len()));
    let (mut held, mut bits) = (0_u16, 0);
    for five in fives {
        held = ((held << 5) | u16::from(*five)) & 0x0fff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
    }
    let left = held & ((1 << bits) - 1);
    (bits < 5 && left == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_whole_or_not_at_all() {
        // BIP 173's own, of which one has no data and one all 32 letters.
        assert!(decode("A", "A12UEL5L").unwrap().is_empty());
        let all = "ABCDEF1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LMQQQXW";
        assert_eq!(
            decode("ABCDEF", all).unwrap().as_slice(),
            [
                0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56,
                0xd7, 0xc6, 0x75, 0xbe, 0x77, 0xdf
            ]
        );
        for at in 0..all.len() {
            let mut bytes = all.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'Q' { b'P' } else { b'Q' };
            let text = String::from_utf8(bytes).unwrap();
            assert!(decode("ABCDEF", &text).is_none(), "{text}");
            assert!(decode("ABCDEF", all.get(..at).unwrap()).is_none());
        }
        assert!(decode("ABCDEF", &all.to_lowercase()).is_none());
        assert!(decode("A", "A1\u{e4}2UEL5L").is_none());
    }
}
