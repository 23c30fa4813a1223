//! Why Redis gave no answer that can be used, and for how long it is left alone then.

use std::time::Duration;

/// After a connection that failed.
const SHORT_REST: Duration = Duration::from_secs(10);
/// After a refusal that somebody has to do something about.
const REST: Duration = Duration::from_secs(30);
/// After a quota was used up: it is so for hours.
const LONG_REST: Duration = Duration::from_secs(300);
/// What Redis says is kept up to here.
const LONGEST_REASON: usize = 120;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not know the script yet.
    UnknownScript,
    /// No connection, none any more, or no answer in time; what became of the command is not known.
    Broken(&'static str),
    /// It said no: why, in words that are safe to log.
    Refused(Duration, String),
}

impl Fault {
    /// What an error means that Redis answered, in its own words.
    pub(super) fn said(text: &str) -> Self {
        let code = text.split_whitespace().next().unwrap_or_default();
        let spent = ["max requests limit", "max daily request limit", "quota exceeded"];
        if code == "NOSCRIPT" {
            Self::UnknownScript
        } else if spent.iter().any(|words| text.contains(words)) {
            Self::Refused(LONG_REST, "its quota is used up".to_owned())
        } else if ["Unauthorized", "WRONGPASS", "NOAUTH", "NOPERM"].contains(&code) {
            Self::Refused(
                REST,
                format!("it does not accept the token or the password, or does not let it write ({code})"),
            )
        } else {
            let said: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
            Self::Refused(REST, format!("it answers with an error: {said}"))
        }
    }

    /// How long Redis is not asked after this.
    pub(super) fn rest(&self) -> Duration {
        match self {
            Self::UnknownScript | Self::Broken(_) => SHORT_REST,
            Self::Refused(rest, _) => *rest,
        }
    }

    /// In words.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::UnknownScript => "it forgets the script that it was sent",
            Self::Broken(reason) => reason,
            Self::Refused(_, reason) => reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_their_words() {
        assert_eq!(Fault::said("NOSCRIPT No matching script. Please use EVAL."), Fault::UnknownScript);
        for (text, rest) in [
            ("ERR max requests limit exceeded. Limit: 500000, Usage: 500000", LONG_REST),
            ("ERR max daily request limit exceeded. Limit: 10000, Usage: 10000", LONG_REST),
            ("ERR DB capacity quota exceeded. Limit: 268435456", LONG_REST),
            ("Unauthorized", REST),
            ("WRONGPASS invalid or missing auth token", REST),
            ("NOPERM this user has no permissions to run the 'evalsha' command", REST),
            ("LOADING Redis is loading the dataset in memory", REST),
        ] {
            assert_eq!(Fault::said(text).rest(), rest, "{text}");
        }
        assert!(Fault::said(&"x".repeat(5_000)).reason().len() < 200);
    }
}
