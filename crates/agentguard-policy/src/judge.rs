//! Judges a session's actions: the deny-list, then every tier, the strictest stands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use regorus::Value;

use agentguard_core::{Action, Digest, Judge, Rule, Session, Tier, Undecided, Verdict};

use crate::engine::Said;
use crate::error::tier_word;
use crate::input::{Facts, Input, SCHEMA};
use crate::memo::Memo;
use crate::policies::Inner;
use crate::tier::{self, TierEngine};

/// Judges one session's actions, and remembers.
pub struct SessionJudge {
    policies: Arc<Inner>,
    session: Session,
    /// The session as it stands in every input, and as the engine has it.
    session_text: String,
    session_value: Option<Value>,
    denied: BTreeMap<Digest, Rule>,
    memo: Memo,
}

/// An action with the input that rules see of it.
#[derive(Clone, Debug)]
pub struct Question {
    action: Action,
    input: String,
    /// How much of the input is not the session's, which is the same in all of a judge's questions.
    own: usize,
    denied: Option<Rule>,
}

impl Question {
    /// The action asked about.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The exact JSON that Rego sees.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The input without the session, which is the same in all of a session's questions: JSON as well.
    #[must_use]
    pub fn own_input(&self) -> String {
        let mut own = self.input.get(..self.own).unwrap_or("{").to_owned();
        own.push('}');
        own
    }

    /// Gives back the action.
    #[must_use]
    pub fn into_action(self) -> Action {
        self.action
    }
}

impl SessionJudge {
    pub(crate) fn new(policies: Arc<Inner>, session: Session) -> Self {
        let session_text = serde_json::to_string(&session).unwrap_or_default();
        let session_value = Value::from_json_str(&session_text).ok();
        Self {
            policies,
            session,
            session_text,
            session_value,
            denied: BTreeMap::new(),
            memo: Memo::default(),
        }
    }

    /// Denies programs by what they contain, whatever their name: the digests of those denied whole.
    #[must_use]
    pub fn with_denied_content(mut self, denied: BTreeMap<Digest, Rule>) -> Self {
        self.denied = denied;
        self
    }

    /// Prepares an action to be judged: computes what rules see of it, once.
    #[must_use]
    pub fn question(&self, action: Action) -> Question {
        let facts = Facts::of(&action, &self.session);
        let denied = self.denied(&action, &facts);
        let input = Input {
            schema: SCHEMA,
            action: &action,
            facts: &facts,
        };
        // What cannot be written as JSON leaves an input that no engine reads: undecided, so denied.
        let mut text = serde_json::to_string(&input).unwrap_or_default();
        text.pop();
        let own = text.len();
        text.push_str(",\"session\":");
        text.push_str(&self.session_text);
        text.push('}');
        Question {
            action,
            input: text,
            own,
            denied,
        }
    }

    fn denied(&self, action: &Action, facts: &Facts) -> Option<Rule> {
        match action {
            Action::Session(_)
            | Action::File(_)
            | Action::Connect(_)
            | Action::Reach(_)
            | Action::Api(_)
            | Action::Push(_) => None,
            Action::Exec(exec) => {
                let programs = std::iter::once(&exec.program).chain(&exec.script);
                let by_content = programs
                    .filter_map(|program| self.denied.get(&program.sha256))
                    .min()
                    .cloned();
                let deny = &self.policies.deny;
                by_content.or_else(|| deny.exec(&facts.names, &facts.commands, &exec.environment))
            }
        }
    }

    /// Whether a refusal by `rule` holds in a session that is a shadow: the deny-list's, the organisation's, of
    /// what could not be decided, and of what no answer would let be.
    #[must_use]
    pub fn holds(&self, question: &Question, rule: &Rule) -> bool {
        let is_fixed = match &question.action {
            Action::Session(_) => true,
            Action::Connect(connect) => !connect.granted, // the mediator would not make it
            Action::Reach(reach) => !reach.granted,       // nor the gate
            Action::Exec(_) | Action::File(_) | Action::Api(_) | Action::Push(_) => false,
        };
        is_fixed
            || question.denied.is_some()
            || rule.id.as_str() == Undecided::RULE
            || self.is_refused_by_organisation(question)
    }

    fn is_refused_by_organisation(&self, question: &Question) -> bool {
        let has_authority = |tier: &TierEngine| tier.tier == Tier::Org;
        self.policies.tiers.iter().any(has_authority)
            && !matches!(self.decide(question, has_authority), Ok(Verdict::Allow(_)))
    }

    /// Asks the tiers that are `meant`.
    fn decide(
        &self,
        question: &Question,
        meant: impl Fn(&TierEngine) -> bool,
    ) -> Result<Verdict, Undecided> {
        let input = self.value(question)?;
        let mut denies: Vec<Rule> = Vec::new();
        let mut asks: Vec<Rule> = Vec::new();
        let mut allows: Vec<Rule> = Vec::new();
        let tiers = self.policies.tiers.iter().enumerate();
        for (place, tier) in tiers.filter(|(_, tier)| meant(tier)) {
            let said = match &question.action {
                Action::Exec(_) => tier.exec(&input),
                Action::File(_) => tier.file(&input),
                Action::Session(_) => tier.session(&input),
                Action::Connect(_) => tier.connect(&input),
                Action::Reach(_) => tier.reach(&input),
                Action::Api(_) => tier.api(&input),
                Action::Push(_) => tier.push(&input),
            };
            let said = said.map_err(Undecided::new)?;
            if place == 0 {
                allows.clone_from(&said.allow);
            }
            denies.extend(not_allowed(tier_word(tier.tier), place == 0, &said));
            denies.extend(said.deny);
            asks.extend(said.ask);
        }
        // A rule that denies says more than the absence of one that allows.
        let is_rule = |rule: &&Rule| rule.id.as_str() != NOT_ALLOWED;
        let deny = denies
            .iter()
            .filter(is_rule)
            .min()
            .or_else(|| denies.first());
        match (deny, asks.into_iter().min(), allows.into_iter().min()) {
            (Some(rule), _, _) => Ok(Verdict::Deny(rule.clone())),
            (None, Some(rule), _) => Ok(Verdict::Ask(rule)),
            (None, None, Some(rule)) => Ok(Verdict::Allow(rule)),
            (None, None, None) => Err(Undecided::new("no tier decided")),
        }
    }

    fn value<'q>(&self, question: &'q Question) -> Result<tier::Input<'q>, Undecided> {
        let own = question.input.get(..question.own).unwrap_or("");
        let mut value = Value::from_json_str(&format!("{own}}}"))
            .map_err(|error| Undecided::new(format!("the input cannot be read: {error}")))?;
        let session = self
            .session_value
            .clone()
            .ok_or_else(|| Undecided::new("the session cannot be written"))?;
        value
            .as_object_mut()
            .map_err(|_| Undecided::new("the input is no object"))?
            .insert(Value::from("session"), session);
        Ok(tier::Input {
            text: Cow::Borrowed(question.input()),
            value,
        })
    }
}

const NOT_ALLOWED: &str = "guard/not-allowed";

/// The denial where a tier has to allow and does not: the highest always, others where they allow at all.
fn not_allowed(tier: &str, is_highest: bool, said: &Said) -> Option<Rule> {
    let must_allow = is_highest || said.has_allow;
    (must_allow && said.allow.is_empty()).then(|| {
        let reason = format!("no rule of the {tier} policy allows it");
        Rule::new(NOT_ALLOWED, reason).with_remedy(
            "ask for a rule that allows it; `agentguard policy eval` shows what rules see",
        )
    })
}

impl Judge<Question> for SessionJudge {
    fn judge(&self, question: &Question) -> Result<Verdict, Undecided> {
        if let Some(rule) = &question.denied {
            return Ok(Verdict::Deny(rule.clone()));
        }
        let key = question.input.get(..question.own).unwrap_or("");
        if let Some(verdict) = self.memo.find(key) {
            return Ok(verdict);
        }
        let verdict = self.decide(question, |_| true)?;
        self.memo.keep(key, &verdict);
        Ok(verdict)
    }
}
