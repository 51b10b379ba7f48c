//! Packet lines, in which git frames what it says (gitprotocol-common(5)).

/// The longest line, with its length before it.
const LONGEST: usize = 65520;
/// The most that one line of the side band carries.
const MOST_IN_BAND: usize = LONGEST - 5;

/// One packet line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::gate) enum Line<'b> {
    /// Bytes, which may be none.
    Data(&'b [u8]),
    /// The end of a list.
    Flush,
    /// What stands between two lists.
    Delimiter,
    /// The end of an answer.
    End,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::gate) enum NoLine {
    /// Not all of it has come.
    Unfinished,
    /// It is none.
    Malformed,
}

/// Takes the first line off `bytes`.
pub(in crate::gate) fn take<'b>(bytes: &mut &'b [u8]) -> Result<Line<'b>, NoLine> {
    let (digits, rest) = bytes.split_at_checked(4).ok_or(NoLine::Unfinished)?;
    // `from_str_radix` takes a sign, and git does not.
    let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).map_err(|_| NoLine::Malformed)?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| NoLine::Malformed)?;
    if !is_hexadecimal || length > LONGEST {
        return Err(NoLine::Malformed);
    }
    let line = match length {
        0 => Line::Flush,
        1 => Line::Delimiter,
        2 => Line::End,
        3 => return Err(NoLine::Malformed),
        length => {
            let (data, rest) = rest
                .split_at_checked(length - 4)
                .ok_or(NoLine::Unfinished)?;
            *bytes = rest;
            return Ok(Line::Data(data));
        }
    };
    *bytes = rest;
    Ok(line)
}

/// Appends a line. What is longer than a line is cut.
pub(in crate::gate) fn put(into: &mut Vec<u8>, data: &[u8]) {
    let data = data.get(..LONGEST - 4).unwrap_or(data);
    into.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    into.extend_from_slice(data);
}

/// Appends the end of a list.
pub(in crate::gate) fn flush(into: &mut Vec<u8>) {
    into.extend_from_slice(b"0000");
}

/// Appends data in a band of the side band, in as many lines as it takes.
pub(in crate::gate) fn put_in_band(into: &mut Vec<u8>, band: u8, data: &[u8]) {
    for piece in data.chunks(MOST_IN_BAND) {
        put(into, &[&[band], piece].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_one_after_the_other() {
        let mut bytes = &b"0006a\n0004000000010002rest"[..];
        assert_eq!(take(&mut bytes), Ok(Line::Data(b"a\n")));
        assert_eq!(take(&mut bytes), Ok(Line::Data(b"")));
        assert_eq!(take(&mut bytes), Ok(Line::Flush));
        assert_eq!(take(&mut bytes), Ok(Line::Delimiter));
        assert_eq!(take(&mut bytes), Ok(Line::End));
        assert_eq!(bytes, b"rest");
    }

    #[test]
    fn what_is_no_line_is_told_from_what_is_unfinished() {
        for (bytes, why) in [
            (&b""[..], NoLine::Unfinished),
            (b"000", NoLine::Unfinished),
            (b"0006a", NoLine::Unfinished),
            (b"0003", NoLine::Malformed),
            (b"+006a\n", NoLine::Malformed),
            (b"00 6a\n", NoLine::Malformed),
            (b"fff1", NoLine::Malformed),
            (b"PACK", NoLine::Malformed),
        ] {
            let mut rest = bytes;
            assert_eq!(take(&mut rest), Err(why), "{}", bytes.escape_ascii());
            assert_eq!(rest, bytes);
        }
    }

    #[test]
    fn what_was_put_is_taken() {
        let (mut bytes, data) = (Vec::new(), vec![7; MOST_IN_BAND + 1]);
        put_in_band(&mut bytes, 2, &data);
        flush(&mut bytes);
        let mut rest = bytes.as_slice();
        let Ok(Line::Data(first)) = take(&mut rest) else {
            unreachable!()
        };
        assert_eq!((first.len(), first[0]), (MOST_IN_BAND + 1, 2));
        assert_eq!(take(&mut rest), Ok(Line::Data(&[2, 7])));
        assert_eq!(take(&mut rest), Ok(Line::Flush));
    }
}
