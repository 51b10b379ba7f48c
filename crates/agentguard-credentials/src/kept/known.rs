//! Services that many know: where their tokens go, and which variables hold them.

use agentguard_core::Slot;

/// A service that many know.
#[derive(Clone, Debug)]
pub struct Known {
    /// The word for it.
    pub word: &'static str,
    /// Its hosts, each with where in a request the token stands.
    pub bound: Vec<(&'static str, Slot)>,
    /// The variables that its clients read.
    pub variables: &'static [&'static str],
    /// Whom git says it is there.
    pub user: Option<&'static str>,
}

impl Known {
    /// The words for them.
    pub const WORDS: &'static [&'static str] =
        &["anthropic", "gemini", "github", "gitlab", "openai"];

    /// The service of this word.
    ///
    /// # References
    ///
    /// - <https://docs.anthropic.com/en/api/overview>, "Authentication"
    /// - <https://ai.google.dev/api>, "Authentication"
    /// - <https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api>
    /// - <https://docs.gitlab.com/api/rest/authentication/>, "Personal, project, and group access tokens"
    /// - <https://docs.gitlab.com/api/oauth2/>, "Access Git over HTTPS with access token"
    /// - <https://platform.openai.com/docs/api-reference/authentication>
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let header = |name: &str| Slot::Header {
            name: name.to_owned(),
        };
        let authorization = || header("authorization");
        let (bound, variables): (_, &[&str]) = match word {
            "anthropic" => (
                vec![
                    ("api.anthropic.com", header("x-api-key")),
                    ("api.anthropic.com", authorization()),
                ],
                &["ANTHROPIC_API_KEY"],
            ),
            "gemini" => (
                vec![(
                    "generativelanguage.googleapis.com",
                    header("x-goog-api-key"),
                )],
                &["GEMINI_API_KEY"],
            ),
            // Its API takes either; git takes it as a password.
            "github" => (
                vec![
                    ("api.github.com", authorization()),
                    ("github.com", Slot::Basic),
                ],
                &["GITHUB_TOKEN", "GH_TOKEN"],
            ),
            // A token of its interface as well as of git's. GitLabs elsewhere are named by `--host`.
            "gitlab" => (
                vec![
                    ("gitlab.com", header("private-token")),
                    ("gitlab.com", authorization()),
                    ("gitlab.com", Slot::Basic),
                ],
                &["GITLAB_TOKEN"],
            ),
            "openai" => (
                vec![("api.openai.com", authorization())],
                &["OPENAI_API_KEY"],
            ),
            _ => return None,
        };
        // To GitLab it says of which kind the token is; tokens of its interface go with any name.
        let user = match word {
            "github" => Some("x-access-token"),
            "gitlab" => Some("oauth2"),
            _ => None,
        };
        let word = Self::WORDS.iter().find(|known| **known == word)?;
        Some(Self {
            word,
            bound,
            variables,
            user,
        })
    }
}
