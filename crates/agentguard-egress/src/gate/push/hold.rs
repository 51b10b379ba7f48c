//! Pushes that wait for a human. Whoever pushes sees that, where the client shows what a server says.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentguard_core::Rule;
use hyper::body::{Body as _, Bytes};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep;

use super::commands::Commands;
use super::pass::not_sent;
use super::{refused, report, reported};
use crate::gate::ask::{Asking, Permitted};
use crate::gate::body::Body;
use crate::gate::connection::refuse;
use crate::gate::serve::{Connection, Unsent};

/// How often it is said that it still waits. Proxies end connections on which nothing is said for a minute.
const TURN: Duration = Duration::from_secs(20);
/// How many pieces of an answer wait for a client that is slow.
const PIECES: usize = 4;

/// A push that was judged, as it will be sent.
pub(in crate::gate) struct Going {
    pub(super) commands: Commands,
    pub(super) permitted: Permitted,
    pub(super) request: Request<Body>,
}

/// Whoever pushes, and sees what is said meanwhile.
struct Shown(mpsc::Sender<Bytes>);

impl Shown {
    /// Says it. Whether somebody is there to read it is seen by [`Shown::closed`].
    async fn say(&self, bytes: Vec<u8>) {
        let _ = self.0.send(bytes.into()).await;
    }

    async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Connection {
    /// Waits for a human, who is asked by the name `approval`.
    pub(super) async fn hold(
        self: &Arc<Self>,
        going: Going,
        mut asking: Asking,
        approval: String,
    ) -> Result<Response<Body>, Unsent> {
        let Ok(place) = Arc::clone(&self.shared.held).try_acquire_owned() else {
            // It is asked about all the same, and the answer is for the next push of the very same.
            drop(asking);
            not_sent(going.permitted);
            let reason = "a human is asked about it, and too many pushes wait for one already";
            let rule = Rule::new("gate/push", reason).with_remedy(format!(
                "a human approves it with `agentguard approve {approval}`; then push the very same again"
            ));
            let told = refuse(&self.shared, &self.origin, rule).await?;
            return Ok(refused(&going.commands, &told));
        };
        if !going.commands.side_band {
            return self.settle(going, &mut asking).await;
        }
        let (says, heard) = mpsc::channel(PIECES);
        let connection = Arc::clone(self);
        let waiting = async move {
            let shown = Shown(says);
            connection
                .wait(going, (asking, place), &approval, &shown)
                .await;
        };
        tokio::spawn(waiting);
        Ok(reported(Body::Told(heard)))
    }

    /// Waits, and says so. Where nobody listens any more, it waits no more.
    async fn wait(
        &self,
        going: Going,
        (mut asking, place): (Asking, OwnedSemaphorePermit),
        approval: &str,
        shown: &Shown,
    ) {
        let first = format!(
            "agentguard: waiting for approval {approval}; `agentguard approve {approval}` says yes"
        );
        shown.say(report::meanwhile(&first)).await;
        let settled = loop {
            tokio::select! {
                settled = asking.settled() => break settled,
                () = shown.closed() => return not_sent(going.permitted),
                () = sleep(TURN) => {
                    let still = format!("agentguard: still waiting for approval {approval}");
                    shown.say(report::meanwhile(&still)).await;
                }
            }
        };
        match settled {
            Ok(Ok(changing)) => self.pass_on(going, changing, shown).await,
            Ok(Err(told)) => {
                not_sent(going.permitted);
                shown.say(report::refused(&going.commands, &told)).await;
            }
            // The gate is about to end, and every connection with it.
            Err(_) => {}
        }
        drop(place);
    }

    /// Sends it, and says what the server says.
    async fn pass_on(&self, going: Going, changing: Permitted, shown: &Shown) {
        let commands = going.commands.clone();
        let failed = |why: &str| report::failed(&commands, why);
        let answer = match self.go(going, changing).await {
            Ok(answer) => answer,
            Err(_) => {
                return shown
                    .say(failed("it was approved, and could not be sent"))
                    .await;
            }
        };
        if let Some(why) = unreadable(&answer) {
            return shown.say(failed(&why)).await;
        }
        let mut words = answer.into_body();
        loop {
            let next = std::future::poll_fn(|context| Pin::new(&mut words).poll_frame(context));
            match next.await {
                Some(Ok(frame)) => {
                    // What comes after a body is not waited for by anybody here.
                    if let Ok(bytes) = frame.into_data()
                        && shown.0.send(bytes).await.is_err()
                    {
                        return;
                    }
                }
                // It ends without its end, which git knows.
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// Why what the server says cannot stand behind what was said already.
fn unreadable(answer: &Response<Body>) -> Option<String> {
    if answer.status() != StatusCode::OK {
        return Some(format!(
            "it was approved, and the server answers with status {}",
            answer.status().as_u16()
        ));
    }
    let headers = answer.headers();
    let is_report = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes() == report::KIND.as_bytes());
    (!is_report || headers.contains_key(CONTENT_ENCODING)).then(|| {
        "it was approved and sent, and what the server says of it cannot be read".to_owned()
    })
}
