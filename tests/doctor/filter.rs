//! A filter that makes chosen system calls fail, for a command and everything it starts.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Which calls fail, and how.
pub(crate) struct Filter {
    errno: i32,
    rules: BTreeMap<i64, Vec<SeccompRule>>,
}

impl Filter {
    pub(crate) fn new(errno: i32) -> Self {
        let rules = BTreeMap::new();
        Self { errno, rules }
    }

    /// The call fails.
    pub(crate) fn on(mut self, number: i64) -> Self {
        self.rules.insert(number, Vec::new());
        self
    }

    /// The call fails where an argument has this flag.
    pub(crate) fn on_flag(self, number: i64, argument: u8, flag: i32) -> Self {
        let flag = u64::try_from(flag).unwrap();
        self.when(number, argument, SeccompCmpOp::MaskedEq(flag), flag)
    }

    /// The call fails where an argument is this.
    pub(crate) fn on_value(self, number: i64, argument: u8, value: i32) -> Self {
        let value = u64::try_from(value).unwrap();
        self.when(number, argument, SeccompCmpOp::Eq, value)
    }

    fn when(mut self, number: i64, argument: u8, how: SeccompCmpOp, value: u64) -> Self {
        let condition =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value).unwrap();
        let rule = SeccompRule::new(vec![condition]).unwrap();
        self.rules.entry(number).or_default().push(rule);
        self
    }

    /// Filters this thread, and everything it starts from now on.
    pub(crate) fn hold(&self) {
        let target: TargetArch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(
            self.rules.clone(),
            SeccompAction::Allow,
            SeccompAction::Errno(self.errno.cast_unsigned()),
            target,
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
    }
}
