//! When a key should get a new secret, and whether its own holder may fetch it.

use jiff::{SignedDuration, Timestamp};

use super::ApiKey;
use crate::error::{Error, Kind, Result};

const SECONDS_A_DAY: i64 = 86_400;

/// The end of a secret's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// From here on a new one is due: the last tenth of its time.
    pub opens_at: Timestamp,
    /// When its time is over.
    pub due_at: Timestamp,
}

impl ApiKey {
    /// When the secret should be replaced; `None`: never.
    pub fn rotation(&self) -> Option<Rotation> {
        let seconds = i64::from(self.rotate_every_days?) * SECONDS_A_DAY;
        let after = |seconds| self.rotated_at.saturating_add(SignedDuration::from_secs(seconds));
        Some(Rotation { opens_at: after(seconds / 10 * 9).ok()?, due_at: after(seconds).ok()? })
    }

    /// When the secret ends that its holder replaces now; refuses where a holder may not, or not yet, or not again.
    pub fn may_rotate_itself(&self, now: Timestamp) -> Result<Timestamp> {
        let conflict = |message: String| Err(Error::new(Kind::Conflict, message));
        match self.rotation() {
            _ if !self.auto_rotate => Err(Error::new(
                Kind::PermissionDenied,
                "this API key does not let its holder rotate it (`auto_rotate`)",
            )),
            _ if self.secret_ends_at.is_some() => conflict("this API key has been replaced already".to_owned()),
            None => conflict("this API key is never due for rotation (`rotate_every_days`)".to_owned()),
            Some(rotation) if now < rotation.opens_at => {
                conflict(format!("this API key may be rotated from {} on", rotation.opens_at))
            }
            Some(rotation) => Ok(rotation.due_at.max(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::KeyId;

    fn key(days: Option<i32>, auto_rotate: bool) -> ApiKey {
        let fresh = ApiKey::new(KeyId::from("key_a".to_owned()), "gw_abcdefg", "a".to_owned(), Timestamp::UNIX_EPOCH);
        ApiKey { rotate_every_days: days, auto_rotate, ..fresh }
    }

    #[test]
    fn the_last_tenth_is_when_rotation_is_due() {
        let at = |day: i64, second: i64| Timestamp::from_second(day * SECONDS_A_DAY + second).unwrap();
        for (now, state, ends) in [
            (at(0, 0), "active", Err(Kind::Conflict)),
            (at(9, -1), "active", Err(Kind::Conflict)),
            (at(9, 0), "rotation_due", Ok(at(10, 0))),
            (at(10, 5), "rotation_due", Ok(at(10, 5))),
        ] {
            let key = key(Some(10), true);
            let got = key.may_rotate_itself(now).map_err(|error| error.kind);
            assert_eq!((key.state(now), got), (state, ends), "{now}");
        }
        let late = at(100, 0);
        assert_eq!(key(None, true).may_rotate_itself(late).unwrap_err().kind, Kind::Conflict);
        assert_eq!(key(Some(10), false).may_rotate_itself(late).unwrap_err().kind, Kind::PermissionDenied);
        let replaced = ApiKey { secret_ends_at: Some(late), ..key(Some(10), true) };
        assert_eq!(replaced.may_rotate_itself(at(9, 0)).unwrap_err().kind, Kind::Conflict);
    }
}
