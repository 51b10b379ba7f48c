//! What a request shows of what a file is to hold.

use std::borrow::Cow;

use base64ct::{Base64, Encoding as _};

/// It, as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    Base64(&'a str),
    Plain(&'a str),
    /// It is not shown, or in a way that is not known.
    Unshown,
}

impl<'a> Content<'a> {
    /// What stands in base 64, where something does.
    pub(super) fn base64(said: Option<&'a str>) -> Self {
        said.map_or(Self::Unshown, Self::Base64)
    }

    /// What the file is to hold.
    ///
    /// # Errors
    ///
    /// Returns why that is not known.
    pub(super) fn bytes(self) -> Result<Cow<'a, [u8]>, &'static str> {
        match self {
            Self::Plain(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Self::Unshown => Err("the request does not show what it is to hold"),
            // Some servers skip whatever is no digit; then they read something else.
            Self::Base64(text) => {
                let digits: String = text.split(['\r', '\n']).collect();
                let bytes = Base64::decode_vec(&digits).map(Cow::Owned);
                bytes.map_err(|_| "what it is to hold is no plain base 64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_read_where_all_servers_read_the_same() {
        for (said, read) in [
            ("aGk=", Some("hi")),
            ("aG\nk=\r\n", Some("hi")),
            ("", Some("")),
            ("aGk", None),
            ("aG k=", None),
            ("aGk=aGk=", None),
            ("aGl=", None),
            ("aG-_", None),
            ("*aGk=", None),
        ] {
            let bytes = Content::Base64(said).bytes();
            assert_eq!(bytes.ok().as_deref(), read.map(str::as_bytes), "{said:?}");
        }
        assert_eq!(Content::Plain("aGk=").bytes().unwrap().as_ref(), b"aGk=");
        assert!(Content::base64(None).bytes().is_err());
    }
}
