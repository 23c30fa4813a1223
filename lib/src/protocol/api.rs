//! Which API is spoken: by a caller, and by the upstream of an account.

use super::Operation;

/// An API of a provider. Gemini has two: the public one takes keys, Code Assist takes logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// The Messages API and what belongs to it.
    Anthropic,
    /// The public Gemini API.
    Gemini,
    /// What Gemini CLI speaks after a "Login with Google": the Gemini API's requests and answers in a wrapper.
    CodeAssist,
}

impl Api {
    /// Whether an upstream of this API can serve a call that is made in the words of `spoken`. Code Assist serves calls of
    /// the public Gemini API as far as it has them itself: no embeddings, no files, no caches, no list of models.
    pub fn serves(self, spoken: Self, operation: Operation, model: Option<&str>) -> bool {
        match (self, spoken) {
            (Self::CodeAssist, Self::Gemini) => {
                let tuned = model.is_some_and(|model| model.starts_with("tunedModels/"));
                matches!(operation, Operation::Generate | Operation::CountTokens) && !tuned
            }
            (own, spoken) => own == spoken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_code_assist_lacks_is_never_sent_there() {
        let model = Some("gemini-2.5-pro");
        for (operation, wrapped) in [
            (Operation::Generate, true),
            (Operation::CountTokens, true),
            (Operation::Embed, false),
            (Operation::Models, false),
            (Operation::Files, false),
            (Operation::Batches, false),
            (Operation::Caches, false),
            (Operation::Other, false),
        ] {
            assert_eq!(Api::CodeAssist.serves(Api::Gemini, operation, model), wrapped, "{operation:?}");
            assert!(Api::Gemini.serves(Api::Gemini, operation, model));
            assert!(Api::CodeAssist.serves(Api::CodeAssist, operation, model));
            assert!(!Api::Gemini.serves(Api::CodeAssist, operation, model), "a key opens nothing there");
        }
        assert!(!Api::CodeAssist.serves(Api::Gemini, Operation::Generate, Some("tunedModels/mine")));
    }
}
