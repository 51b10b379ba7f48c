//! Requests that a rule leaves to a human: they wait, and the session goes on.

use agentguard_core::{
    Action, Admitted, Api, Digest, OutcomeOf, Permit, Rule, Unrecorded, Waiting,
};
use agentguard_egress::{Refused, Requested, Ticket};
use agentguard_policy::Question;

use crate::approvals::{Asking, Settled};
use crate::supervise::Supervisor;

impl Supervisor<'_> {
    /// Puts a request through the gate, and asks a human where a rule says so.
    pub(crate) fn request_or_ask(
        &self,
        api: Api,
        whole: Option<Digest>,
    ) -> Result<Requested<Question>, Refused> {
        self.is_lent(&api)?;
        let words = request_words(&api);
        let question = self.judge.question(Action::Api(Box::new(api)));
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
        let ended = self.lending.refusal(api, self.record);
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
        let Action::Api(api) = permit.action().action() else {
            return Ok(permit);
        };
        if api.credentials.is_empty() {
            return Ok(permit);
        }
        let ended = self.lending.refusal(api, self.record);
        if let Some(rule) = ended.map_err(unwritten)? {
            let of = permit.index();
            let killed = OutcomeOf::Killed { rule: rule.clone() };
            self.record.outcome(of, killed).map_err(unwritten)?;
            self.tell(request_words(api), &rule, Some(of));
            return Err(Refused {
                rule,
                entry: Some(of),
                approval: None,
            });
        }
        let used = self.lending.used(&api.credentials, self.record);
        used.map_err(unwritten)?;
        Ok(permit)
    }

    /// What humans answered meanwhile, or did not in time.
    pub(crate) fn answered(&self) -> Vec<(Ticket, Result<Permit<Question>, Refused>)> {
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
            Asking::Held(ticket, asked) => {
                if let Some(asked) = asked {
                    self.tell.asked(&asked);
                }
                Ok(Requested::Held(Ticket(ticket)))
            }
            Asking::Ruled(settled) => self.conclude(settled).map(Requested::Permit),
        }
    }

    fn conclude(&self, settled: Settled) -> Result<Permit<Question>, Refused> {
        let Settled {
            action,
            ruling,
            open,
            ..
        } = settled;
        let words = match action.action().action() {
            Action::Api(api) => request_words(api),
            Action::Session(_)
            | Action::Exec(_)
            | Action::File(_)
            | Action::Connect(_)
            | Action::Reach(_)
            | Action::Push(_) => action.action().action().kind().to_owned(),
        };
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

fn refused(told: crate::Told, approval: Option<String>) -> Refused {
    Refused {
        approval,
        ..crate::gated::to_client(told)
    }
}
