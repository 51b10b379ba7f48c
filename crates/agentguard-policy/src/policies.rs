//! All tiers together.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use agentguard_core::{Session, Tier, TierDigest};

use crate::apart::Kind;
use crate::deny::DenyList;
use crate::error::{Error, Mistake};
use crate::judge::SessionJudge;
use crate::sources::{self, File, Source, Sources};
use crate::tier::TierEngine;

/// The regexes and globs that are kept compiled. With fewer a large policy compiles them per question.
const PATTERNS: usize = 4096;

/// The policies in force: loaded once, cheap to clone.
#[derive(Clone)]
pub struct Policies {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) deny: DenyList,
    /// The tier that must allow, then the lower ones.
    pub(crate) tiers: Vec<TierEngine>,
    pub(crate) sources: Vec<Source>,
    digests: OnceLock<Vec<TierDigest>>,
}

/// Every file of every tier, as kept with a session.
#[derive(Deserialize, Serialize)]
struct Bundle<'a> {
    schema: u32,
    tiers: std::borrow::Cow<'a, [Source]>,
}

impl Policies {
    /// Reads and loads every tier. Nothing is kept of policies that do not load whole.
    ///
    /// The shipped policies are a library under the highest tier that has authority: the
    /// organisation's, else the user's. Without either they are that tier themselves; a repository's
    /// policy only tightens, also when it stands alone.
    ///
    /// # Errors
    ///
    /// Returns an [`Error`] where a file cannot be read, or with every mistake found in them.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        Self::from_sources(sources::read_all(sources)?, Kind::Deciding)
    }

    /// Loads the policies that a session kept, for replay.
    ///
    /// # Errors
    ///
    /// Returns an [`Error`] where the text is no bundle, or the policies in it do not load.
    pub fn from_bundle(text: &str) -> Result<Self, Error> {
        let bundle: Bundle<'_> =
            serde_json::from_str(text).map_err(|source| Error::Bundle { source })?;
        Self::from_sources(bundle.tiers.into_owned(), Kind::Kept)
    }

    pub(crate) fn from_sources(sources: Vec<Source>, kind: Kind) -> Result<Self, Error> {
        keep_patterns();
        let authority = authority(&sources);
        let mut mistakes: Vec<Mistake> = Vec::new();
        let deny = gather(DenyList::load(&sources, authority), &mut mistakes)?;
        let mut tiers = Vec::new();
        let shipped = sources.iter().find(|source| source.tier == Tier::Shipped);
        for (place, source) in sources.iter().enumerate() {
            // Under a higher tier the shipped files are its library, not a tier.
            if source.tier == Tier::Shipped && place != authority {
                continue;
            }
            if source.embedded {
                tiers.push((false, TierEngine::shipped()));
                continue;
            }
            let library = library(
                shipped.filter(|_| source.tier != Tier::Shipped),
                place == authority,
            );
            if let Some(tier) = gather(TierEngine::load(source, &library, kind), &mut mistakes)? {
                tiers.push((place != authority, tier));
            }
        }
        Error::invalid(mistakes)?;
        tiers.sort_by_key(|(is_lower, _)| *is_lower);
        Ok(Self {
            inner: Arc::new(Inner {
                deny: deny.unwrap_or_default(),
                tiers: tiers.into_iter().map(|(_, tier)| tier).collect(),
                sources,
                digests: OnceLock::new(),
            }),
        })
    }

    /// Reads the shipped rules that every session asks later, which loading leaves: a confinement needs others. Call
    /// it where there is time; without, the first question takes two milliseconds longer.
    pub fn prepare(&self) {
        self.inner.tiers.iter().for_each(TierEngine::prepare);
    }

    /// Which policy it is, by content: every tier's digest, the shipped one's too.
    #[must_use]
    pub fn digests(&self) -> Vec<TierDigest> {
        let digests = || self.inner.sources.iter().map(Source::digest).collect();
        self.inner.digests.get_or_init(digests).clone()
    }

    /// Every file as JSON: kept with a session, it makes its decisions repeatable.
    #[must_use]
    pub fn bundle(&self) -> String {
        let bundle = Bundle {
            schema: 1,
            tiers: std::borrow::Cow::Borrowed(self.inner.sources.as_slice()),
        };
        serde_json::to_string(&bundle).unwrap_or_default()
    }

    /// Makes the judge of one session.
    #[must_use]
    pub fn judge(&self, session: Session) -> SessionJudge {
        SessionJudge::new(Arc::clone(&self.inner), session)
    }
}

/// Has the engine keep as many patterns as a large policy has.
pub(crate) fn keep_patterns() {
    regorus::cache::configure(regorus::cache::Config {
        regex: PATTERNS,
        glob: PATTERNS,
    });
}

/// The place of the tier that must allow: the highest one that is not the repository's.
pub(crate) fn authority(sources: &[Source]) -> usize {
    let has_authority = |source: &Source| source.tier != Tier::Repository;
    sources.iter().position(has_authority).unwrap_or(0)
}

/// The shipped files a tier is loaded over: all for the highest tier, the functions for the others.
pub(crate) fn library(shipped: Option<&Source>, whole: bool) -> Vec<(&Source, &File)> {
    let files = shipped
        .into_iter()
        .flat_map(|source| source.files.iter().map(move |file| (source, file)));
    files
        .filter(|(_, file)| whole || file.name == "lib.rego")
        .collect()
}

/// Goes on after mistakes, so that all are shown at once.
pub(crate) fn gather<T>(
    result: Result<T, Error>,
    mistakes: &mut Vec<Mistake>,
) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Invalid { first, others }) => {
            mistakes.push(first);
            mistakes.extend(others);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
