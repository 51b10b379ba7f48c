//! Programs, requests and pushes that a rule leaves to a human: they wait, and the session goes on.

use agentguard_core::{
    Action, Admitted, Api, CredentialName, Digest, Exec, OutcomeOf, Permit, Push, Rule, Unrecorded,
    Waiting,
};
use agentguard_egress::{Refused, Requested, Ticket};
use agentguard_policy::Question;
use agentguard_sandbox::MayRun;

use crate::approvals::{Asking, Settled};
use crate::supervise::{Supervisor, to_agent};
use crate::text::command_line;

impl Supervisor<'_> {
    /// Puts a request through the gate, and asks a human where a rule says so.
    pub(crate) fn request_or_ask(
        &self,
        api: Api,
        whole: Option<Digest>,
    ) -> Result<Requested<Question>, Refused> {
        self.is_lent(&api)?;
        self.admit_or_ask(Action::Api(Box::new(api)), whole)
    }

    /// Puts a push through the gate, and asks a human where a rule says so.
    pub(crate) fn push_or_ask(
        &self,
        push: Push,
        whole: Digest,
    ) -> Result<Requested<Question>, Refused> {
        self.admit_or_ask(Action::Push(Box::new(push)), Some(whole))
    }

    fn admit_or_ask(
        &self,
        action: Action,
        whole: Option<Digest>,
    ) -> Result<Requested<Question>, Refused> {
        let words = words(&action);
        let question = self.judge.question(action);
        let admitted = match self.gate.admit_or_wait(question) {
            Ok(Admitted::Permit(permit)) => Ok(permit),
            Ok(Admitted::Waiting(waiting)) => return self.ask(waiting, &words, whole),
            Err(refusal) => Err(refusal),
        };
        let permit = self.told(admitted, words, false);
        let permit = permit.map_err(|told| refused(told, None))?;
        self.lend(permit).map(Requested::Permit)
    }

    /// Refuses what would use a credential that is lent no more.
    pub(crate) fn is_lent(&self, api: &Api) -> Result<(), Refused> {
        let ended = self.lending.refusal(&api.credentials, self.record);
        match ended.map_err(unwritten)? {
            None => Ok(()),
            Some(rule) => {
                let action = Action::Api(Box::new(api.clone()));
                Err(self.refuse_action(action, request_words(api), rule))
            }
        }
    }

    /// Puts credentials to the use that was permitted. The verdict may have taken its time, a human's above all: they
    /// are looked at once more.
    pub(crate) fn lend(&self, permit: Permit<Question>) -> Result<Permit<Question>, Refused> {
        let names = credentials(permit.action().action());
        if names.is_empty() {
            return Ok(permit);
        }
        let ended = self.lending.refusal(names, self.record);
        if let Some(rule) = ended.map_err(unwritten)? {
            let of = permit.index();
            let killed = OutcomeOf::Killed { rule: rule.clone() };
            self.record.outcome(of, killed).map_err(unwritten)?;
            self.tell(words(permit.action().action()), &rule, Some(of));
            return Err(Refused {
                rule,
                entry: Some(of),
                approval: None,
            });
        }
        // The request that carries a push was counted when it was permitted.
        if let Action::Api(_) = permit.action().action() {
            let used = self.lending.used(names, self.record);
            used.map_err(unwritten)?;
        }
        Ok(permit)
    }

    /// Puts an exec through the gate, and asks a human where a rule says so. Only this very call waits: another one of the
    /// same is asked about anew.
    pub(crate) fn run_or_ask(
        &self,
        exec: Exec,
        is_first: bool,
    ) -> Result<MayRun<Question>, agentguard_sandbox::Refused> {
        let words = run_words(&exec);
        let question = self.judge.question(Action::Exec(exec));
        let admitted = match self.gate.admit_or_wait(question) {
            Ok(Admitted::Permit(permit)) => Ok(permit),
            Ok(Admitted::Waiting(waiting)) => {
                let question = waiting.action().clone();
                let record =
                    |id: &str, rule: &Rule, until| self.record.asked(&question, id, rule, until);
                match self.book.ask(waiting, &words, None, record) {
                    Asking::Held { ticket, new, .. } => {
                        new.iter().for_each(|asked| self.tell.asked(asked));
                        return Ok(MayRun::Held(ticket));
                    }
                    Asking::Ruled(settled) => self.gate.conclude(settled.action, settled.ruling),
                }
            }
            Err(refusal) => Err(refusal),
        };
        let permit = self.told(admitted, words, is_first).map_err(to_agent)?;
        Ok(MayRun::Permit(permit))
    }

    /// What a human answered about a call, or did not in time.
    pub(crate) fn run_answered(
        &self,
        ticket: u64,
        is_first: bool,
    ) -> Option<Result<Permit<Question>, agentguard_sandbox::Refused>> {
        let settled = self.book.look_at(ticket)?;
        let words = words(settled.action.action().action());
        let concluded = self.gate.conclude(settled.action, settled.ruling);
        Some(self.told(concluded, words, is_first).map_err(to_agent))
    }

    /// Whoever made a call waits no more.
    pub(crate) fn run_withdrawn(&self, ticket: u64) {
        if let Some(settled) = self.book.withdraw(ticket) {
            // Where it cannot be written, nothing happens of it either way.
            let _ = self.gate.conclude(settled.action, settled.ruling);
        }
    }

    /// The session is over: whatever still waits is answered by that.
    pub(crate) fn all_withdrawn(&self) {
        for settled in self.book.withdraw_all() {
            // Where it cannot be written, nothing happens of it either way.
            let _ = self.gate.conclude(settled.action, settled.ruling);
        }
    }

    /// What humans answered meanwhile, or did not in time.
    pub(crate) fn heard(&self) -> Vec<(Ticket, Result<Permit<Question>, Refused>)> {
        let settled = self.book.look().into_iter();
        settled
            .map(|settled| (Ticket(settled.ticket), self.conclude(settled)))
            .collect()
    }

    /// Whoever waits by this ticket does not wait any more.
    pub(crate) fn withdrawn(&self, ticket: Ticket) -> Option<Refused> {
        let settled = self.book.withdraw(ticket.0)?;
        self.conclude(settled).err()
    }

    fn ask(
        &self,
        waiting: Waiting<Question>,
        words: &str,
        whole: Option<Digest>,
    ) -> Result<Requested<Question>, Refused> {
        let question = waiting.action().clone();
        let record = |id: &str, rule: &Rule, until| self.record.asked(&question, id, rule, until);
        match self.book.ask(waiting, words, whole, record) {
            Asking::Held { ticket, id, new } => {
                if let Some(asked) = new {
                    self.tell.asked(&asked);
                }
                Ok(Requested::Held {
                    ticket: Ticket(ticket),
                    approval: id,
                })
            }
            Asking::Ruled(settled) => self.conclude(*settled).map(Requested::Permit),
        }
    }

    fn conclude(&self, settled: Settled) -> Result<Permit<Question>, Refused> {
        let Settled {
            action,
            ruling,
            open,
            ..
        } = settled;
        let words = words(action.action().action());
        let concluded = self.gate.conclude(action, ruling);
        let permit = self
            .told(concluded, words, false)
            .map_err(|told| refused(told, open))?;
        self.lend(permit)
    }
}

fn unwritten(error: Unrecorded) -> Refused {
    Refused {
        rule: Rule::new("guard/unrecorded", error.to_string()),
        entry: None,
        approval: None,
    }
}

/// A request in words.
pub(crate) fn request_words(api: &Api) -> String {
    format!("{} `{}`", api.method, api.url())
}

/// A program with its arguments.
pub(crate) fn run_words(exec: &Exec) -> String {
    let words = match exec.argv.as_slice() {
        [] => command_line(std::slice::from_ref(&exec.program.path)),
        argv => command_line(argv),
    };
    format!("`{words}`")
}

/// An action that can wait, in words.
fn words(action: &Action) -> String {
    match action {
        Action::Api(api) => request_words(api),
        Action::Push(push) => push.words(),
        Action::Exec(exec) => run_words(exec),
        Action::Session(_) | Action::File(_) | Action::Connect(_) | Action::Reach(_) => {
            action.kind().to_owned()
        }
    }
}

/// What is put into it before it is sent.
fn credentials(action: &Action) -> &[CredentialName] {
    match action {
        Action::Api(api) => &api.credentials,
        Action::Push(push) => &push.credentials,
        Action::Session(_)
        | Action::Exec(_)
        | Action::File(_)
        | Action::Connect(_)
        | Action::Reach(_) => &[],
    }
}

fn refused(told: crate::Told, approval: Option<String>) -> Refused {
    Refused {
        approval,
        ..crate::gated::to_client(told)
    }
}
