//! Requests that a rule leaves to a human: they wait, and the session goes on.

use agentguard_core::{Action, Admitted, Api, Digest, Permit, Rule, Waiting};
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
        let words = request_words(&api);
        let question = self.judge.question(Action::Api(Box::new(api)));
        let admitted = match self.gate.admit_or_wait(question) {
            Ok(Admitted::Permit(permit)) => Ok(permit),
            Ok(Admitted::Waiting(waiting)) => return self.ask(waiting, &words, whole),
            Err(refusal) => Err(refusal),
        };
        let permit = self.told(admitted, words, false);
        permit
            .map(Requested::Permit)
            .map_err(|told| refused(told, None))
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
            | Action::Reach(_) => action.action().action().kind().to_owned(),
        };
        let concluded = self.gate.conclude(action, ruling);
        self.told(concluded, words, false)
            .map_err(|told| refused(told, open))
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
