//! The least guard there can be: it allows every exec and keeps no log.

use agentguard_core::{
    Action, Connect, Exec, Gate, Index, Judge, Making, Network, NobodyToAsk, OutcomeOf, Permit,
    Reach, Record, RefMove, Rule, Ruling, Undecided, Unrecorded, Verdict,
};
use agentguard_sandbox::{
    CommitFound, Difference, Error, HeldSignals, Launched, Plan, Refused, Supervise,
};

struct Anything;

impl<A> Judge<A> for Anything {
    fn judge(&self, _: &A) -> Result<Verdict, Undecided> {
        Ok(Verdict::Allow(Rule::new(
            "test/anything",
            "this test is about the kernel",
        )))
    }
}

impl<A> Record<A> for Anything {
    fn record(&self, _: &A, _: &Ruling) -> Result<Index, Unrecorded> {
        Ok(Index(0))
    }
}

fn permit<A>(action: A) -> Permit<A> {
    Gate::new(Anything, NobodyToAsk, Anything)
        .admit(action)
        .unwrap()
}

impl Supervise for Anything {
    type Action = Action;

    fn exec(&self, exec: Exec, _: bool) -> Result<Permit<Action>, Refused> {
        Ok(permit(Action::Exec(exec)))
    }

    fn name(&self, making: Making) -> Result<Permit<Action>, Refused> {
        Ok(permit(Action::File(making)))
    }

    fn connect(&self, connect: Connect) -> Result<Permit<Action>, Refused> {
        Ok(permit(Action::Connect(connect)))
    }

    fn outcome(&self, _: Index, _: OutcomeOf) -> Result<(), Unrecorded> {
        Ok(())
    }

    fn nowhere(&self, _: Reach) -> Result<(), Unrecorded> {
        Ok(())
    }

    fn changed(&self, _: Difference) -> Result<(), Unrecorded> {
        Ok(())
    }

    fn moved(&self, _: Vec<RefMove>, _: Vec<CommitFound>, _: bool) -> Result<(), Unrecorded> {
        Ok(())
    }
}

/// Runs a plan to its end, which must be an ordinary one.
pub(crate) fn run(plan: &Plan, signals: &HeldSignals) {
    let launched = Launched::launch().unwrap();
    let network = plan.confinement.network;
    launched.announce(plan.become_user, network).unwrap();
    let prepared = launched.build(plan, None).unwrap().ready().unwrap();
    let ended = prepared.start(permit(()), &Anything, signals).unwrap();
    assert_eq!(ended.outcome, OutcomeOf::Exited { code: 0 });
    assert!(!ended.is_out_of_time);
}

/// Why a plan is refused that is for another session than was announced.
pub(crate) fn refused(plan: &Plan, announced: Network) -> Error {
    let launched = Launched::launch().unwrap();
    launched.announce(plan.become_user, announced).unwrap();
    launched.build(plan, None).unwrap().ready().unwrap_err()
}
