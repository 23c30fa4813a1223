//! What an account shows its upstream.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// A credential in the clear. It is sealed wherever it is kept; this form lives only as long as one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A key of the provider's own API.
    ApiKey(Secret),
    /// A login.
    OAuth {
        /// What requests are made with.
        access_token: Secret,
        /// What the next access token is got with; `None`: when this one ends, somebody has to log in again.
        refresh_token: Option<Secret>,
        /// When the access token ends; `None`: nobody said.
        expires_at: Option<Timestamp>,
        /// The Google Cloud project that requests count against.
        project: Option<String>,
    },
}

/// What is sealed: a credential as JSON.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Plain {
    #[serde(rename = "api_key")]
    ApiKey { api_key: String },
    #[serde(rename = "oauth")]
    OAuth {
        access_token: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refresh_token: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<String>,
    },
}

impl Credential {
    /// The kind that can be renewed, as [`Credential::kind`] words it.
    pub const OAUTH: &str = "oauth";

    /// The word of the management API for this form.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::OAuth { .. } => Self::OAUTH,
        }
    }

    /// Tells two credentials apart without giving either away.
    pub fn hint(&self) -> String {
        match self {
            Self::ApiKey(secret) | Self::OAuth { access_token: secret, .. } => secret.hint(),
        }
    }

    /// When it ends by itself; `None`: never, or nobody knows.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::ApiKey(_) => None,
            Self::OAuth { expires_at, .. } => *expires_at,
        }
    }

    /// The Google Cloud project that requests count against, where one is known.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::ApiKey(_) => None,
            Self::OAuth { project, .. } => project.as_deref(),
        }
    }

    /// The bytes to seal.
    pub(crate) fn to_plain(&self) -> Vec<u8> {
        let open = |secret: &Secret| secret.expose().to_owned();
        let plain = match self {
            Self::ApiKey(key) => Plain::ApiKey { api_key: open(key) },
            Self::OAuth { access_token, refresh_token, expires_at, project } => Plain::OAuth {
                access_token: open(access_token),
                refresh_token: refresh_token.as_ref().map(open),
                expires_at: *expires_at,
                project: project.clone(),
            },
        };
        serde_json::to_vec(&plain).expect("strings and times are always JSON")
    }

    /// Reads what was sealed. Whatever is not of our making is an API key from before there were other kinds. `None`: it
    /// is no text at all.
    pub(crate) fn from_plain(plain: Vec<u8>) -> Option<Self> {
        match serde_json::from_slice(&plain) {
            Ok(Plain::ApiKey { api_key }) => Some(Self::ApiKey(Secret::new(api_key))),
            Ok(Plain::OAuth { access_token, refresh_token, expires_at, project }) => Some(Self::OAuth {
                access_token: Secret::new(access_token),
                refresh_token: refresh_token.map(Secret::new),
                expires_at,
                project,
            }),
            Err(_) => String::from_utf8(plain).ok().map(|key| Self::ApiKey(Secret::new(key))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Credential {
        Credential::OAuth {
            access_token: Secret::new("sk-ant-oat01-access-1234"),
            refresh_token: Some(Secret::new("sk-ant-ort01-refresh-5678")),
            expires_at: Some("2027-01-31T00:00:00Z".parse().unwrap()),
            project: Some("a-project".to_owned()),
        }
    }

    #[test]
    fn what_is_sealed_is_read_again() {
        let bare =
            Credential::OAuth { access_token: Secret::new("t"), refresh_token: None, expires_at: None, project: None };
        // An API key may look like a login, and stays a key.
        let odd = Credential::ApiKey(Secret::new(r#"{"kind":"oauth","access_token":"t"}"#));
        for credential in [login(), bare, odd, Credential::ApiKey(Secret::new("sk-ant-api03-key"))] {
            assert_eq!(Credential::from_plain(credential.to_plain()), Some(credential));
        }
    }

    #[test]
    fn keys_from_before_there_were_logins_still_open() {
        for key in ["sk-ant-api03-old", "AIzaOld", "{}", "{\"kind\":\"other\"}", "12"] {
            let expect = Credential::ApiKey(Secret::new(key));
            assert_eq!(Credential::from_plain(key.as_bytes().to_vec()), Some(expect), "{key}");
        }
        assert_eq!(Credential::from_plain(vec![0xff]), None);
    }

    #[test]
    fn a_login_is_told_apart_and_never_printed() {
        assert_eq!((login().kind(), login().hint().as_str()), ("oauth", "…1234"));
        let printed = format!("{:?}", login());
        assert!(!printed.contains("1234") && !printed.contains("5678"), "{printed}");
    }
}
