//! Lookups: the packets of RFC 1035, as far as the gate needs them.
//!
//! A question is read whole or not at all, and nothing of it but the question goes into the answer. What is
//! answered is made here: no packet of a client is ever sent on, and none of another server comes back.

use std::net::IpAddr;

/// A head is 12 bytes: an id, flags, and four counts.
const HEAD: usize = 12;
/// The longest name on the wire.
const LONGEST_NAME: usize = 255;
/// How long an answer holds. It holds for the session; this is for those that refuse a long one.
const SECONDS: u32 = 60;
const INTERNET: u16 = 1;

/// What is asked about a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Its IPv4 addresses.
    A,
    /// Its IPv6 addresses.
    Aaaa,
    /// Something else.
    Other,
}

/// A question as it was asked.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Question<'p> {
    /// The name, with a dot between labels. Bytes that can be in no name stand as U+FFFD.
    pub(super) name: String,
    /// What is asked about it.
    pub(super) kind: Kind,
    packet: &'p [u8],
    end: usize,
}

/// What is said of a packet.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Asked<'p> {
    /// A question that can be answered.
    Question(Question<'p>),
    /// A packet that is answered, and asks nothing that can be: the answer.
    Unfit(Vec<u8>),
    /// A packet that is no question, and gets no answer, lest two servers talk to each other.
    Nothing,
}

/// How an answer begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Code {
    /// Here it is, or there is none of that kind.
    Fine = 0,
    /// The question cannot be read.
    Broken = 1,
    /// It cannot be answered now.
    Failed = 2,
    /// There is no such name.
    NoName = 3,
    /// That is not done here.
    NotDone = 4,
    /// That is not answered to anybody.
    Refused = 5,
}

/// Reads a packet.
pub(super) fn read(packet: &[u8]) -> Asked<'_> {
    let Some(head) = packet.first_chunk::<HEAD>() else {
        return Asked::Nothing;
    };
    let [_, _, flags, _, questions @ ..] = *head;
    if flags & 0x80 != 0 {
        return Asked::Nothing;
    }
    let unfit = |code| Asked::Unfit(answer_head(packet, code, 0, 0));
    if flags & 0x78 != 0 {
        return unfit(Code::NotDone);
    }
    let [questions @ .., _, _, _, _] = questions;
    // Answers in a question are none; what an extension adds (RFC 6891) changes no answer of ours.
    let ([0, 1, 0, 0], Some(question)) = (questions, read_question(packet)) else {
        return unfit(Code::Broken);
    };
    match question {
        (question, INTERNET) => Asked::Question(question),
        (_, _) => unfit(Code::Refused),
    }
}

fn read_question(packet: &[u8]) -> Option<(Question<'_>, u16)> {
    let (mut at, mut name) = (HEAD, String::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Two bits say that the rest stands elsewhere. A first name has no elsewhere.
        if length > 63 || at + length + 1 - HEAD > LONGEST_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = packet.get(at..at + length)?;
        let plain = |byte: &u8| match byte {
            b'!'..=b'~' if *byte != b'.' => char::from(*byte),
            _ => char::REPLACEMENT_CHARACTER,
        };
        name.extend(label.iter().map(plain));
        at += length;
    }
    let [kind_high, kind_low, class_high, class_low] = *packet.get(at..)?.first_chunk()?;
    let kind = match u16::from_be_bytes([kind_high, kind_low]) {
        1 => Kind::A,
        28 => Kind::Aaaa,
        _ => Kind::Other,
    };
    let question = Question {
        name,
        kind,
        packet,
        end: at + 4,
    };
    Some((question, u16::from_be_bytes([class_high, class_low])))
}

impl Question<'_> {
    /// Answers without an address.
    pub(super) fn answer(&self, code: Code) -> Vec<u8> {
        let mut answer = answer_head(self.packet, code, 1, 0);
        answer.extend(self.packet.get(HEAD..self.end).unwrap_or_default());
        answer
    }

    /// Answers with an address.
    pub(super) fn answer_with(&self, address: IpAddr) -> Vec<u8> {
        let mut answer = answer_head(self.packet, Code::Fine, 1, 1);
        answer.extend(self.packet.get(HEAD..self.end).unwrap_or_default());
        // The name stands where the question has it.
        answer.extend([0xc0, 12]);
        let (kind, octets) = match address {
            IpAddr::V4(address) => (1u16, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        answer.extend(kind.to_be_bytes());
        answer.extend(INTERNET.to_be_bytes());
        answer.extend(SECONDS.to_be_bytes());
        answer.extend([0, if address.is_ipv4() { 4 } else { 16 }]);
        answer.extend(octets);
        answer
    }
}

fn answer_head(packet: &[u8], code: Code, questions: u8, answers: u8) -> Vec<u8> {
    let [id_high, id_low, flags, ..] = packet.first_chunk::<HEAD>().copied().unwrap_or_default();
    // An answer, of one that knows; whether recursion was wished for is said back, and it is done.
    let flags = 0x84 | flags & 0x01;
    let code = 0x80 | code as u8;
    vec![
        id_high, id_low, flags, code, 0, questions, 0, answers, 0, 0, 0, 0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(name: &[&[u8]], kind: u16, class: u16) -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name {
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend(*label);
        }
        packet.push(0);
        packet.extend(kind.to_be_bytes());
        packet.extend(class.to_be_bytes());
        packet
    }

    fn question(packet: &[u8]) -> Question<'_> {
        match read(packet) {
            Asked::Question(question) => question,
            other @ (Asked::Unfit(_) | Asked::Nothing) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_question_is_answered_with_its_own_words() {
        let packet = packet(&[b"Api", b"example", b"com"], 1, 1);
        let question = question(&packet);
        assert_eq!(
            (question.name.as_str(), question.kind),
            ("Api.example.com", Kind::A)
        );
        let answer = question.answer_with("198.18.0.7".parse().unwrap());
        assert_eq!(
            answer[..12],
            [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
        );
        assert_eq!(answer[12..packet.len()], packet[12..]);
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 7];
        assert_eq!(answer[packet.len()..], record);
        let none = question.answer(Code::NoName);
        assert_eq!(none[..8], [0x12, 0x34, 0x85, 0x83, 0, 1, 0, 0]);
    }

    #[test]
    fn bytes_that_are_in_no_name_are_none_of_another() {
        let packet = packet(&[b"a.b", b"x\0y", b"\xc3\xa4"], 16, 1);
        let question = question(&packet);
        assert_eq!(question.name, "a\u{fffd}b.x\u{fffd}y.\u{fffd}\u{fffd}");
        assert_eq!(question.kind, Kind::Other);
    }

    #[test]
    fn what_is_no_question_is_not_answered_as_one() {
        let good = packet(&[b"a", b"b"], 1, 1);
        let changed = |at: usize, to: u8| {
            let mut packet = good.clone();
            packet[at] = to;
            packet
        };
        for (packet, code) in [
            (changed(2, 0x28), 4),
            (changed(5, 0), 1),
            (changed(5, 2), 1),
            (changed(7, 1), 1),
            (changed(12, 0xc0), 1),
            (changed(12, 64), 1),
            (changed(12, 9), 1),
            (packet(&[b"a"], 1, 3), 5),
            (packet(&[[b'a'; 63].as_slice(); 4], 1, 1), 1),
            (good[..good.len() - 1].to_vec(), 1),
        ] {
            match read(&packet) {
                Asked::Unfit(answer) => assert_eq!(answer[3] & 15, code, "{packet:?}"),
                other @ (Asked::Question(_) | Asked::Nothing) => panic!("{packet:?}: {other:?}"),
            }
        }
        assert_eq!(read(&changed(2, 0x81)), Asked::Nothing);
        assert_eq!(read(&good[..11]), Asked::Nothing);
    }

    #[test]
    fn fuzz_a_packet_is_a_question_or_none() {
        const WORDS: &[&str] = &["\u{7}example", "\u{3}com", "\0\0\u{1}\0\u{1}"];
        crate::mutate::fuzz("lookup", WORDS, |bytes| match read(bytes) {
            Asked::Question(question) => {
                let answer = question.answer_with("::1".parse().unwrap());
                assert_eq!(answer.len(), question.end + 28);
                assert!(question.name.chars().count() < 255);
                format!(
                    "{:?} {}",
                    question.kind,
                    question.name.split('.').count().min(4)
                )
            }
            Asked::Unfit(answer) => format!(
                "unfit {}",
                ["", "a", "b", "c", "d", "e"][usize::from(answer[3] & 15)]
            ),
            Asked::Nothing => "nothing".to_owned(),
        });
    }
}
