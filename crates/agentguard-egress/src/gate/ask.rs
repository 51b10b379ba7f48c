//! The guard, as the gate sees it: it is asked, and told what came of what it permitted.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use agentguard_core::{Api, CredentialName, Digest, OutcomeOf, Push, Reach, Rule};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use super::held::Held;
use super::later::Later;
use super::line::Line;
use super::measured::{self, Measured};
use super::near::{Near, Open};
use crate::wire::{Answer, Asked};

/// One of the guard's lines broke: nothing more can be asked, and the gate ends.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the guard is gone")]
pub(super) struct Gone;

/// What the agent is told of a refusal.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) rule: Rule,
    pub(super) entry: Option<u64>,
    /// What a human calls the question by that was asked about it.
    pub(super) approval: Option<String>,
    /// Of a push, which rule refuses each of its first refs, if it were the only one.
    pub(super) each: Vec<Option<Rule>>,
}

/// Whom to ask.
#[derive(Clone)]
pub(super) struct Guard {
    questions: mpsc::UnboundedSender<Question>,
    held: Arc<Held>,
    later: Arc<Later>,
    /// Where the gate runs, and whoever answers it.
    pub(super) near: Arc<Near>,
}

/// What is asked, and whoever waits for the answer.
struct Question {
    asked: Asked,
    waiting: Option<oneshot::Sender<Settled>>,
    /// Is told by what name a human is asked, where one is.
    held: Option<oneshot::Sender<String>>,
    /// That it is under way, where something comes of it.
    open: Option<Open>,
}

/// Something about which the guard is asked, and a human may be. Whoever drops it does not wait any more.
pub(super) struct Asking {
    settled: oneshot::Receiver<Settled>,
    held: oneshot::Receiver<String>,
}

impl Asking {
    /// Waits until it is known whether a human is asked; then it says what the human calls the question by.
    pub(super) async fn held(&mut self) -> Option<String> {
        (&mut self.held).await.ok()
    }

    /// Waits for what comes of it.
    pub(super) async fn settled(&mut self) -> Result<Result<Permitted, Told>, Gone> {
        match (&mut self.settled).await.map_err(|_| Gone)? {
            Settled::Permitted(permitted) => Ok(Ok(permitted)),
            Settled::Told(told) => Ok(Err(told)),
        }
    }
}

enum Settled {
    Permitted(Permitted),
    Told(Told),
}

/// A request that was permitted. What came of it is told once, whatever happens to whoever holds this.
pub(super) struct Permitted {
    guard: Guard,
    entry: u64,
    begun: Instant,
    is_told: bool,
    /// What is sent of its body.
    sent: Option<Arc<Measured>>,
    _open: Option<Open>,
}

impl Guard {
    /// Opens the lines. The tasks end when one of them breaks.
    pub(super) fn new(
        lines: Vec<OwnedFd>,
        held: Vec<OwnedFd>,
    ) -> io::Result<(Self, JoinSet<Gone>)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let guard = Self {
            questions: sender,
            held: Arc::default(),
            later: Arc::default(),
            near: Arc::new(Near::new()),
        };
        let receiver = Arc::new(Mutex::new(receiver));
        let mut tasks = JoinSet::new();
        for line in lines {
            let line = Line::new(line)?;
            tasks.spawn(serve(line, Arc::clone(&receiver), guard.clone()));
        }
        for line in held {
            let held = Arc::clone(&guard.held);
            tasks.spawn(async move { held.hear(line).await });
        }
        tasks.spawn(tell_late(guard.clone()));
        Ok((guard, tasks))
    }

    /// Has it written down that a host was not reached.
    pub(super) async fn reach(&self, reach: Reach) -> Result<Told, Gone> {
        self.refused(Asked::Reach(reach)).await
    }

    /// Has it written down that the gate refused something by a rule of its own.
    pub(super) async fn refuse(&self, reach: Reach, rule: Rule) -> Result<Told, Gone> {
        self.refused(Asked::Refuse(reach, rule)).await
    }

    /// Has it written down that the gate refused something, since a placeholder stands where it may not.
    pub(super) async fn misused(
        &self,
        name: CredentialName,
        reach: Reach,
        rule: Rule,
    ) -> Result<Told, Gone> {
        self.refused(Asked::Misused(name, reach, rule)).await
    }

    /// Has it written down that something was let through.
    pub(super) fn found(&self, rule: Rule) {
        // Where nobody is there to be told, the gate is about to end.
        let _ = self.questions.send(Question {
            asked: Asked::Found(rule),
            waiting: None,
            held: None,
            open: None,
        });
    }

    /// May a connection be passed on of which nothing is seen?
    pub(super) async fn tunnel(&self, reach: Reach) -> Result<Result<Permitted, Told>, Gone> {
        let open = self.near.open();
        self.near.let_go();
        match self.ask(Asked::Tunnel(reach), Some(open)).await? {
            Settled::Permitted(permitted) => Ok(Ok(permitted)),
            Settled::Told(told) => Ok(Err(told)),
        }
    }

    /// May this be sent? It may take as long as a human does. The digest is of `whole` of it, where that is known.
    pub(super) async fn request(
        &self,
        api: Api,
        whole: Option<Digest>,
    ) -> Result<Result<Permitted, Told>, Gone> {
        let open = self.near.open();
        let asked = Asked::Api(Box::new(api), whole);
        match self.ask(asked, Some(open)).await? {
            Settled::Permitted(permitted) => Ok(Ok(permitted)),
            Settled::Told(told) => Ok(Err(told)),
        }
    }

    /// May refs be changed so? The digest is of all that is sent.
    pub(super) fn push(&self, push: Push, whole: Digest) -> Result<Asking, Gone> {
        let (waiting, settled) = oneshot::channel();
        let (held, told) = oneshot::channel();
        let question = Question {
            asked: Asked::Push(Box::new(push), whole),
            waiting: Some(waiting),
            held: Some(held),
            open: Some(self.near.open()),
        };
        self.questions.send(question).map_err(|_| Gone)?;
        Ok(Asking {
            settled,
            held: told,
        })
    }

    /// What an answer settles. A permit that nobody takes says so when it is dropped.
    fn settled(&self, answer: Answer, open: Option<Open>) -> Option<Settled> {
        match answer {
            Answer::Permitted { entry } => Some(Settled::Permitted(Permitted {
                guard: self.clone(),
                entry,
                begun: Instant::now(),
                is_told: false,
                sent: None,
                _open: open,
            })),
            Answer::Refused {
                rule,
                entry,
                approval,
                each,
            } => Some(Settled::Told(Told {
                rule,
                entry,
                approval,
                each,
            })),
            // What is held is not settled, and cannot be held again.
            Answer::Held { .. } => None,
        }
    }

    async fn refused(&self, asked: Asked) -> Result<Told, Gone> {
        match self.ask(asked, None).await? {
            Settled::Told(told) => Ok(told),
            // The guard permits nothing but requests.
            Settled::Permitted(_) => Err(Gone),
        }
    }

    async fn ask(&self, asked: Asked, open: Option<Open>) -> Result<Settled, Gone> {
        let (sender, receiver) = oneshot::channel();
        let question = Question {
            asked,
            waiting: Some(sender),
            held: None,
            open,
        };
        self.questions.send(question).map_err(|_| Gone)?;
        receiver.await.map_err(|_| Gone)
    }
}

impl Permitted {
    /// Since when.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// The entry that permitted it.
    pub(super) fn entry(&self) -> u64 {
        self.entry
    }

    /// Its body is sent, and measured by this. Whatever comes of it, what was sent is told.
    pub(super) fn sends(&mut self, body: &Arc<Measured>) {
        self.sent = Some(Arc::clone(body));
    }

    /// Tells what came of it.
    pub(super) fn tell(mut self, outcome: OutcomeOf) {
        self.send(outcome, None);
    }

    /// The same, with what was handed back.
    pub(super) fn tell_of(mut self, outcome: OutcomeOf, received: Arc<Measured>) {
        self.send(outcome, Some(received));
    }

    fn send(&mut self, outcome: OutcomeOf, received: Option<Arc<Measured>>) {
        self.is_told = true;
        let (later, of) = (Arc::clone(&self.guard.later), self.entry);
        measured::say(self.sent.take(), received, move |bodies| {
            later.add(Asked::Outcome {
                of,
                outcome,
                bodies,
            });
        });
    }
}

impl Drop for Permitted {
    fn drop(&mut self) {
        if !self.is_told {
            let why = "whoever asked for it did not wait".to_owned();
            self.send(OutcomeOf::Unanswered { why }, None);
        }
    }
}

type Questions = Arc<Mutex<mpsc::UnboundedReceiver<Question>>>;

/// Asks over one line, one question after the other.
async fn serve(mut line: Line, questions: Questions, guard: Guard) -> Gone {
    loop {
        let Some(question) = questions.lock().await.recv().await else {
            return Gone;
        };
        if question.asked.is_told() {
            match line.tell(&question.asked, &guard.later.take()).await {
                Ok(()) => continue,
                Err(_) => return Gone,
            }
        }
        let along = guard.later.take();
        let near = guard.near.at();
        let Ok(answer) = line.ask(&question.asked, along, near).await else {
            return Gone;
        };
        if let Answer::Held { ticket, approval } = answer {
            // Most do not want to know.
            let _ = question.held.map(|held| held.send(approval));
            let waiting = (question.waiting, question.open);
            tokio::spawn(hold(guard.clone(), ticket, waiting));
            continue;
        }
        // Where nobody waits any more, a permit is dropped here, and says so.
        if let (Some(settled), Some(waiting)) =
            (guard.settled(answer, question.open), question.waiting)
        {
            let _ = waiting.send(settled);
        }
    }
}

/// Tells what could go along with nothing.
async fn tell_late(guard: Guard) -> Gone {
    loop {
        let question = Question {
            asked: guard.later.due().await,
            waiting: None,
            held: None,
            open: None,
        };
        if guard.questions.send(question).is_err() {
            return Gone;
        }
    }
}

/// Waits until the guard has settled what it holds, and says so where whoever sent it does not wait any more.
async fn hold(
    guard: Guard,
    ticket: u64,
    (waiting, open): (Option<oneshot::Sender<Settled>>, Option<Open>),
) {
    let mut settling = guard.held.wait(ticket);
    let answer = match waiting {
        None => settling.await.map(|answer| (answer, None)),
        Some(mut waiting) => tokio::select! {
            answer = &mut settling => answer.map(|answer| (answer, Some(waiting))),
            () = waiting.closed() => {
                let _ = guard.questions.send(Question { asked: Asked::Withdraw { ticket }, waiting: None, held: None, open: None });
                settling.await.map(|answer| (answer, None))
            }
        },
    };
    let Ok((answer, waiting)) = answer else {
        return;
    };
    if let (Some(settled), Some(waiting)) = (guard.settled(answer, open), waiting) {
        let _ = waiting.send(settled);
    }
}
