//! HTTP/1.1 as it is written, byte by byte, before anything else reads it.
//!
//! Servers disagree about requests that are not quite right: which of two lengths holds, whether a lone
//! line feed ends a line, what a folded line means. A request that one reads in one way and another in
//! another is two requests, of which one was judged. So whatever could be read in two ways is refused here,
//! and hyper gets to read only what is left. Requests follow one another on a connection, so the filter
//! knows where each ends, by the same rules (RFC 9112, section 6).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::upgrade;

/// The longest head of a request.
const LONGEST_HEAD: usize = 64 << 10;
const TOO_LONG: &str = "its head is longer than 64 KiB";
/// The longest line of a body's framing, and the longest trailer.
const LONGEST_LINE: usize = 4 << 10;
/// How much is read at once.
const PIECE: usize = 16 << 10;

/// A connection of which only well-formed requests are read.
pub(super) struct Strict<S> {
    inner: S,
    read: Vec<u8>,
    /// How much of what was read was found good and not yet handed on.
    good: usize,
    state: State,
    fault: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// A head, of which so many bytes are lines that were found good, and so many have no line's end.
    Head { lines: usize, without: usize },
    /// So much of a body is left.
    Body(u64),
    /// The length of a chunk.
    Size,
    /// So much of a chunk is left, with the line's end after it.
    Chunk(u64),
    /// The lines after the last chunk, of which so many bytes were read.
    Trailers(usize),
    /// What comes is for whatever the connection is to become, and kept until that is known.
    Held,
}

impl State {
    const HEAD: Self = Self::Head {
        lines: 0,
        without: 0,
    };
}

impl<S> Strict<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            read: Vec::new(),
            good: 0,
            state: State::HEAD,
            fault: None,
        }
    }

    /// Why nothing more is read.
    pub(super) fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// The connection itself, for what is written and read when all is over.
    pub(super) fn inner(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The connection itself, and what was read of it and not handed on.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.inner, self.read)
    }

    /// Finds out how much more of what was read is good.
    fn advance(&mut self) -> Result<(), &'static str> {
        while let Some((length, state)) = step(self.state, self.rest())? {
            self.good += length;
            self.state = state;
            if length == 0 {
                break;
            }
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        self.read.get(self.good..).unwrap_or_default()
    }
}

/// How much of `bytes` is good in `state`, and what comes after it. `None` where it takes more to say.
fn step(state: State, bytes: &[u8]) -> Result<Option<(usize, State)>, &'static str> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let within = |left: u64| {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
        (usize::try_from(length).unwrap_or(0), left - length)
    };
    Ok(Some(match state {
        State::Held => return Ok(None),
        State::Head { lines, without } => match head_end(bytes, lines, without)? {
            Ok(end) => (end, body_of(bytes.get(..end).unwrap_or_default())?),
            Err(further) => (0, further),
        },
        State::Body(left) => match within(left) {
            (length, 0) => (length, State::HEAD),
            (length, left) => (length, State::Body(left)),
        },
        State::Size => {
            let Some(line) = line(bytes, LONGEST_LINE)? else {
                return Ok(None);
            };
            let state = match chunk_size(line)? {
                0 => State::Trailers(0),
                size => State::Chunk(size + 2),
            };
            (line.len() + 2, state)
        }
        State::Chunk(left) if left > 2 => {
            let (length, _) = within(left - 2);
            (
                length,
                State::Chunk(left - u64::try_from(length).unwrap_or(left)),
            )
        }
        State::Chunk(_) => match bytes {
            [b'\r', b'\n', ..] => (2, State::Size),
            [b'\r'] => return Ok(None),
            _ => return Err("a chunk is longer than it says"),
        },
        State::Trailers(read) => {
            let Some(line) = line(bytes, LONGEST_LINE.saturating_sub(read))? else {
                return Ok(None);
            };
            if line.is_empty() {
                return Ok(Some((2, State::HEAD)));
            }
            field(line)?;
            (line.len() + 2, State::Trailers(read + line.len() + 2))
        }
    }))
}

/// A line without its end, if it is there.
fn line(bytes: &[u8], longest: usize) -> Result<Option<&[u8]>, &'static str> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
            let line = line.ok_or("a line ends without a carriage return")?;
            if line.contains(&b'\r') {
                return Err("a carriage return stands within a line");
            }
            if line.len() > longest {
                return Err("a line is too long");
            }
            Ok(Some(line))
        }
        None if bytes.len() > longest => Err("a line is too long"),
        None => Ok(None),
    }
}

/// Where the head ends, with the empty line after it, or how far it was read. What is wrong with its lines
/// is said as soon as it is read: a head that is never to end keeps nobody waiting.
fn head_end(
    bytes: &[u8],
    mut lines: usize,
    mut without: usize,
) -> Result<Result<usize, State>, &'static str> {
    loop {
        let unread = bytes.get(lines + without..).unwrap_or_default();
        if !unread.contains(&b'\n') {
            without += unread.len();
            if lines + without > LONGEST_HEAD {
                return Err(TOO_LONG);
            }
            return Ok(Err(State::Head { lines, without }));
        }
        let line = line(bytes.get(lines..).unwrap_or_default(), LONGEST_HEAD)?;
        let line = line.unwrap_or_default();
        let length = line.len() + 2;
        if lines == 0 {
            first_line(line)?;
        } else if !line.is_empty() {
            field(line)?;
        }
        (lines, without) = (lines + length, 0);
        if lines > LONGEST_HEAD {
            return Err(TOO_LONG);
        }
        if length == 2 {
            return Ok(Ok(lines));
        }
    }
}

/// What follows a head.
fn body_of(head: &[u8]) -> Result<State, &'static str> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let _first = lines.next();
    let (mut hosts, mut length, mut coding) = (0, None, None);
    let mut without = State::HEAD;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"upgrade") && upgrade::is_asked(value) {
            without = State::Held;
        } else if name.eq_ignore_ascii_case(b"content-length") && length.replace(value).is_some() {
            return Err("it has two lengths");
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") && coding.replace(value).is_some()
        {
            return Err("it has two transfer codings");
        }
    }
    if hosts != 1 {
        return Err("it does not name one host");
    }
    match (length, coding) {
        (None, None) => Ok(without),
        (Some(length), None) => match decimal(length) {
            Some(0) => Ok(without),
            Some(length) => Ok(State::Body(length)),
            None => Err("its length is no number"),
        },
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(State::Size),
        (None, Some(_)) => Err("its transfer coding is not `chunked`"),
        (Some(_), Some(_)) => Err("it has a length and a transfer coding"),
    }
}

fn first_line(line: &[u8]) -> Result<(), &'static str> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("its first line is not a method, a path and a version");
    };
    if version != b"HTTP/1.1" {
        return Err("it is not HTTP/1.1");
    }
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err("its method is none");
    }
    let is_plain = target.iter().all(|byte| byte.is_ascii_graphic());
    if !is_plain || target.contains(&b'#') {
        return Err("its path has bytes that are in no path");
    }
    // RFC 9112, section 3.2: the other forms are for proxies, and name a host once more.
    let is_path = target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS");
    if !is_path {
        return Err("it does not ask for a path");
    }
    Ok(())
}

/// A header or trailer: its name, and its value without the space around it.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err("a header is folded");
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = colon
        .and_then(|colon| line.split_at_checked(colon))
        .ok_or("a header has no value")?;
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err("a header's name is none");
    }
    let value = value.get(1..).unwrap_or_default();
    let is_control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    if value.iter().any(is_control) {
        return Err("a header has a control character");
    }
    Ok((name, value.trim_ascii()))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// The size of a chunk, without the extensions that some servers read as another line.
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let is_plain =
        (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_plain {
        return Err("the size of a chunk is no number");
    }
    u64::from_str_radix(text, 16).map_err(|_| "the size of a chunk is no number")
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.good > 0 {
                let length = this.good.min(into.remaining());
                into.put_slice(this.read.get(..length).unwrap_or_default());
                this.read.drain(..length);
                this.good -= length;
                return Poll::Ready(Ok(()));
            }
            if this.fault.is_some() {
                return Poll::Ready(Ok(()));
            }
            if this.state == State::Held && this.read.len() >= PIECE {
                // More is taken once it is known what for, and by somebody else.
                return Poll::Pending;
            }
            let had = this.read.len();
            this.read.resize(had + PIECE, 0);
            let mut space = ReadBuf::new(this.read.get_mut(had..).unwrap_or_default());
            let polled = Pin::new(&mut this.inner).poll_read(context, &mut space);
            let length = space.filled().len();
            this.read.truncate(had + length);
            ready!(polled)?;
            if length == 0 {
                return Poll::Ready(Ok(()));
            }
            if let Err(fault) = this.advance() {
                this.fault = Some(fault);
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of `bytes` that come in pieces of `size`, and why no more.
    fn read(bytes: &[u8], size: usize) -> (Vec<u8>, Option<&'static str>) {
        let mut strict = Strict::new(());
        let mut handed_on = Vec::new();
        for piece in bytes.chunks(size) {
            strict.read.extend(piece);
            let advanced = strict.advance();
            handed_on.extend(strict.read.drain(..strict.good));
            strict.good = 0;
            if let Err(fault) = advanced {
                return (handed_on, Some(fault));
            }
        }
        (handed_on, None)
    }

    const HOST: &str = "Host: a.test\r\n";

    #[test]
    fn requests_follow_one_another_however_they_come() {
        let text = format!(
            "GET /a HTTP/1.1\r\n{HOST}\r\n\
             POST /b HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello\
             POST /c HTTP/1.1\r\n{HOST}Transfer-Encoding: Chunked\r\n\r\n\
             3\r\nabc\r\n00000A\r\n0123456789\r\n0\r\nX-T: 1\t2\r\n\r\n\
             OPTIONS * HTTP/1.1\r\n{HOST}\r\n"
        );
        for size in [1, 2, 3, 7, text.len()] {
            assert_eq!(
                read(text.as_bytes(), size),
                (text.clone().into_bytes(), None)
            );
        }
    }

    /// `^` stands for the end of a line, `@` for a line that names the host.
    const TWOFOLD: [&str; 52] = [
        "POST / HTTP/1.1^@Content-Length: 6^Transfer-Encoding: chunked^^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^Content-Length: 6^^",
        "POST / HTTP/1.1^@Content-Length: 5^Content-Length: 5^^",
        "POST / HTTP/1.1^@Content-Length: 0^Content-Length: 5^^",
        "POST / HTTP/1.1^@Content-Length: 5, 5^^",
        "POST / HTTP/1.1^@Content-Length: +5^^",
        "POST / HTTP/1.1^@Content-Length: 0x5^^",
        "POST / HTTP/1.1^@Content-Length: ^^",
        "POST / HTTP/1.1^@Content-Length: 99999999999999999999^^",
        "POST / HTTP/1.1^@Transfer-Encoding: xchunked^^",
        "POST / HTTP/1.1^@Transfer-Encoding: gzip, chunked^^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^Transfer-Encoding: identity^^",
        "POST / HTTP/1.1^@Transfer-Encoding: identity^Transfer-Encoding: chunked^^",
        "POST / HTTP/1.1^@Transfer-Encoding : chunked^^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^3;x=y^abc^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^3\nabc^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^ 3^abc^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^-3^abc^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^+3^abc^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^100000003^abc^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^3^abcd^",
        "POST / HTTP/1.1^@Transfer-Encoding: chunked^^0^ x: y^^",
        "GET / HTTP/1.1^@Host: evil.test^^",
        "GET / HTTP/1.1^Host: evil.test^@^",
        "GET / HTTP/1.1^@@^",
        "GET / HTTP/1.1^^",
        "GET / HTTP/1.1\nHost: a.test\n\n",
        "GET / HTTP/1.1^@X: 1\n^^",
        "GET / HTTP/1.1^@X: 1\r2^^",
        "GET / HTTP/1.1^@X: 1^  folded^^",
        "GET / HTTP/1.1^@X: a\0b^^",
        "GET / HTTP/1.1^@X: a\x7fb^^",
        "GET / HTTP/1.1^@X^^",
        "GET / HTTP/1.1^@X^",
        "GET / HTTP/1.1^@: x^^",
        "GET / HTTP/1.1^@X y: x^^",
        "^GET / HTTP/1.1^@^",
        "GET  / HTTP/1.1^@^",
        " / HTTP/1.1^@^",
        "G{T / HTTP/1.1^@^",
        "G\u{e9}T / HTTP/1.1^@^",
        "GET / HTTP/1.1 ^@^",
        "GET\t/ HTTP/1.1^@^",
        "GET / HTTP/1.0^@^",
        "GET / HTTP/2.0^@^",
        "GET /^@^",
        "GET /a\0b HTTP/1.1^@^",
        "GET /a#b HTTP/1.1^@^",
        "GET http://a.test/ HTTP/1.1^@^",
        "OPTIONS a.test HTTP/1.1^@^",
        "CONNECT a.test:443 HTTP/1.1^@^",
        "PRI * HTTP/2.0^^SM^^",
    ];

    #[test]
    fn what_can_be_read_in_two_ways_is_read_in_none() {
        let mut texts = TWOFOLD
            .map(|text| text.replace('@', HOST).replace('^', "\r\n"))
            .to_vec();
        texts.push(format!("GET * HTTP/1.1\r\n{HOST}\r\n"));
        texts.push(format!("GET /{} HTTP/1.1\r\n", "a".repeat(LONGEST_HEAD)));
        let chunked = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
        let long = "a".repeat(LONGEST_LINE);
        texts.push(format!("{chunked}0\r\nX: {long}\r\n\r\n"));
        texts.push(format!("{chunked}0\r\nX: {long}"));
        let short = "X: y\r\n".repeat(LONGEST_LINE / 6 + 2);
        texts.push(format!("{chunked}0\r\n{short}\r\n"));
        texts.push(format!(
            "GET / HTTP/1.1\r\n{}",
            "A: b\r\n".repeat(LONGEST_HEAD / 6)
        ));
        texts.push(format!(
            "GET / HTTP/1.1\r\n{HOST}{}\r\n",
            "A: b\r\n".repeat(LONGEST_HEAD / 6)
        ));
        texts.push(format!("GET /{}", "a".repeat(LONGEST_HEAD)));
        for (text, size) in texts
            .iter()
            .flat_map(|text| [(text, 1), (text, text.len())])
        {
            let (handed_on, fault) = read(text.as_bytes(), size);
            assert!(fault.is_some(), "{text:?}");
            // Of a body, what came before the fault may have been.
            let body = text.find("\r\n\r\n").map_or(0, |end| end + 4);
            let is_head = handed_on.starts_with(&text.as_bytes()[..body]);
            assert!(handed_on.is_empty() || is_head, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_it_is() {
        for (text, why) in [
            ("X: 1\r\n y: 2", "a header is folded"),
            ("X: 1\r\n\ty: 2", "a header is folded"),
            ("X: 1\ry: 2", "a carriage return stands within a line"),
        ] {
            let text = format!("GET / HTTP/1.1\r\n{HOST}{text}\r\n\r\n");
            assert_eq!(read(text.as_bytes(), text.len()).1, Some(why), "{text:?}");
        }
    }

    #[test]
    fn what_follows_an_upgrade_is_kept_until_it_is_known_what_for() {
        let asks = |to: &str| {
            format!("GET / HTTP/1.1\r\n{HOST}Connection: upgrade\r\nUpgrade: {to}\r\n\r\n")
        };
        let head = asks("websocket");
        for size in [1, 7, 1000] {
            let text = format!("{head}\n\0frames\n");
            assert_eq!(
                read(text.as_bytes(), size),
                (head.clone().into_bytes(), None)
            );
            // An offer that is not taken up changes nothing.
            let text = format!("{}{}", asks("h2c"), asks("H2C"));
            assert_eq!(
                read(text.as_bytes(), size),
                (text.clone().into_bytes(), None)
            );
            assert!(
                read(format!("{}\n", asks("h2c")).as_bytes(), size)
                    .1
                    .is_some()
            );
        }
    }

    #[test]
    fn fuzz_what_is_good_does_not_depend_on_how_it_comes() {
        const WORDS: &[&str] = &[
            "\r\n",
            "\r\n\r\n",
            "Host: a\r\n",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "GET / HTTP/1.1\r\n",
            "0\r\n\r\n",
        ];
        crate::mutate::fuzz("request", WORDS, |bytes| {
            let whole = read(bytes, bytes.len().max(1));
            let (handed_on, fault) = read(bytes, 1);
            // Of two faults either may be met first.
            assert_eq!(fault.is_some(), whole.1.is_some());
            assert!(handed_on.starts_with(&whole.0) || whole.0.starts_with(&handed_on));
            format!("{} {}", fault.unwrap_or("good"), handed_on.is_empty())
        });
    }
}
