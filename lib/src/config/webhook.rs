//! Who is told of what an operator should know.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use url::Url;

use super::{Environment, unset};
use crate::{error::Result, secret::Secret};

/// What a secret in the form of Standard Webhooks begins with.
const PREFIX: &str = "whsec_";

/// A receiver of webhooks, in the form of Standard Webhooks. `Debug` shows neither address nor secret: both let one in.
pub struct Webhook {
    /// `WEBHOOK_URL`.
    pub url: Url,
    /// `WEBHOOK_SECRET`: `whsec_` and 24 to 64 bytes in base64; here the base64.
    secret: Secret,
}

impl Webhook {
    /// `None` where no receiver is named.
    pub(crate) fn read(env: &Environment) -> Result<Option<Self>> {
        let Some(text) = env.first(&["WEBHOOK_URL"]) else { return Ok(None) };
        let insecure = env.first(&["ALLOW_INSECURE_UPSTREAMS"]) == Some("1");
        let allowed = |url: &Url| url.scheme() == "https" || (insecure && url.scheme() == "http");
        let url = Url::parse(text).ok().filter(|url| allowed(url) && url.has_host());
        let url = url.ok_or_else(|| unset("WEBHOOK_URL must begin with https:// and name a host"))?;
        let secret = env.first(&["WEBHOOK_SECRET"]).and_then(|text| text.trim().strip_prefix(PREFIX));
        let sound = secret.filter(|text| BASE64_STANDARD.decode(text).is_ok_and(|key| (24..=64).contains(&key.len())));
        let how = "WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64, such as \
                   `echo whsec_$(openssl rand -base64 32)` prints: what is sent to WEBHOOK_URL is signed with it";
        Ok(Some(Self { url, secret: Secret::new(sound.ok_or_else(|| unset(how))?) }))
    }

    /// The bytes to sign with.
    pub(crate) fn key(&self) -> Vec<u8> {
        BASE64_STANDARD.decode(self.secret.expose()).unwrap_or_default()
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_has_a_secure_address_and_a_secret_of_its_form() {
        let key = BASE64_STANDARD.encode([7; 32]);
        let good = format!("whsec_{key}");
        for (url, secret, insecure, expect) in [
            ("", "", "", Ok(None)),
            ("https://hooks.example.com/in?token=hunter2", &*good, "", Ok(Some(vec![7; 32]))),
            ("http://127.0.0.1:9/in", &good, "1", Ok(Some(vec![7; 32]))),
            ("http://hooks.example.com/in", &good, "", Err("WEBHOOK_URL")),
            ("hooks.example.com", &good, "", Err("WEBHOOK_URL")),
            ("https://hooks.example.com/in", "", "", Err("WEBHOOK_SECRET")),
            ("https://hooks.example.com/in", &key, "", Err("WEBHOOK_SECRET")),
            ("https://hooks.example.com/in", "whsec_dG9vIHNob3J0", "", Err("WEBHOOK_SECRET")),
        ] {
            let mut env = Environment::from([]);
            for (name, value) in
                [("WEBHOOK_URL", url), ("WEBHOOK_SECRET", secret), ("ALLOW_INSECURE_UPSTREAMS", insecure)]
            {
                env.set(name, value);
            }
            let read = Webhook::read(&env);
            assert!(!format!("{read:?}").contains("hunter2"), "{read:?}");
            match (read, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found.map(|webhook| webhook.key()), expect),
                (Err(error), Err(name)) => assert!(error.message.starts_with(name), "{error:?}"),
                (found, expect) => panic!("{found:?} instead of {expect:?}"),
            }
        }
    }
}
