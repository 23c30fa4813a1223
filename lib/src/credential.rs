//! What an account shows its upstream.

use crate::secret::Secret;

/// A credential in the clear. It is sealed wherever it is kept; this form lives only as long as one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A key of the provider's own API.
    ApiKey(Secret),
}

impl Credential {
    /// The word of the management API for this form.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_key",
        }
    }

    /// Tells two credentials apart without giving either away.
    pub fn hint(&self) -> String {
        match self {
            Self::ApiKey(key) => key.hint(),
        }
    }
}
