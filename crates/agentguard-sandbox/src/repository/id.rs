//! The ids of objects.

use std::fmt;

/// The id of an object: SHA-1 or SHA-256.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Id {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Id {
    /// Parses 40 or 64 hexadecimal digits.
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        match digits.len() {
            40 => unhex(digits).map(Self::Sha1),
            64 => unhex(digits).map(Self::Sha256),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        }
    }

    /// The id of these bytes, of the same kind as this one.
    pub(super) fn same_kind(&self, bytes: &[u8]) -> Option<Self> {
        match self {
            Self::Sha1(_) => bytes.try_into().ok().map(Self::Sha1),
            Self::Sha256(_) => bytes.try_into().ok().map(Self::Sha256),
        }
    }

    /// Where it lies as a loose object.
    pub(super) fn loose_path(&self) -> String {
        let text = self.to_string();
        let (fan, rest) = text.split_at_checked(2).unwrap_or_default();
        format!("objects/{fan}/{rest}")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}
