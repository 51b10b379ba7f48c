//! How the command ends: the exit codes, as a type.

/// What the caller learns from the exit code. `docs/cli.md` says the same per command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Done; for a question, the answer is yes.
    Done,
    /// The answer is no: it does not verify, a test fails, nothing was found.
    No,
    /// It could not be done or not be found out, or was not asked for in words that we know.
    Failed,
    /// `exec` only: the child's own code, or 128 and its signal's number.
    Child(u8),
    /// `exec` only: we failed, and the command did not run or was ended.
    Guard,
    /// `exec` only: the command itself was refused.
    Refused,
    /// `exec` only: there is no such command.
    Missing,
}

impl Exit {
    /// The number that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Failed => 2,
            Self::Child(code) => code,
            Self::Guard => 125,
            Self::Refused => 126,
            Self::Missing => 127,
        }
    }

    /// The number as help and manual show it.
    pub(crate) fn shown(self) -> String {
        match self {
            Self::Child(_) => "any".to_owned(),
            Self::Done | Self::No | Self::Failed | Self::Guard | Self::Refused | Self::Missing => {
                self.code().to_string()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_exec_are_those_of_env_and_timeout() {
        let codes = [Exit::Guard, Exit::Refused, Exit::Missing, Exit::Child(7)].map(Exit::code);
        assert_eq!(codes, [125, 126, 127, 7]);
    }

    #[test]
    fn a_question_is_answered_yes_no_or_not_at_all() {
        assert_eq!(
            [Exit::Done, Exit::No, Exit::Failed].map(Exit::code),
            [0, 1, 2]
        );
    }
}
